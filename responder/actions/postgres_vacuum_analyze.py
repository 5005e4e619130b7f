"""``postgres.vacuum_analyze``: clean up one table, and count what is in it anew."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from responder.domain.errors import Permanent, StepError, Uncertain
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import connection_name
from responder.ports.tools import PostgresSession, Tools

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}\.[A-Za-z_][A-Za-z0-9_$]{0,62}")
_MEGABYTE = 2**20
_LOOK = """\
SELECT t.vacuum_count + t.analyze_count AS times, t.n_dead_tup AS dead,
  pg_catalog.pg_total_relation_size(t.relid) AS bytes,
  pg_catalog.pg_has_role(c.relowner, 'USAGE') OR EXISTS (SELECT FROM pg_catalog.pg_database d
    WHERE d.datname = pg_catalog.current_database() AND pg_catalog.pg_has_role(d.datdba, 'USAGE')) AS allowed,
  pg_catalog.format('VACUUM (ANALYZE, SKIP_LOCKED) %I.%I', t.schemaname, t.relname) AS statement
FROM pg_catalog.pg_stat_user_tables t JOIN pg_catalog.pg_class c ON c.oid = t.relid
WHERE t.schemaname || '.' || t.relname = $1"""


class PostgresVacuumAnalyze(Action):
    """Run `VACUUM (ANALYZE)` on one table of moderate size; what is locked is passed over."""

    name: ClassVar[str] = "postgres.vacuum_analyze"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "session"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("postgres", "table or database", ("its owner",)),)
    reach: ClassVar[str] = "postgres"
    example: ClassVar[str] = """\
postgres.vacuum_analyze:
  table: public.orders
"""

    table: str = Field(description="the table with its schema, such as public.orders")
    max_megabytes: int = Field(
        default=256, ge=1, le=4096, description="a larger table is left alone: an effect must end within nine seconds"
    )

    @field_validator("table")
    @classmethod
    def _named(cls, table: str) -> str:
        if not _TABLE.fullmatch(table):
            msg = f"{table!r} is not a table with its schema, such as public.orders"
            raise ValueError(msg)
        return table

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Look how often it was done by hand so far: that proves that it was done once more."""
        rows = await tools.postgres(connection_name(target)).read(_LOOK, self.table)
        if not rows:
            raise Permanent(f"there is no table {self.table}")
        row = rows[0]
        if not row["allowed"]:
            raise Permanent(f"{self.table} belongs to somebody else: only its owner may clean it up")
        if int(str(row["bytes"])) > self.max_megabytes * _MEGABYTE:
            raise Permanent(f"{self.table} is larger than {self.max_megabytes} MB")
        return Snapshot({"table": self.table, "done": False}, str(row["times"]))

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it will be done."""
        return {**(before if isinstance(before, Mapping) else {}), "done": True}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Do it once."""
        async with tools.postgres(connection_name(target)).fenced(record.key("do")) as session:
            if not await self._done(session, record):
                (row,) = await session.read(_LOOK, self.table)
                await session.change(str(row["statement"]), certain=False)
                try:
                    done = await self._done(session, record)
                except StepError as error:
                    raise Uncertain(f"it was sent, and cannot be looked at: {error}") from error
                if not done:
                    raise Permanent(f"PostgreSQL passed over {self.table}: it is locked")
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Say whether it was done since, once nobody can send it any more."""
        async with tools.postgres(connection_name(target)).fenced(record.key("do")) as session:
            return Landed.YES if await self._done(session, record) else Landed.NO

    async def _done(self, session: PostgresSession, record: Record) -> bool:
        rows = await session.read(_LOOK, self.table)
        return bool(rows) and int(str(rows[0]["times"])) > int(record.fence)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: nothing was changed that anybody would want back."""
        raise Permanent("a clean-up cannot be undone")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: nothing is left to be changed by others."""
        return False
