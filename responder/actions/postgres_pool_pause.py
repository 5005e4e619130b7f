"""``postgres.pool_pause`` and ``postgres.pool_resume``: let the clients of a database of PgBouncer wait, and go on."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.actions.by_value import ValueAction
from responder.domain.errors import Permanent, StepError, Uncertain
from responder.domain.records import Record
from responder.ports.action import Permission, Snapshot
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

DATABASE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$"


class PostgresPoolPause(ValueAction):
    """Pause a database on PgBouncer's console: its clients wait, and each server connection is closed once it is free.

    It takes hold at once; that the transactions under way have ended, the probe `postgres.pool` says. What ends it, the
    playbook says: a later `postgres.pool_resume`, or `revert_after`. PgBouncer turns clients away that have waited for
    its `query_wait_timeout`. The console has no way to refuse what comes late: in doubt nothing is repeated, and
    `mode: auto` needs `accept: unfenced`.
    """

    name: ClassVar[str] = "postgres.pool_pause"
    ended_by: ClassVar[str] = "postgres.pool_resume"
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("pgbouncer", "console", ("admin_users",)),)
    reach: ClassVar[str] = "pgbouncer"
    example: ClassVar[str] = """\
postgres.pool_pause:
  database: shop
"""

    database: str = Field(pattern=DATABASE, description="its name, as clients and PgBouncer's file call it")

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read whether it is paused, and say how long clients wait."""
        image = await self.seen(target, tools)
        rows = await tools.pooler(connection_name(target)).read("SHOW CONFIG")
        seconds = next((row.get("value", "") for row in rows if row.get("key") == "query_wait_timeout"), "")
        waits = "; clients that wait are never turned away" if seconds == "0" else ""
        waits = f"; clients are turned away when they have waited for {seconds} s" if seconds.strip("0") else waits
        return Snapshot(image, note=f"PgBouncer holds back {self.database}{waits}" if self._pauses else "")

    async def seen(self, target: str, tools: Tools) -> JsonValue:
        """Read whether it is paused."""
        return {"paused": (await self._row(target, tools)).get("paused") != "0"}

    async def _row(self, target: str, tools: Tools) -> Mapping[str, str]:
        rows = await tools.pooler(connection_name(target)).read("SHOW DATABASES")
        found = next((row for row in rows if row.get("name") == self.database), None)
        if found is None or "paused" not in found:
            raise Permanent(f"this PgBouncer has no database {self.database}")
        return found

    @property
    def _pauses(self) -> bool:
        return True

    def change(self, before: JsonValue) -> JsonValue:
        """Return whether it will be paused."""
        del before
        return {"paused": self._pauses}

    async def put(self, target: str, image: JsonValue, tools: Tools) -> None:
        """Pause or resume it; a pause is answered only when the last transaction has ended, and holds before that."""
        if not isinstance(image, Mapping) or "paused" not in image:
            raise Permanent("the record does not say whether it is paused")
        verb = "PAUSE" if image["paused"] else "RESUME"
        try:
            await tools.pooler(connection_name(target)).change(f'{verb} "{self.database}"')
        except Uncertain:
            if not image["paused"] or not await self._ending(target, tools):
                raise

    async def _ending(self, target: str, tools: Tools) -> bool:
        """Whether it is paused and only waits for transactions to end."""
        try:
            row = await self._row(target, tools)
        except StepError:
            return False
        return row["paused"] != "0" and row.get("current_connections", "0") != "0"

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say whether there is anything to put back: who has resumed it has done so for us."""
        return await self.seen(target, tools) not in (record.before, record.observed)

    def said(self, image: JsonValue) -> str:
        """Return whether it is paused."""
        return f"{self.database} is {'' if image == {'paused': True} else 'not '}paused"


class PostgresPoolResume(PostgresPoolPause):
    """Resume a database on PgBouncer's console: its clients go on.

    Nobody pauses it again by itself, so it has no undo: the step needs `undo: none`.
    """

    name: ClassVar[str] = "postgres.pool_resume"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    ended_by: ClassVar[str] = ""
    example: ClassVar[str] = """\
postgres.pool_resume:
  database: shop
undo: none
"""

    @property
    def _pauses(self) -> bool:
        return False

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: what waited has gone on."""
        raise Permanent("a database that was resumed is not paused again by itself")
