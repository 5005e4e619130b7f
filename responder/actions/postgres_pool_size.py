"""``postgres.pool_size``: let PgBouncer open more or fewer connections to PostgreSQL, and put the old number back."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.errors import Drifted, Moved, Permanent, Uncertain
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot, landed_by_value
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

SETTINGS = {"pool": "default_pool_size", "reserve": "reserve_pool_size", "minimum": "min_pool_size"}
LARGEST = 10_000


class PostgresPoolSize(Action):
    """Set a pool size on PgBouncer's console; it holds until PgBouncer reads its file again.

    It is that of every database whose line in the file names none. The console has no way to refuse what comes late: in
    doubt none is repeated, and `mode: auto` needs `accept: unfenced`.
    """

    name: ClassVar[str] = "postgres.pool_size"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "none"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "value"
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("pgbouncer", "console", ("admin_users",)),)
    reach: ClassVar[str] = "pgbouncer"
    example: ClassVar[str] = """\
postgres.pool_size:
  of: pool
  size: 40
"""

    of: Literal["pool", "reserve", "minimum"] = Field(
        default="pool", description="`default_pool_size`, `reserve_pool_size` or `min_pool_size`"
    )
    size: int = Field(ge=0, le=LARGEST, description="how many connections for each pair of user and database")

    @property
    def _setting(self) -> str:
        return SETTINGS[self.of]

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the size."""
        return Snapshot(await self._seen(target, tools))

    async def _seen(self, target: str, tools: Tools) -> dict[str, JsonValue]:
        rows = await tools.pooler(connection_name(target)).read("SHOW CONFIG")
        value = next((row.get("value", "") for row in rows if row.get("key") == self._setting), "")
        if not value.isdigit():
            raise Permanent(f"this PgBouncer does not say what {self._setting} is")
        return {self._setting: int(value)}

    def change(self, before: JsonValue) -> JsonValue:
        """Return the size as it will be."""
        del before
        return {self._setting: self.size}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Set it once, if it still is as it was seen."""
        now = await self._seen(target, tools)
        if now == record.planned:
            return now
        if now != record.before:
            raise Moved(f"{self._setting} is {now[self._setting]} by now")
        await self._set(target, record.planned, tools)
        return record.planned

    async def _set(self, target: str, image: JsonValue, tools: Tools) -> None:
        size = image.get(self._setting) if isinstance(image, Mapping) else None
        if not isinstance(size, int):
            raise Permanent(f"the record holds no {self._setting}")
        await tools.pooler(connection_name(target)).change(f"SET {self._setting} = {size}")

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Compare the size with what it was and should have become."""
        return landed_by_value(record, direction, await self._seen(target, tools), record.before)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Set the old size again, unless somebody else has set another one since."""
        now = await self._seen(target, tools)
        if now == record.before:
            return
        if now != record.observed:
            raise Drifted(f"{self._setting} is {now[self._setting]}, and was set to {record.observed}")
        await self._set(target, record.before, tools)
        if await self._seen(target, tools) != record.before:
            raise Uncertain("the undo was sent, and the size is another one")
