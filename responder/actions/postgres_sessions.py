"""What the actions that end sessions or their statements share: whom they may touch, and how each is told again."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.errors import Permanent, Temporary
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import connection_name
from responder.ports.tools import PostgresSession, Row, Tools

SETTLES, GLANCE = 2.0, 0.5
"""Seconds that a signalled session has to be gone, when it was signalled and when it may have been."""
SPARED = r"^(responder|pg_dump|pg_restore|pg_basebackup|pg_receivewal|pg_recvlogical|pgbackrest|barman|wal-g)"
"""Applications that are never touched: our own sessions, and who copies the database."""
TOUCHABLE = """\
FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
WHERE a.backend_type = 'client backend' AND a.datname = pg_catalog.current_database()
  AND a.pid <> pg_catalog.pg_backend_pid() AND NOT r.rolsuper AND NOT r.rolreplication
  AND a.application_name !~* $1"""
"""Ordinary clients of this database; of nobody who may do anything, and of nobody who replicates."""
COLUMNS = """\
a.pid, a.usename::text AS "user", a.application_name AS application, a.state,
  extract(epoch FROM a.backend_start)::text AS started,
  extract(epoch FROM a.{since})::text AS since,
  extract(epoch FROM pg_catalog.clock_timestamp() - a.{since})::float8 AS seconds"""
_SAME = """\
unnest($1::int[], $2::text[], $3::text[]) AS w(pid, started, since)
  ON w.pid = a.pid AND w.started = extract(epoch FROM a.backend_start)::text
  AND w.since = extract(epoch FROM a.{since})::text{active}"""
_THERE = f"SELECT a.pid FROM pg_catalog.pg_stat_activity a JOIN {_SAME}"  # noqa: S608 - of constants
_SIGNAL = f"SELECT a.pid, pg_catalog.{{function}}(a.pid) FROM pg_catalog.pg_stat_activity a JOIN {_SAME}"  # noqa: S608 - of constants
_PIDS = """\
SELECT a.pid FROM pg_catalog.pg_stat_activity a
JOIN unnest($1::int[], $2::text[]) AS w(pid, started)
  ON w.pid = a.pid AND w.started = extract(epoch FROM a.backend_start)::text"""


class PostgresSessions(Action):
    """End sessions, or what they are at; each is told by its process, its start, and since when it is at that."""

    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "session"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("postgres", "roles", ("pg_read_all_stats", "pg_signal_backend")),
    )
    reach: ClassVar[str] = "postgres"

    application: str = Field(default="*", description="their application_name; `*` stands for any text")
    user: str = Field(default="*", description="their user; `*` stands for any text")
    max: int = Field(default=20, ge=1, le=500, description="how many at most, the longest first")

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Find them."""
        rows = await tools.postgres(connection_name(target)).read(*self.search())
        fitting = [
            row
            for row in rows
            if fnmatchcase(str(row["application"]), self.application) and fnmatchcase(str(row["user"]), self.user)
        ]
        fitting.sort(key=_seconds, reverse=True)
        return Snapshot({"sessions": [_kept(row) for row in fitting[: self.max]]})

    def change(self, before: JsonValue) -> JsonValue:
        """Return which will be ended; raises ValueError when there is none."""
        found = _sessions(before)
        if not found:
            msg = self.nobody()
            raise ValueError(msg)
        ended: list[JsonValue] = [*sorted(map(pid, found))]
        return {"ended": ended}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Signal those that are at the same still, once, and wait until they are gone."""
        wanted = _sessions(record.before)
        async with tools.postgres(connection_name(target)).fenced(record.key("do")) as session:
            if await self._same(session, wanted):
                function = "pg_cancel_backend" if self.cancels else "pg_terminate_backend"
                signal = _SIGNAL.format(function=function, **self._told_by())
                await session.change(signal, *_identities(wanted), certain=False)
            await self._wait(session, wanted, SETTLES)
            ended = await self._ended(session, wanted)
        if not ended:
            raise Temporary("every one of these sessions is at something else by now")
        return {"ended": ended}

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Say whether any of them is at the same still, once nobody can signal them any more."""
        del direction
        wanted = _sessions(record.before)
        async with tools.postgres(connection_name(target)).fenced(record.key("do")) as session:
            if await self._wait(session, wanted, GLANCE):
                return Landed.NO
            return Landed.YES if await self._ended(session, wanted) else Landed.NO

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: whoever was ended begins anew by itself."""
        raise Permanent("a session or statement that was ended cannot be brought back")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: nothing is left to be changed by others."""
        return False

    @property
    def cancels(self) -> bool:
        """Whether the statement is ended and the session is left."""
        return False

    @abstractmethod
    def search(self) -> tuple[str, *tuple[object, ...]]:
        """Return the statement that finds them, and its values."""

    @abstractmethod
    def nobody(self) -> str:
        """Say that there is none."""

    def _told_by(self) -> dict[str, str]:
        if self.cancels:
            return {"since": "query_start", "active": " AND a.state = 'active'"}
        return {"since": "state_change", "active": ""}

    async def _same(self, session: PostgresSession, wanted: Sequence[Row]) -> set[int]:
        """Return which are there and at the same still."""
        rows = await session.read(_THERE.format(**self._told_by()), *_identities(wanted))
        return {pid(row) for row in rows}

    async def _wait(self, session: PostgresSession, wanted: Sequence[Row], seconds: float) -> set[int]:
        until = time.monotonic() + seconds
        while (left := await self._same(session, wanted)) and time.monotonic() < until:  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.02)
        return left

    async def _ended(self, session: PostgresSession, wanted: Sequence[Row]) -> list[JsonValue]:
        """Return which are no longer there, or no longer at it; who has gone on to something else was spared."""
        if self.cancels:
            there = await self._same(session, wanted)
        else:
            pids, started, _ = _identities(wanted)
            there = {pid(row) for row in await session.read(_PIDS, pids, started)}
        return [*sorted({pid(one) for one in wanted} - there)]


def pid(row: Row) -> int:
    """Return the process of a session."""
    return int(str(row["pid"]))


def _sessions(before: JsonValue) -> list[Row]:
    found = before.get("sessions") if isinstance(before, Mapping) else None
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _identities(wanted: Sequence[Row]) -> tuple[list[int], list[str], list[str]]:
    return [pid(one) for one in wanted], [str(one["started"]) for one in wanted], [str(one["since"]) for one in wanted]


def _seconds(row: Row) -> float:
    return float(str(row["seconds"] or 0))


def _kept(row: Row) -> JsonValue:
    """Return what a record keeps of a session: who it is; never what it says, which may hold anything."""
    return {name: row[name] for name in ("pid", "started", "since", "user", "application", "state")}
