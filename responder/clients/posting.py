"""Channels that take a POST and nothing else: one request, sent once, and what its answer means."""

import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from responder.domain.errors import DeliveryError

if TYPE_CHECKING:  # loaded on first use: a `responder` without such a channel does not pay for it
    import aiohttp

TOO_MANY, SERVER_ERROR = 429, 500
SLOW_DOWN = timedelta(seconds=5)
"""When an answer of 429 does not say."""
LONGEST_RETRY = timedelta(minutes=15)
SHOWN = 200
"""How many bytes of an answer are shown."""
_AGAIN = frozenset({408, 425})


class Poster:
    """One connection pool. Raises DeliveryError; an address is a secret, so that errors hold the channel's name."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta = timedelta(seconds=10),
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        proxy: str | None = None,
    ) -> None:
        """``name`` is how errors call it, such as ``notify.teams.oncall``; ``timeout`` bounds one call in all.

        ``tls`` makes the context on first use: that reads files.
        """
        self._name = name
        self._url = url
        self._headers = dict(headers or {})
        self._timeout = timeout.total_seconds()
        self._tls = tls
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send ``body`` as JSON; any answer of 2xx is well."""
        import aiohttp

        from responder.clients.sessions import plainly

        sent = {"Content-Type": "application/json", **self._headers, **headers}
        try:
            async with self._open().post(
                self._url, data=body, headers=sent, allow_redirects=False, proxy=self._proxy
            ) as response:
                said = await response.content.read(SHOWN)
                if not 200 <= response.status < 300:  # noqa: PLR2004 - the 2xx class
                    raise self._refused(response.status, response.headers.get("Retry-After", ""), said)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise DeliveryError(f"{self._name} cannot be reached: {plainly(error)}") from error
        except aiohttp.InvalidURL as error:
            raise DeliveryError(f"{self._name}: its URL is none", permanent=True) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DeliveryError(f"{self._name} did not answer: {type(error).__name__}", uncertain=True) from error

    def _open(self) -> "aiohttp.ClientSession":
        if self._session is None:
            import aiohttp

            from responder.clients.sessions import new_session

            self._session = new_session(aiohttp.ClientTimeout(total=self._timeout), limit=8, tls=self._tls())
        return self._session

    def _refused(self, status: int, retry_after: str, body: bytes) -> DeliveryError:
        """Translate a status: slow down (429, 503 with a time), try again (408, 425, 5xx), no use (the rest)."""
        shown = " ".join("".join(one if one.isprintable() else " " for one in body.decode(errors="replace")).split())
        message = f"{self._name} answered {status}{f': {shown}' if shown else ''}"
        if status == TOO_MANY or (status >= SERVER_ERROR and retry_after.isdecimal()):
            asked = timedelta(seconds=int(retry_after)) if retry_after.isdecimal() else SLOW_DOWN
            return DeliveryError(message, retry_after=min(asked, LONGEST_RETRY))
        if status >= SERVER_ERROR:
            return DeliveryError(message, uncertain=True)
        return DeliveryError(message, permanent=status not in _AGAIN)
