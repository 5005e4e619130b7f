"""HTTP services as targets: one base URL, an allow-list, no redirects, no other hosts, one send per call."""

import asyncio
import json as jsonlib
import math
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NoReturn

import aiohttp
from pydantic import JsonValue

from responder.clients.oauth2 import OAuth2Spec, TokenSource
from responder.clients.sessions import gates, new_session, plainly
from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from responder.language.allow import allows, is_own_path, plain_path
from responder.ports.tools import Gate, HttpReply
from responder.telemetry import shapes

MAX_ANSWER_BYTES = 1024 * 1024
READING = frozenset({"GET", "HEAD"})
_MEANS = {412: ", somebody has changed it meanwhile", 429: ", it has too much to do"}
"""What not everybody knows by its number (RFC 9110, RFC 6585)."""
SHOWN = 200
"""How many characters of an error body are shown: enough to mend, too little to leak a page."""
_ERROR_BYTES = 4096
_CONNECTING = 0.75
"""The share of the deadline in which a connection must stand; what fails before that was certainly not sent."""
_SHORTEST_SECRET = 6
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_NOT_IN_A_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_RETRY_AFTER = re.compile(r"[0-9]{1,9}")


class HttpClient:
    """A configured service.

    ``allow`` are patterns such as ``GET /*``: method, space, path with shell wildcards; GET is matched like any other.
    """

    def __init__(
        self,
        name: str,
        url: str,
        allow: Sequence[str],
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: timedelta = timedelta(seconds=8),
        proxy: str | None = None,
        idempotent: bool = False,
        oauth2: OAuth2Spec | None = None,
        most: int = MAX_ANSWER_BYTES,
    ) -> None:
        """``headers`` carry the credentials; ``timeout`` bounds one call with everything in it.

        ``most`` bounds an answer, in bytes.
        """
        self._tokens = None if oauth2 is None else TokenSource(oauth2, tls=tls, proxy=proxy)
        self._most = most
        self.idempotent = idempotent
        self._proxy = proxy
        self._name = name
        self._url = url.rstrip("/")
        self._allow = tuple(allow)
        self._headers = dict(headers or {})
        self._tls = tls
        seconds = timeout.total_seconds()
        self._timeout = aiohttp.ClientTimeout(total=seconds, connect=seconds * _CONNECTING)
        self._secrets = _secrets(self._headers.values())
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
        if self._tokens is not None:
            await self._tokens.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            session = new_session(self._timeout, limit=64, tls=self._tls, traces=[gates()])
            # aiohttp sends PUT and DELETE a second time by itself when the connection breaks; an effect goes out once.
            session._retry_connection = False  # noqa: SLF001 - no public switch exists; a contract test holds it
            self._session = session
        return self._session

    def _address(self, method: str, path: str) -> str:
        """Return the URL to call, or raise Permanent when the path leaves the allow-list."""
        if not is_own_path(path):
            msg = f"{self._name}: {path!r} is not a path of this service"
            raise Permanent(msg)
        if not allows(self._allow, method, path):
            allowed = ", ".join(self._allow) or "empty"
            msg = f"{self._name}: {method} {plain_path(path)} is not in its allow list ({allowed})"
            raise Permanent(msg)
        return self._url + path

    async def call(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        gate: Gate | None = None,
    ) -> HttpReply:
        """See ``ports.tools.HttpService.call``."""
        url = self._address(method, path)
        if self._tokens is None:
            return await self._send(method, url, path, json, headers or {}, gate)
        token = await self._tokens.token()
        try:
            return await self._send(method, url, path, json, _bearing(token, headers), gate)
        except _NotAuthorized:
            # It did nothing with it. Once more with another token; the gate is passed again.
            token = await self._tokens.token(refused=token)
            return await self._send(method, url, path, json, _bearing(token, headers), gate)

    async def _send(  # noqa: PLR0917 - what call was given, taken apart
        self, method: str, url: str, path: str, json: JsonValue, headers: Mapping[str, str], gate: Gate | None
    ) -> HttpReply:
        data, sent_headers = self._encoded(json), self._merged(headers, with_body=json is not None)
        reading = method in READING
        try:
            async with self._open().request(
                method,
                url,
                data=data,
                headers=sent_headers,
                allow_redirects=False,
                proxy=self._proxy,
                trace_request_ctx=None if reading else gate,
            ) as response:
                return await self._judge(method, response, reading=reading)
        except aiohttp.InvalidURL as error:
            msg = f"{self._name}: {path!r} is not a path of this service"
            raise Permanent(msg) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            msg = f"{self._name} cannot be reached: {plainly(error)}"
            raise Temporary(msg) from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            self._lost(method, error, reading=reading)

    def _encoded(self, json: JsonValue) -> bytes | None:
        if json is None:
            return None
        try:
            return jsonlib.dumps(json, allow_nan=False).encode()
        except ValueError as error:
            msg = f"{self._name}: what is to be sent is not JSON: {error}"
            raise Permanent(msg) from error

    def _merged(self, given: Mapping[str, str], *, with_body: bool) -> dict[str, str]:
        """Return the headers to send, ours first; raises Permanent for what would break the request."""
        body = {"Content-Type": "application/json"} if with_body else {}
        merged: dict[str, str] = {}
        for name, value in [*{"Accept": "application/json", **body}.items(), *self._headers.items(), *given.items()]:
            if not _HEADER_NAME.fullmatch(name) or _NOT_IN_A_HEADER.search(value):
                msg = (
                    f"{self._name}: the header {name!r} cannot be sent: its name or its value holds a control character"
                )
                raise Permanent(msg)
            merged[name] = value
        return merged

    def _lost(self, method: str, error: Exception, *, reading: bool) -> NoReturn:
        msg = f"{self._name}: no answer to {method}: {plainly(error)}"
        raise Temporary(msg) if reading else Uncertain(msg) from error

    async def _judge(self, method: str, response: aiohttp.ClientResponse, *, reading: bool) -> HttpReply:
        status = response.status
        if 200 <= status < 300:  # noqa: PLR2004 - the 2xx class
            body = await _bounded(response, self._most)
            return HttpReply(status, self._decoded(body, reading=reading), response.headers.get("ETag", ""))
        shown = self._shown(await _beginning(response))
        means = _MEANS.get(status, "")
        msg = f"{self._name} answered {status} to {method}{means}{f': {shown}' if shown else ''}"
        raise _status_error(status, msg, response.headers.get("Retry-After", ""), reading=reading)

    def _shown(self, body: bytes) -> str:
        """Return the beginning of an error body on one line; a service may echo the credentials it was sent."""
        text = body.decode(errors="replace")
        for secret in (*self._secrets, *(self._tokens.secrets if self._tokens is not None else ())):
            text = text.replace(secret, "<secret>")
        text = shapes().redact(text)
        printable = "".join(sign if sign.isprintable() else " " for sign in text)
        return " ".join(printable.split())[:SHOWN]

    def _decoded(self, body: bytes, *, reading: bool) -> JsonValue:
        if not body.strip():
            return None
        try:
            decoded: JsonValue = jsonlib.loads(body, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            if not reading:
                return None  # a text answer to a change that was made
            msg = f"{self._name}: the answer is not JSON"
            raise Permanent(msg) from error
        return decoded


class _NotAuthorized(Permanent):
    """The credentials were not taken, so nothing was done."""


def _bearing(token: str, headers: Mapping[str, str] | None) -> Mapping[str, str]:
    return {**(headers or {}), "Authorization": f"Bearer {token}"}


def _secrets(headers: Iterable[str]) -> tuple[str, ...]:
    """Return what must not be shown: whole values and the part behind ``Bearer``, the longest first."""
    parts = {part for value in headers for part in (value, value.rpartition(" ")[2]) if len(part) >= _SHORTEST_SECRET}
    return tuple(sorted(parts, key=len, reverse=True))


def _status_error(status: int, message: str, retry_after: str, *, reading: bool) -> StepError:
    """Translate a status: not applied (3xx, 4xx), worth another try (408, 409, 412, 425, 429), in doubt (5xx)."""
    if status in (408, 409, 412, 425, 429):
        return Temporary(message, _seconds(retry_after))
    if status >= 500:  # noqa: PLR2004 - the 5xx class
        return Temporary(message, _seconds(retry_after)) if reading else Uncertain(message)
    if status == 401:  # noqa: PLR2004 - Unauthorized
        return _NotAuthorized(message)
    return Permanent(message)


def _seconds(retry_after: str) -> timedelta | None:
    """Read the number form of Retry-After; dates are left to our own back-off."""
    return timedelta(seconds=min(int(retry_after), 3600)) if _RETRY_AFTER.fullmatch(retry_after) else None


def _finite(text: str) -> float:
    """Read a number of JSON; raises ValueError for NaN and for what is too great to be one."""
    number = float(text)
    if not math.isfinite(number):
        msg = f"{text} is not a number of JSON"
        raise ValueError(msg)
    return number


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of an error body; the status stands whatever becomes of the rest."""
    try:
        return await response.content.read(_ERROR_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b""


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = await response.content.read(most + 1)
    chunks = [body]
    size = len(body)
    while body and size <= most:
        body = await response.content.read(most + 1 - size)
        chunks.append(body)
        size += len(body)
    if size > most:
        msg = f"the answer is longer than {most} bytes"
        raise aiohttp.ClientPayloadError(msg)
    return b"".join(chunks)
