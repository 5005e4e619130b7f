"""Kubernetes clusters: raw JSON over one pool of connections, one send per call, errors by what to do next.

The library's own client is not used for calls: it has no timeout of its own, decodes on the event loop, sends some
methods a second time when a connection breaks, and has no place for the last look before a change leaves.
"""

import asyncio
import json as jsonlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import aiohttp
from pydantic import JsonValue

from responder.clients.kubeconfig import Access, load_access
from responder.clients.sessions import gates, new_session
from responder.domain.errors import Moved, Permanent, StepError, Temporary, Uncertain
from responder.domain.kubernetes import MANAGER
from responder.ports.tools import Gate, Object, PatchKind, ReconcilerPolicy

CONTENT_TYPES: Mapping[PatchKind, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}
PAGE = 500
MOST_ITEMS = 5000
"""A list that is longer is too long to be looked through during an incident."""
MOST_BYTES = 16 * 1024 * 1024
"""Of one answer: 500 pods are some 2 MB."""
SHOWN = 300
_CONNECTING = 0.75
"""The share of the deadline in which a connection must stand; what fails before that was certainly not sent."""
_WORTH_ANOTHER_TRY = (408, 409, 412, 425, 429)
_SERVER = 500


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: JsonValue = None
    query: Mapping[str, str] = field(default_factory=dict)
    gate: Gate | None = None
    content_type: str = "application/json"

    @property
    def reading(self) -> bool:
        return self.method == "GET"


class KubernetesClient:
    """One cluster (``ports.tools.Cluster``)."""

    def __init__(
        self,
        name: str,
        kubeconfig: Path | None = None,
        context: str | None = None,
        *,
        reconcilers: ReconcilerPolicy = "refuse",
        timeout: timedelta = timedelta(seconds=8),
    ) -> None:
        """Nothing is read or connected before the first call; ``timeout`` bounds one call with everything in it."""
        self.reconcilers = reconcilers
        self._name = name
        self._kubeconfig, self._context = kubeconfig, context
        seconds = timeout.total_seconds()
        self._timeout = aiohttp.ClientTimeout(total=seconds, connect=seconds * _CONNECTING)
        self._session: aiohttp.ClientSession | None = None
        self._sessions: list[aiohttp.ClientSession] = []
        self._access: Access | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Give the connections back."""
        self._access = self._session = None
        while self._sessions:
            await self._sessions.pop().close()

    async def get(self, path: str) -> Object:
        """Return one object."""
        return self._object(await self._send(_Request("GET", path)))

    async def find(self, path: str) -> Object | None:
        """Return one object, None when the API knows its kind and there is none."""
        try:
            return await self.get(path)
        except _Absent as absent:
            # Another 404 says that the API does not know the kind, or the namespace: that is not "gone".
            if absent.name == path.rpartition("/")[2]:
                return None
            raise

    async def list(self, path: str, labels: str = "", fields: str = "") -> tuple[Object, ...]:
        """Return all objects there."""
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields}
        found: list[Object] = []
        while True:
            page = self._object(await self._send(_Request("GET", path, query=query)))
            found += [one for one in _list(page.get("items")) if isinstance(one, dict)]
            following = _mapping(page.get("metadata")).get("continue")
            if not isinstance(following, str) or not following:
                return tuple(found)
            if len(found) >= MOST_ITEMS:
                msg = f"{self._name}: {path} has more than {MOST_ITEMS} objects"
                raise Permanent(msg)
            query["continue"] = following

    async def text(self, path: str, query: Mapping[str, str]) -> str:
        """Return what is no JSON: logs."""
        return (await self._send(_Request("GET", path, query=query))).decode(errors="replace")

    async def patch(
        self,
        path: str,
        body: JsonValue,
        kind: PatchKind = "merge",
        gate: Gate | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """Change an object and return it as it is now."""
        query = {**_kept(dry_run=dry_run), "fieldValidation": "Strict"}
        return self._object(
            await self._send(_Request("PATCH", path, body, query, gate, CONTENT_TYPES[kind])), changed=True
        )

    async def create(self, path: str, body: Object, gate: Gate | None = None, *, dry_run: bool = False) -> Object:
        """Create an object, or post to a subresource."""
        return self._object(await self._send(_Request("POST", path, body, _kept(dry_run=dry_run), gate)), changed=True)

    async def delete(self, path: str, options: Object, gate: Gate | None = None, *, dry_run: bool = False) -> Object:
        """Delete an object."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        if dry_run:
            body["dryRun"] = ["All"]
        return self._object(await self._send(_Request("DELETE", path, body, gate=gate)), changed=True)

    async def _opened(self) -> tuple[aiohttp.ClientSession, Access]:
        async with self._opening:
            if self._access is None or self._session is None:
                self._access = await load_access(self._name, self._kubeconfig, self._context)
                session = new_session(self._timeout, limit=64, tls=self._access.tls, traces=[gates()])
                # aiohttp sends PUT and DELETE a second time by itself when the connection breaks; an effect goes out
                # once.
                session._retry_connection = False  # noqa: SLF001 - no public switch exists; a contract test holds it
                # Calls may still be under way on the one before: it is closed with the client.
                self._sessions.append(session)
                self._session = session
            return self._session, self._access

    async def _send(self, request: "_Request") -> bytes:
        """Send one request once; credentials that are refused are read again, for nothing happened then."""
        try:
            return await self._once(request)
        except _Unauthorized:
            self._access = None
            return await self._once(request)

    async def _once(self, request: "_Request") -> bytes:
        session, access = await self._opened()
        credentials = await access.headers()
        body = None if request.body is None else jsonlib.dumps(request.body, allow_nan=False).encode()
        framing = {} if body is None else {"Content-Type": request.content_type}
        try:
            async with session.request(
                request.method,
                access.host + quote(request.path),
                params={key: value for key, value in request.query.items() if value},
                data=body,
                headers={"Accept": "application/json, */*", **framing, **credentials},
                allow_redirects=False,
                proxy=access.proxy,
                server_hostname=access.server_name,
                trace_request_ctx=None if request.reading else request.gate,
            ) as response:
                if 200 <= response.status < 300:  # noqa: PLR2004 - the 2xx class
                    return await _bounded(response)
                self._refused(request, response, await _beginning(response), tuple(credentials.values()))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            msg = f"{self._name} cannot be reached: {_plain(error)}"
            raise Temporary(msg) from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            msg = f"{self._name}: no answer to {request.method} {request.path}: {_plain(error)}"
            raise Temporary(msg) if request.reading else Uncertain(msg) from error

    def _refused(
        self, request: "_Request", response: aiohttp.ClientResponse, answer: bytes, secrets: tuple[str, ...]
    ) -> NoReturn:
        status = _status(answer)
        sentence = _shown(status, answer, secrets)
        msg = f"{self._name} answered {response.status} to {request.method}{f': {sentence}' if sentence else ''}"
        raise _error(response, status, msg, reading=request.reading)

    def _object(self, answer: bytes, *, changed: bool = False) -> Object:
        found = _status(answer)
        if not found:
            msg = f"{self._name}: the answer is no JSON object"
            raise (Uncertain if changed else Permanent)(msg)
        return found


class _Unauthorized(Permanent):
    """The credentials were refused; nothing was looked at."""


class _Absent(Permanent):
    """There is no such object; ``name`` is what the API missed."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def _error(response: aiohttp.ClientResponse, status: Object, message: str, *, reading: bool) -> StepError:
    """Translate an answer by what is known to have happened, and by whether another try may go otherwise."""
    code = response.status
    if code == 401:  # noqa: PLR2004 - Unauthorized
        return _Unauthorized(message)
    if code == 404:  # noqa: PLR2004 - NotFound
        return _Absent(message, str(_mapping(status.get("details")).get("name") or ""))
    if status.get("reason") == "AlreadyExists":
        return Permanent(message)
    after = response.headers.get("Retry-After", "")
    wait = timedelta(seconds=min(int(after), 3600)) if after.isascii() and after.isdigit() else None
    if code in _WORTH_ANOTHER_TRY:
        return Moved(message, wait) if code == 409 and not reading else Temporary(message, wait)  # noqa: PLR2004 - Conflict
    if code >= _SERVER:
        return Temporary(message, wait) if reading else Uncertain(message)
    return Permanent(message)


def _shown(status: Object, answer: bytes, secrets: tuple[str, ...]) -> str:
    """Return the API's own sentence on one line, with its causes where they say more; never our credentials."""
    causes = [_mapping(one).get("message") for one in _list(_mapping(status.get("details")).get("causes"))]
    sentence = str(status.get("message") or answer[:SHOWN].decode(errors="replace"))
    more = [str(one) for one in causes if one and str(one) not in sentence]
    text = " ".join([sentence, *more])
    for secret in (part for value in secrets for part in (value, value.rpartition(" ")[2]) if part):
        text = text.replace(secret, "<secret>")
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(printable.split())[:SHOWN]


def _status(answer: bytes) -> Object:
    try:
        found = jsonlib.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _kept(*, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}


def _mapping(value: JsonValue) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return what a refusal says; its status stands whatever becomes of the rest."""
    try:
        return await response.content.read(64 * 1024)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b""


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(256 * 1024):
        size += len(part)
        if size > MOST_BYTES:
            msg = f"the answer is longer than {MOST_BYTES} bytes"
            raise aiohttp.ClientPayloadError(msg)
        parts.append(part)
    return b"".join(parts)


def _plain(error: Exception) -> str:
    return str(error) or type(error).__name__
