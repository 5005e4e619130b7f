"""Alertmanager's API v2, read only. What cannot be understood is an error, never "there is no such alert"."""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, NotRequired, TypeVar

import aiohttp
from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from responder.clients.sessions import new_session, plainly
from responder.domain.alerts import Alert, Shown
from responder.domain.errors import Permanent, Temporary

TIMEOUT_SECONDS = 4.0
"""Less than evidence may be old, so that an answer is still of use when it comes."""
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Some 50,000 alerts with long labels (measured: 640 bytes each)."""
THREAD_FROM = 256 * 1024
"""An answer from this size on is read beside the event loop."""
SHOWN = 200
"""How many characters of an error body are shown."""
_SHORTEST_SECRET = 6
T = TypeVar("T")

_STRICT = ConfigDict(strict=True)


class _Status(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc] # pydantic's way to configure a TypedDict
    state: str
    silencedBy: list[str]
    inhibitedBy: list[str]


class _Alert(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc] # pydantic's way to configure a TypedDict
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str
    generatorURL: NotRequired[str]
    status: _Status


class _Receiver(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc] # pydantic's way to configure a TypedDict
    name: str


class _Group(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc] # pydantic's way to configure a TypedDict
    labels: dict[str, str]
    receiver: _Receiver
    alerts: list[_Alert]


class _State(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc] # pydantic's way to configure a TypedDict
    uptime: str


_ALERTS = TypeAdapter(list[_Alert])
_GROUPS = TypeAdapter(list[_Group])
_STATE = TypeAdapter(_State)
_NOT_UNDERSTOOD = "Alertmanager's answer cannot be understood: is something else at this URL?"


class AlertmanagerClient:
    """One configured Alertmanager (or cluster, behind one address)."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """``headers`` carry the credentials; ``timeout`` (seconds) bounds a question with its answer."""
        self._url = url.rstrip("/")
        self._headers = dict(headers or {})
        self._tls = tls
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=timeout or TIMEOUT_SECONDS)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    async def alerts(self, filters: Sequence[str] = ()) -> tuple[Alert, ...]:
        """Return the alerts that have not ended, silenced and inhibited ones too; ``filters`` are matchers.

        Raises Temporary when it cannot be reached or understood, Permanent when it refuses the question.
        """
        wanted = [("filter", one) for one in filters]
        body, _ = await self._get("alerts", [*_EVERY, *wanted])
        return await _read(body, alerts_of)

    async def group(self, receiver: str, labels: Mapping[str, str]) -> tuple[Alert, ...]:
        """Return the alerts of the group with these labels that ``receiver`` is told of; none when it is not there.

        Groups of several routes that agree in both are one. Raises as ``alerts`` does.
        """
        body, _ = await self._get("alerts/groups", [*_EVERY, ("receiver", re.escape(receiver))])

        def read(text: bytes) -> tuple[Alert, ...]:
            return group_of(text, receiver, labels)

        return await _read(body, read)

    async def uptime(self) -> timedelta:
        """Return how long it has been up, by its own clock: alerts live in its memory only. Raises as ``alerts`` does.

        ``uptime`` in its answer is an instant, the one of its start.
        """
        body, told_at = await self._get("status", [])
        try:
            return parsedate_to_datetime(told_at) - _instant(_STATE.validate_json(body)["uptime"])
        except (ValueError, TypeError, OverflowError) as error:
            raise Temporary(_NOT_UNDERSTOOD) from error

    async def _get(self, path: str, parameters: Sequence[tuple[str, str]]) -> tuple[bytes, str]:
        """Return the body of an answer and its Date."""
        if self._session is None:
            self._session = new_session(self._timeout, limit=8, tls=self._tls, headers=self._headers)
        try:
            async with self._session.get(
                f"{self._url}/api/v2/{path}", params=list(parameters), proxy=self._proxy, allow_redirects=False
            ) as response:
                status, told_at, body = response.status, response.headers.get("Date", ""), await _bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            msg = f"Alertmanager cannot be asked: {plainly(error)}"
            raise Temporary(msg) from error
        if status != 200:  # noqa: PLR2004 - OK
            said = self._shown(body)
            msg = f"Alertmanager answered {status}{f': {said}' if said else ''}"
            raise (Permanent if status in (400, 401, 403, 404) else Temporary)(msg)
        return body, told_at

    def _shown(self, body: bytes) -> str:
        """Return the beginning of an error body on one line, without the credentials that it may echo."""
        text = body[: 4 * SHOWN].decode(errors="replace")
        for value in self._headers.values():
            for secret in (value, value.rpartition(" ")[2]):
                text = text.replace(secret, "<secret>") if len(secret) >= _SHORTEST_SECRET else text
        return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:SHOWN]


_EVERY = tuple((state, "true") for state in ("active", "silenced", "inhibited"))
"""Said although it is the default: a proxy in between may have another."""


def alerts_of(body: bytes) -> tuple[Alert, ...]:
    """Read the answer of ``/alerts``; raises ValueError for one that cannot be understood."""
    return tuple([_alert(one) for one in _ALERTS.validate_json(body)])


def group_of(body: bytes, receiver: str, labels: Mapping[str, str]) -> tuple[Alert, ...]:
    """Read one group out of the answer of ``/alerts/groups``; raises ValueError for what cannot be understood."""
    groups = [one for one in _GROUPS.validate_json(body) if one["receiver"]["name"] == receiver]
    return tuple([_alert(one) for group in groups if group["labels"] == dict(labels) for one in group["alerts"]])


def _alert(one: _Alert) -> Alert:
    return Alert(
        status="firing",
        labels=one["labels"],
        annotations=one["annotations"],
        starts_at=_instant(one["startsAt"]),
        ends_at=None,  # the API shows when it would end if nobody said anything any more
        generator_url=one.get("generatorURL", ""),
        fingerprint=one["fingerprint"],
        shown=_shown(one["status"]),
        silenced_by=() if one["status"]["inhibitedBy"] else tuple(one["status"]["silencedBy"]),
    )


def _shown(status: _Status) -> Shown:
    """Say what an alert's status means; only what is plainly active counts as that."""
    if status["silencedBy"]:
        return Shown.SILENCED
    if status["inhibitedBy"]:
        return Shown.INHIBITED
    return Shown.ACTIVE if status["state"] == "active" else Shown.UNCLEAR


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant.astimezone(UTC)


async def _read(body: bytes, read: Callable[[bytes], T]) -> T:
    try:
        if len(body) >= THREAD_FROM:
            return await asyncio.to_thread(read, body)
        return read(body)
    except (ValueError, OverflowError) as error:
        raise Temporary(_NOT_UNDERSTOOD) from error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            msg = f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
            raise aiohttp.ClientPayloadError(msg)
    return b"".join(chunks)
