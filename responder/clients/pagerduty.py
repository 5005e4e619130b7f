"""PagerDuty's Events API v2: one event a call, sent once."""

import hashlib
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import JsonValue

from responder.clients.pace import LocalPace, await_turn
from responder.domain.errors import DeliveryError
from responder.ports.pace import Beat, Pace

if TYPE_CHECKING:  # loaded on first use: a `responder` without PagerDuty does not pay for it
    import aiohttp

ACCEPTED, TOO_MANY, SERVER_ERROR = 202, 429, 500
SLOW_DOWN = timedelta(seconds=30)
"""What the rate limits page asks for when an answer does not say (developer.pagerduty.com)."""
LONGEST_RETRY = timedelta(minutes=15)
EVENTS = Beat(0.6, burst=20)
"""At most 120 events in any minute for an integration key (developer.pagerduty.com, rate limits)."""
SHOWN = 300
"""How many bytes of an error body are shown."""


class PagerDutyClient:
    """The event endpoint and one connection pool. Raises DeliveryError."""

    def __init__(
        self,
        *,
        api_url: str = "https://events.pagerduty.com",
        timeout: timedelta = timedelta(seconds=10),
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        """``timeout`` bounds one call with everything in it; ``pace`` is who else sends, nobody when none is given."""
        self._pace = pace or LocalPace()
        self._url = api_url.rstrip("/")
        self._timeout = timeout.total_seconds()
        self._tls = tls
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    async def send(self, event: Mapping[str, JsonValue]) -> None:
        """Enqueue one event; its dedup key makes a repetition harmless."""
        await self._paced("/v2/enqueue", event)

    async def send_change(self, event: Mapping[str, JsonValue]) -> None:
        """Enqueue one change event: it calls nobody, and sent twice it is listed twice."""
        await self._paced("/v2/change/enqueue", event)

    async def _paced(self, path: str, event: Mapping[str, JsonValue]) -> None:
        routing_key = str(event.get("routing_key", ""))
        key = f"pagerduty:{hashlib.sha256(routing_key.encode()).hexdigest()[:12]}"
        await await_turn(self._pace, key, EVENTS)
        try:
            await self._post(path, event)
        except DeliveryError as error:
            if error.retry_after is not None:
                await self._pace.rest(key, error.retry_after.total_seconds())
            raise

    async def _post(self, path: str, event: Mapping[str, JsonValue]) -> None:
        import aiohttp

        from responder.clients.sessions import plainly

        try:
            async with self._open().post(
                self._url + path, json=dict(event), allow_redirects=False, proxy=self._proxy
            ) as response:
                body = await response.content.read(SHOWN)
                if response.status != ACCEPTED:
                    raise _refused(response.status, response.headers.get("Retry-After", ""), body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise DeliveryError(f"PagerDuty cannot be reached: {plainly(error)}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DeliveryError(f"PagerDuty did not answer: {plainly(error)}", uncertain=True) from error

    def _open(self) -> "aiohttp.ClientSession":
        if self._session is None:
            import aiohttp

            from responder.clients.sessions import new_session

            self._session = new_session(aiohttp.ClientTimeout(total=self._timeout), limit=16, tls=self._tls)
        return self._session


def _refused(status: int, retry_after: str, body: bytes) -> DeliveryError:
    """Translate a status: slow down (429), try again (5xx), no use (the rest)."""
    shown = " ".join(body.decode(errors="replace").split())
    message = f"PagerDuty answered {status}{f': {shown}' if shown else ''}"
    if status == TOO_MANY:
        asked = timedelta(seconds=int(retry_after)) if retry_after.isdecimal() else SLOW_DOWN
        return DeliveryError(message, retry_after=min(asked, LONGEST_RETRY))
    if status >= SERVER_ERROR:
        return DeliveryError(message, uncertain=True)
    return DeliveryError(message, permanent=True)
