"""OAuth2 client credentials (RFC 6749, section 4.4): one token for many calls, renewed in time."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote_plus

import aiohttp

from responder.clients.sessions import new_session, plainly
from responder.domain.errors import Permanent, Temporary

EARLY_SECONDS = 30.0
"""So long before its end a token is no longer used: a call may take its time."""
USUAL_SECONDS = 300.0
"""How long a token is used whose end was not told (``expires_in`` is optional)."""
AGAIN_SECONDS = 1.0
"""After a refusal nobody asks again for so long: a storm of calls must not become one of questions."""
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class OAuth2Spec:
    """Where a token is given, to whom and for what; ``parameters`` are further ones of the request."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


class TokenSource:
    """Gives the token of one service; whoever asks at the same time waits for the same answer."""

    def __init__(
        self,
        spec: OAuth2Spec,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        """``tls`` and ``proxy`` are those of the service."""
        self._spec = spec
        self._tls = tls
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._lock = asyncio.Lock()
        self._token, self._until = "", 0.0
        self._refused: tuple[float, Permanent] | None = None
        self._in_body = False
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        return tuple(one for one in (self._token, self._spec.client_secret) if one)

    async def token(self, refused: str = "") -> str:
        """Return the token in use, or another one than ``refused``, which a service did not take.

        Raises Temporary when it cannot be had now, Permanent when the client is refused.
        """
        async with self._lock:
            if self._token and self._token != refused and time.monotonic() < self._until:
                return self._token
            if self._refused is not None and time.monotonic() < self._refused[0] + AGAIN_SECONDS:
                raise Permanent(str(self._refused[1]))
            try:
                self._token, seconds = await self._ask()
            except Permanent as error:
                self._refused = (time.monotonic(), error)
                raise
            # A short one is used for half of its time rather than never.
            self._until = time.monotonic() + max(seconds - EARLY_SECONDS, seconds / 2)
            self._refused = None
            return self._token

    async def _ask(self) -> tuple[str, float]:
        """Ask as the RFC prefers, by HTTP Basic, and as many servers want it, in the body (section 2.3.1)."""
        status, body = await self._post(in_body=self._in_body)
        if status in (400, 401) and not self._in_body:
            other, found = await self._post(in_body=True)
            if other == 200:  # noqa: PLR2004 - OK
                status, body, self._in_body = other, found, True
        if status != 200:  # noqa: PLR2004 - OK
            said = _word(body.get("error"))
            message = f"the token of {self._spec.client_id} is refused with {status}{f': {said}' if said else ''}"
            raise (Temporary if status >= 500 or status == 429 else Permanent)(message)  # noqa: PLR2004 - RFC 9110
        token, kind, seconds = body.get("access_token"), body.get("token_type"), body.get("expires_in", USUAL_SECONDS)
        if not isinstance(token, str) or not token.isprintable() or " " in token or str(kind).lower() != "bearer":
            raise Permanent(f"the token of {self._spec.client_id} cannot be used: it is no bearer token")
        return token, _number(seconds)

    async def _post(self, *, in_body: bool) -> tuple[int, dict[str, object]]:
        spec = self._spec
        form = {**spec.parameters, "grant_type": "client_credentials"}
        if spec.scopes:
            form["scope"] = " ".join(spec.scopes)
        headers = {"Accept": "application/json"}
        if in_body:
            form |= {"client_id": spec.client_id, "client_secret": spec.client_secret}
        else:
            headers["Authorization"] = aiohttp.encode_basic_auth(
                quote_plus(spec.client_id), quote_plus(spec.client_secret)
            )
        if self._session is None:
            self._session = new_session(self._timeout, limit=2, tls=self._tls)
        try:
            async with self._session.post(
                spec.token_url, data=form, headers=headers, proxy=self._proxy, allow_redirects=False
            ) as answer:
                return answer.status, _read(await answer.content.read(_MOST_BYTES))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Temporary(f"no token can be had: {plainly(error)}") from error


def _read(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _word(error: object) -> str:
    """Return the error code of an answer; anything else might be anything."""
    return error[:60] if isinstance(error, str) and error.replace("_", "").isalnum() else ""


def _number(seconds: object) -> float:
    try:
        return max(1.0, min(float(str(seconds)), 24 * 3600.0))
    except ValueError:
        return USUAL_SECONDS
