"""``postgres.pool_size``: let PgBouncer open more or fewer connections to PostgreSQL, and put the old number back."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.actions.by_value import ValueAction
from responder.domain.errors import Permanent
from responder.ports.action import Permission
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

SETTINGS = {"pool": "default_pool_size", "reserve": "reserve_pool_size", "minimum": "min_pool_size"}
LARGEST = 10_000


class PostgresPoolSize(ValueAction):
    """Set a pool size on PgBouncer's console; it holds until PgBouncer reads its file again.

    It is that of every database whose line in the file names none. The console has no way to refuse what comes late: in
    doubt none is repeated, and `mode: auto` needs `accept: unfenced`.
    """

    name: ClassVar[str] = "postgres.pool_size"
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

    async def seen(self, target: str, tools: Tools) -> JsonValue:
        """Read the size."""
        rows = await tools.pooler(connection_name(target)).read("SHOW CONFIG")
        value = next((row.get("value", "") for row in rows if row.get("key") == self._setting), "")
        if not value.isdigit():
            raise Permanent(f"this PgBouncer does not say what {self._setting} is")
        return {self._setting: int(value)}

    def change(self, before: JsonValue) -> JsonValue:
        """Return the size as it will be."""
        del before
        return {self._setting: self.size}

    async def put(self, target: str, image: JsonValue, tools: Tools) -> None:
        """Set the size."""
        size = image.get(self._setting) if isinstance(image, Mapping) else None
        if not isinstance(size, int):
            raise Permanent(f"the record holds no {self._setting}")
        await tools.pooler(connection_name(target)).change(f"SET {self._setting} = {size}")

    def said(self, image: JsonValue) -> str:
        """Return which size it is."""
        return f"{self._setting} is {image.get(self._setting) if isinstance(image, Mapping) else image}"
