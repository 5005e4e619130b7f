"""The points at which a responder can be hurt: each commit of its store, each effect on a target.

They are met from outside: the launcher hands the composition root a store and tools that are wrapped here. A point is
named ``{method of the store}:before`` (all statements sent, COMMIT not yet) or ``:after`` (committed, answer not used
yet), and ``do:`` or ``undo:`` with the same two for an effect, ``slack.post:``, ``slack.update:`` and
``pagerduty.send:`` for a message. Transactions that wrote nothing have no points.
"""

import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import asyncpg
from pydantic import JsonValue
from sqlalchemy import Executable, UpdateBase, event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.app.parts import Channels
from responder.clients.toolbox import Toolbox
from responder.domain.errors import DeliveryError, Unavailable, Uncertain
from responder.domain.kubernetes import MARKER
from responder.language.commands import Job
from responder.ports.containers import Engine as Containers
from responder.ports.hosts import Host
from responder.ports.pooler import Pooler
from responder.ports.silencing import Silencing
from responder.ports.store import NewDelivery
from responder.ports.tools import Cluster, Gate, HttpReply, HttpService, Postgres, Prometheus, Redis
from responder.stores.core.database import Order, Write
from responder.stores.core.store import SqlStore
from responder.stores.postgres import PostgresDatabase, PostgresStore
from responder.stores.sqlite import SqliteDatabase

Mode = Literal["kill", "freeze", "lost"]
"""``kill`` is SIGKILL, ``freeze`` SIGSTOP; ``lost`` lets it happen and reports a failure (for ``:after`` only)."""
ANY = "*"
"""As the name of a point: whichever comes."""
_WRITES = re.compile(r"\b(?:INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b")
_CLOCK = "INTO meta"  # the clock's high water goes along with what else is written
_SILENT = frozenset({"open", "ping"})
"""Methods without points: they write nothing that anybody relies on."""
_CLAIMS = frozenset({"claim_deliveries", "claim_runs", "claim_outbox"})
_method: ContextVar[str] = ContextVar("method", default="")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen: at the ``occurrence``-th time (from 1) that the point ``name`` is met, ``mode``."""

    name: str
    occurrence: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.mode} at {self.name}#{self.occurrence}"


@dataclass(slots=True)
class Points:
    """Counts the points that are met since it was armed, writes them down, and strikes at the planned one.

    ``log`` gets a line for each; it is how the runner discovers the points and knows that one has struck.
    """

    log: Path
    plan: Plan | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def arm(self, plan: Plan | None) -> None:
        """Begin to count anew."""
        self.plan = plan
        self.counts.clear()
        self._note("ARMED")

    def meet(self, name: str) -> bool:
        """Note that a point was met and strike if it is the one; true when the answer is to be lost."""
        self.counts[name] += 1
        self._note(name)
        plan = self.plan
        if plan is None or plan.name not in {name, ANY}:
            return False
        reached = self.counts.total() if plan.name == ANY else self.counts[name]
        if reached != plan.occurrence:
            return False
        self.plan = None
        self._note(f"STRUCK {name}")
        if plan.mode == "lost":
            return True
        os.kill(os.getpid(), signal.SIGKILL if plan.mode == "kill" else signal.SIGSTOP)
        while plan.mode == "kill":
            time.sleep(1)  # the signal may take a moment, and nothing may happen in it
        return False

    def _note(self, what: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{what}\n")


def read_plan(path: Path) -> Plan | None:
    """Read a plan; an empty or missing file is none."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return Plan(**json.loads(text)) if text.strip() else None


# --- the store ----------------------------------------------------------------------------------------------------


def watch_store(store: SqlStore, points: Points) -> SqlStore:
    """Let every commit of ``store`` meet its points."""
    for name in dir(store):
        method = getattr(store, name)
        if not name.startswith("_") and iscoroutinefunction(method):
            setattr(store, name, _claiming(name, method, points) if name in _CLAIMS else _named(name, method))
    slices = store.slice

    def named_slice() -> AbstractAsyncContextManager[Any]:
        _method.set("slice")
        return slices()

    _replace(store, "slice", named_slice)
    _replace(store.db, "writing", _watched(store.db.writing, points))
    if isinstance(store, PostgresStore):
        _watch_fetch(store._postgres)
        _watch_flush(store, points)
    elif isinstance(store.db, SqliteDatabase):
        _watch_fetch(store.db)
        _watch_rows(store.db)
    return store


def _replace(owner: object, name: str, wrapper: object) -> None:
    """Put a wrapper in the place of a method of one object."""
    setattr(owner, name, wrapper)


def _named(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Remember the method for the transaction below; tasks that it starts for many callers inherit it."""

    async def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- any method of the port
        _method.set(name)
        return await method(*args, **named)

    return call


def _claiming(name: str, method: Callable[..., Awaitable[Any]], points: Points) -> Callable[..., Awaitable[Any]]:
    """Meet a point when something was claimed; the databases do not tell alike whether a claim has changed a row."""

    async def claim(*args: Any) -> Any:  # noqa: ANN401 -- any claim of the port
        _method.set(name)
        claimed = await method(*args)
        if claimed and points.meet(f"{name}:after"):
            raise Unavailable("the answer to the claim was lost")
        return claimed

    return claim


class _Writer(Protocol):
    def __call__(self, order: Order) -> AbstractAsyncContextManager[AsyncConnection]: ...


def _watched(begin: _Writer, points: Points) -> _Writer:
    @asynccontextmanager
    async def writing(order: Order) -> AsyncIterator[AsyncConnection]:
        name = _method.get()
        async with begin(order) as tx:
            info = tx.sync_connection.info if tx.sync_connection is not None else {}
            info["wrote"] = False
            yield tx
            told = bool(info["wrote"]) and name not in _SILENT | _CLAIMS
            if told:
                points.meet(f"{name}:before")
        if told and points.meet(f"{name}:after"):
            raise Unavailable("the answer to the commit was lost")

    return writing


@event.listens_for(Engine, "after_cursor_execute")
def _note_writes(connection: Any, cursor: Any, statement: str, *_: object) -> None:  # noqa: ANN401 -- SQLAlchemy's hook
    if _WRITES.search(statement) and _CLOCK not in statement and cursor.rowcount != 0:
        connection.info["wrote"] = True


def _watch_fetch(database: PostgresDatabase | SqliteDatabase) -> None:
    """What goes to the driver directly tells what it wrote by the rows that it returns, if it returns any."""
    fetch = database.fetch

    async def watched(tx: AsyncConnection, statement: Executable, given: Mapping[str, Any]) -> Sequence[Any]:
        found = await fetch(tx, statement, given)
        writes, returns = _manner(statement)
        if writes and (found or not returns) and tx.sync_connection is not None:
            tx.sync_connection.info["wrote"] = True
        return found

    _replace(database, "fetch", watched)


@cache
def _manner(statement: Executable) -> tuple[bool, bool]:
    """Say whether a statement writes, and whether it returns rows; those that come here are built once and kept."""
    returns = isinstance(statement, UpdateBase) and bool(tuple(statement.exported_columns))
    return isinstance(statement, UpdateBase) or bool(_WRITES.search(str(statement))), returns


def _watch_rows(database: SqliteDatabase) -> None:
    """Rows go to SQLite's driver directly, too."""
    write = database.write_rows

    async def watched(tx: AsyncConnection, writes: Sequence[Write]) -> None:
        await write(tx, writes)
        if tx.sync_connection is not None and any(rows.values for rows in writes):
            tx.sync_connection.info["wrote"] = True

    _replace(database, "write_rows", watched)


def _watch_flush(store: PostgresStore, points: Points) -> None:
    """The intake's COPY has a connection of its own."""
    database = store._postgres
    flush = database.flush

    async def watched(deliveries: Sequence[NewDelivery]) -> None:
        points.meet("accept:before")
        await flush(deliveries)
        if points.meet("accept:after"):
            raise asyncpg.ConnectionDoesNotExistError("the answer to the commit was lost")

    _replace(database, "flush", watched)


# --- the tools ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Service:
    """A service whose effects meet their points; looks pass by."""

    service: HttpService
    points: Points

    @property
    def idempotent(self) -> bool:
        return self.service.idempotent

    async def call(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        gate: Gate | None = None,
    ) -> HttpReply:
        if method == "GET":
            return await self.service.call(method, path, json, headers, gate)
        direction = (headers or {}).get("Idempotency-Key", "").rpartition(":")[2] or "send"
        self.points.meet(f"{direction}:before")
        reply = await self.service.call(method, path, json, headers, gate)
        if self.points.meet(f"{direction}:after"):
            raise Uncertain("the answer was lost")
        return reply


class _Session:
    """A session of a database whose changes meet their points."""

    def __init__(self, session: Any, direction: str, points: Points) -> None:  # noqa: ANN401 -- of either database
        self._session, self._direction, self._points = session, direction, points
        self.read = session.read

    async def change(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 -- as above
        self._points.meet(f"{self._direction}:before")
        answer = await self._session.change(*given, **named)
        if self._points.meet(f"{self._direction}:after"):
            raise Uncertain("the answer was lost")
        return answer


class _Database:
    """A database whose effects meet their points; looks pass by (``ports.tools.Postgres`` and ``Redis``)."""

    def __init__(self, database: Any, points: Points) -> None:  # noqa: ANN401 -- either of them
        self._database, self._points = database, points
        self.parameters, self.read = database.parameters, database.read

    def behind(self, gate: Gate) -> "_Database":
        return _Database(self._database.behind(gate), self._points)

    @asynccontextmanager
    async def fenced(self, key: str) -> AsyncIterator[Any]:
        direction = key.rpartition(":")[2]
        self._points.meet(f"{direction}:fenced")  # nobody holds anything yet: whoever is late must be refused later
        async with self._database.fenced(key) as session:
            yield _Session(session, direction, self._points)


class _Outside:
    """Something else whose effects meet their points: calls of ``changes``. Looks pass by."""

    def __init__(self, outside: Any, changes: Sequence[str], points: Points) -> None:  # noqa: ANN401 -- whatever it is
        self._outside, self._changes, self._points = outside, changes, points

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as above
        found = getattr(self._outside, name)
        return self._watched(found) if name in self._changes else found

    def behind(self, gate: Gate) -> "_Outside":
        return _Outside(self._outside.behind(gate), self._changes, self._points)

    def _watched(self, change: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*given: Any, **named: Any) -> Any:  # noqa: ANN401 -- as above
            self._points.meet("do:before")
            answer = await change(*given, **named)
            if self._points.meet("do:after"):
                raise Uncertain("the answer was lost")
            return answer

        return call


class _Host:
    """A machine whose runs meet their points; looks pass by (``ports.hosts.Host``)."""

    def __init__(self, host: Host, points: Points) -> None:
        self._host, self._points = host, points
        self.place, self.job, self.undoable, self.read = host.place, host.job, host.undoable, host.read
        self.may_restart = host.may_restart
        self.outcome, self.told, self.examine = host.outcome, host.told, host.examine

    def behind(self, gate: Gate) -> "_Host":
        return _Host(self._host.behind(gate), self._points)

    async def run(self, job: Job, key: str, place: str) -> bool:
        direction = key.rpartition(":")[2]
        self._points.meet(f"{direction}:before")
        running = asyncio.create_task(self._host.run(job, key, place))
        await asyncio.wait([running], timeout=0.1)
        self._points.meet(f"{direction}:meanwhile")
        answer = await running
        if self._points.meet(f"{direction}:after"):
            raise Uncertain("the answer was lost")
        return answer


class _Cluster:
    """A cluster whose effects meet their points; looks and dry runs pass by (``ports.tools.Cluster``)."""

    def __init__(self, cluster: Cluster, points: Points) -> None:
        self._cluster, self._points = cluster, points
        self.reconcilers = cluster.reconcilers
        self.get, self.find, self.list, self.text = cluster.get, cluster.find, cluster.list, cluster.text

    async def patch(self, path: str, body: JsonValue, *given: Any, dry_run: bool = False) -> Any:  # noqa: ANN401 -- as the port
        if dry_run:
            return await self._cluster.patch(path, body, *given, dry_run=True)
        marked: Any = body
        key = marked["metadata"]["annotations"][MARKER]
        return await self._meeting(key.rpartition(":")[2], self._cluster.patch(path, body, *given))

    async def create(self, path: str, body: Any, *given: Any, dry_run: bool = False) -> Any:  # noqa: ANN401 -- as the port
        if dry_run:
            return await self._cluster.create(path, body, *given, dry_run=True)
        return await self._meeting("do", self._cluster.create(path, body, *given))

    async def delete(self, path: str, options: Any, *given: Any, dry_run: bool = False) -> Any:  # noqa: ANN401 -- as the port
        if dry_run:
            return await self._cluster.delete(path, options, *given, dry_run=True)
        return await self._meeting("do", self._cluster.delete(path, options, *given))

    async def _meeting(self, direction: str, sending: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 -- as the port
        try:
            self._points.meet(f"{direction}:before")
            answer = await sending
        finally:
            sending.close()
        if self._points.meet(f"{direction}:after"):
            raise Uncertain("the answer was lost")
        return answer


@dataclass(frozen=True, slots=True)
class WatchedTools:
    """The configured tools; each effect meets its points."""

    tools: Toolbox
    points: Points

    def http(self, name: str) -> HttpService:
        """Return the named service."""
        return _Service(self.tools.http(name), self.points)

    def cluster(self, name: str) -> Any:  # noqa: ANN401 -- stands in for the port
        """Return the named cluster."""
        return _Cluster(self.tools.cluster(name), self.points)

    def cluster_of(self, labels: Mapping[str, str]) -> str:
        """Return the name of the cluster of an alert."""
        return self.tools.cluster_of(labels)

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        """Return the Prometheus for these labels."""
        return self.tools.prometheus(labels)

    def postgres(self, name: str) -> Postgres:
        """Return the named PostgreSQL."""
        return _Database(self.tools.postgres(name), self.points)

    def redis(self, name: str) -> Redis:
        """Return the named Redis."""
        return _Database(self.tools.redis(name), self.points)

    def alertmanager(self, name: str) -> Silencing:
        """Return the Alertmanager of a source."""
        return cast("Silencing", _Outside(self.tools.alertmanager(name), ("silence", "expire"), self.points))

    def docker(self, name: str) -> Containers:
        """Return the named container engine."""
        return cast("Containers", _Outside(self.tools.docker(name), ("restart", "update"), self.points))

    def pooler(self, name: str) -> Pooler:
        """Return the named console."""
        return cast("Pooler", _Outside(self.tools.pooler(name), ("change",), self.points))

    def host(self, name: str) -> Host:
        """Return the named machine."""
        return cast("Host", _Host(self.tools.host(name), self.points))

    async def close(self) -> None:
        """Give the connections back."""
        await self.tools.close()


# --- the channels -------------------------------------------------------------------------------------------------

_SENDS = (("slack", "post"), ("slack", "update"), ("pagerduty", "send"))


def watch_channels(channels: Channels, points: Points) -> Channels:
    """Let every message that is sent meet its points; looks pass by."""
    for kind, name in _SENDS:
        if kind in channels.notifiers:
            behind = vars(channels.notifiers[kind])["_notifier"]  # what it is masked by
            client = vars(behind)["_client"]
            setattr(client, name, _sending(f"{kind}.{name}", getattr(client, name), points))
    return channels


def _sending(name: str, send: Callable[..., Awaitable[Any]], points: Points) -> Callable[..., Awaitable[Any]]:
    async def watched(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- whatever the client sends
        points.meet(f"{name}:before")
        answer = await send(*args, **named)
        if points.meet(f"{name}:after"):
            raise DeliveryError("the answer was lost", uncertain=True)
        return answer

    return watched
