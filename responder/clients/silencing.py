"""Alertmanager as a target: silences that begin and end, each sent once. What it shows is read as for a witness."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NotRequired, TypeVar

import aiohttp
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from responder.clients.alertmanager import AlertmanagerClient
from responder.clients.sessions import gates, new_session, plainly
from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.domain.silences import OURS
from responder.language.matchers import Matcher
from responder.ports.silencing import Silence
from responder.ports.tools import Gate

SHOWN = 200
"""How many characters of a refusal are shown."""
T = TypeVar("T")


class _Matcher(TypedDict):
    name: str
    value: str
    isRegex: bool
    isEqual: NotRequired[bool]


class _Status(TypedDict):
    state: str


class _Silence(TypedDict):
    id: str
    matchers: list[_Matcher]
    comment: str
    createdBy: str
    endsAt: datetime
    status: _Status


class _Cluster(TypedDict):
    peers: NotRequired[list[object]]


class _State(TypedDict):
    cluster: _Cluster


_SILENCES = TypeAdapter(list[_Silence])
_STATE = TypeAdapter(_State)


class SilencingClient(AlertmanagerClient):
    """One configured Alertmanager (``ports.silencing.Silencing``)."""

    _gate: Gate | None = None
    _writing: aiohttp.ClientSession | None = None

    def behind(self, gate: Gate) -> "SilencingClient":
        """See ``ports.silencing.Silencing.behind``."""
        self._open()  # one session for this and all its copies
        gated = copy.copy(self)
        gated._gate = gate  # noqa: SLF001 - our own copy
        return gated

    async def close(self) -> None:
        """Give the connections back."""
        await super().close()
        if self._writing is not None:
            await self._writing.close()

    async def counts(self, filters: Sequence[str]) -> Mapping[str, int]:
        """See ``ports.silencing.Silencing.counts``."""
        return Counter(str(one.shown) for one in await self.alerts(filters))

    async def peers(self) -> int:
        """See ``ports.silencing.Silencing.peers``."""
        body, _ = await self._get("status", [])
        return len(_understood(lambda: _STATE.validate_json(body))["cluster"].get("peers") or [])

    async def silences(self) -> tuple[Silence, ...]:
        """See ``ports.silencing.Silencing.silences``."""
        body, _ = await self._get("silences", [])
        return tuple(_silence(one) for one in _understood(lambda: _SILENCES.validate_json(body)))

    async def silence(self, matchers: Sequence[Matcher], ends_at: datetime, comment: str) -> None:
        """See ``ports.silencing.Silencing.silence``."""
        body = {
            "matchers": [
                {"name": one.name, "value": one.value, "isRegex": "~" in one.op, "isEqual": not one.negative}
                for one in matchers
            ],
            "startsAt": datetime.now(UTC).isoformat(),
            "endsAt": ends_at.astimezone(UTC).isoformat(),
            "createdBy": OURS,
            "comment": comment,
        }
        await self._change("POST", "silences", body)

    async def expire(self, silence: str) -> None:
        """See ``ports.silencing.Silencing.expire``."""
        await self._change("DELETE", f"silence/{silence}", None)

    def _open(self) -> aiohttp.ClientSession:
        if self._writing is None:
            session = new_session(self._timeout, limit=4, tls=self._tls, headers=self._headers, traces=[gates()])
            session._retry_connection = False  # noqa: SLF001 - as for every service: an effect goes out once
            self._writing = session
        return self._writing

    async def _change(self, method: str, path: str, body: object) -> None:
        try:
            async with self._open().request(
                method,
                f"{self._url}/api/v2/{path}",
                json=body,
                proxy=self._proxy,
                allow_redirects=False,
                trace_request_ctx=self._gate,
            ) as response:
                status, said = response.status, await response.content.read(4 * SHOWN)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            raise Temporary(f"Alertmanager cannot be reached: {plainly(error)}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Uncertain(f"no answer of Alertmanager to {method}: {plainly(error)}") from error
        if status < 300:  # noqa: PLR2004 - the 2xx class
            return
        kind = Uncertain if status >= 500 else Temporary if status == 429 else Permanent  # noqa: PLR2004 - RFC 9110
        raise kind(f"Alertmanager answered {status} to {method}: {self._shown(said)}")


def _silence(one: _Silence) -> Silence:
    matchers = frozenset(
        (m["name"], ("=" if m.get("isEqual", True) else "!") + ("~" if m["isRegex"] else ""), m["value"])
        for m in one["matchers"]
    )
    matchers = frozenset((name, "!=" if op == "!" else op, value) for name, op, value in matchers)
    alive = one["status"]["state"] in ("active", "pending")
    return Silence(one["id"], matchers, one["comment"], one["createdBy"], one["endsAt"], alive)


def _understood(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise Temporary("Alertmanager's answer cannot be understood: is something else at this URL?") from error
