"""``postgres.size``: how much room something takes."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOKS = {
    "database": "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())::float8 AS value, $1::text AS it",
    "table": """\
SELECT pg_catalog.pg_total_relation_size(relid)::float8 AS value
FROM pg_catalog.pg_stat_user_tables WHERE schemaname || '.' || relname = $1""",
    "wal": "SELECT sum(size)::float8 AS value, $1::text AS it FROM pg_catalog.pg_ls_waldir()",
}


class PostgresSize(Probe):
    """Read the size in bytes of this database, of a table with its indexes, or of the write-ahead log."""

    name: ClassVar[str] = "postgres.size"
    example: ClassVar[str] = """\
name: the database
probe: postgres.size
with: { connection: main }
below: 50000000000
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    of: Literal["database", "table", "wal"] = Field(default="database", description="what is measured")
    table: str | None = Field(default=None, description="the table with its schema, with of: table")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the size; a table that is not there is no data."""
        rows = await tools.postgres(self.connection).read(_LOOKS[self.of], self.table)
        if not rows:
            return Reading((), f"there is no table {self.table}")
        return Reading((float(str(rows[0]["value"])),))
