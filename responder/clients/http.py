"""HTTP services as targets: one base URL, an allow-list, no redirects, no other hosts, one send per call."""

import asyncio
import json as jsonlib
import ssl
from collections.abc import Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import aiohttp
from pydantic import JsonValue

from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from responder.ports.tools import HttpReply

MAX_ANSWER_BYTES = 1024 * 1024
READING = frozenset({"GET", "HEAD"})
SHOWN = 200
"""How many characters of an error body are shown: enough to mend, too little to leak a page."""


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
    ) -> None:
        """``headers`` carry the credentials; ``timeout`` bounds one call with everything in it."""
        self._proxy = proxy
        self._name = name
        self._url = url.rstrip("/")
        self._allow = tuple(allow)
        self._headers = dict(headers or {})
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=64, ssl=self._tls if self._tls is not None else True)
            session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
            # aiohttp sends PUT and DELETE a second time by itself when the connection breaks; an effect goes out once.
            session._retry_connection = False  # noqa: SLF001 - no public switch exists; a contract test holds it
            self._session = session
        return self._session

    def _address(self, method: str, path: str) -> str:
        """Return the URL to call, or raise Permanent when the path leaves the allow-list."""
        plain = unquote(urlsplit(path).path)
        if (
            not path.startswith("/")
            or path.startswith("//")
            or "\\" in plain
            or ".." in plain.split("/")
            or not plain.isprintable()
        ):
            msg = f"{self._name}: {path!r} is not a path of this service"
            raise Permanent(msg)
        if not any(_allows(pattern, method, plain) for pattern in self._allow):
            msg = f"{self._name}: {method} {plain} is not in its allow list ({', '.join(self._allow) or 'empty'})"
            raise Permanent(msg)
        return self._url + path

    async def call(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """See ``ports.tools.HttpService.call``."""
        url = self._address(method, path)
        reading = method in READING
        try:
            async with self._open().request(
                method,
                url,
                json=json if json is not None else None,
                headers={"Accept": "application/json", **self._headers, **(headers or {})},
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                body = await _bounded(response)
                return self._judge(method, response, body, reading=reading)
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            msg = f"{self._name} cannot be reached: {_plain(error)}"
            raise Temporary(msg) from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            self._lost(method, error, reading=reading)

    def _lost(self, method: str, error: Exception, *, reading: bool) -> NoReturn:
        msg = f"{self._name}: no answer to {method}: {_plain(error)}"
        raise Temporary(msg) if reading else Uncertain(msg) from error

    def _judge(self, method: str, response: aiohttp.ClientResponse, body: bytes, *, reading: bool) -> HttpReply:
        status = response.status
        if 200 <= status < 300:  # noqa: PLR2004 - the 2xx class
            return HttpReply(status, self._decoded(body, reading=reading), response.headers.get("ETag", ""))
        shown = body[:SHOWN].decode(errors="replace").strip()
        msg = f"{self._name} answered {status} to {method}{f': {shown}' if shown else ''}"
        raise _status_error(status, msg, response.headers.get("Retry-After", ""), reading=reading)

    def _decoded(self, body: bytes, *, reading: bool) -> JsonValue:
        if not body.strip():
            return None
        try:
            decoded: JsonValue = jsonlib.loads(body)
        except ValueError as error:
            if not reading:
                return None  # a text answer to a change that was made
            msg = f"{self._name}: the answer is not JSON"
            raise Permanent(msg) from error
        return decoded


def _allows(pattern: str, method: str, path: str) -> bool:
    verb, _, shape = pattern.partition(" ")
    return verb.upper() in (method, "*") and fnmatchcase(path, shape.strip())


def _status_error(status: int, message: str, retry_after: str, *, reading: bool) -> StepError:
    """Translate a status: not applied (3xx, 4xx), worth another try (408, 409, 412, 425, 429), in doubt (5xx)."""
    if status in (408, 409, 412, 425, 429):
        return Temporary(message, _seconds(retry_after))
    if status >= 500:  # noqa: PLR2004 - the 5xx class
        return Temporary(message, _seconds(retry_after)) if reading else Uncertain(message)
    return Permanent(message)


def _seconds(retry_after: str) -> timedelta | None:
    """Read the number form of Retry-After; dates are left to our own back-off."""
    return timedelta(seconds=min(int(retry_after), 3600)) if retry_after.isdecimal() else None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(MAX_ANSWER_BYTES + 1)
    chunks = [body]
    size = len(body)
    while body and size <= MAX_ANSWER_BYTES:
        body = await response.content.read(MAX_ANSWER_BYTES + 1 - size)
        chunks.append(body)
        size += len(body)
    if size > MAX_ANSWER_BYTES:
        msg = f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
        raise aiohttp.ClientPayloadError(msg)
    return b"".join(chunks)


def _plain(error: Exception) -> str:
    return str(error) or type(error).__name__
