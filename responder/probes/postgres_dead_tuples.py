"""``postgres.dead_tuples``: how much there is to clean up."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field, JsonValue

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
SELECT schemaname || '.' || relname AS name,
  coalesce(n_dead_tup::float8 / nullif(n_dead_tup + n_live_tup, 0), 0) AS share, n_dead_tup::float8 AS dead
FROM pg_catalog.pg_stat_user_tables
WHERE ($1::text IS NULL OR schemaname || '.' || relname = $1) AND ($1::text IS NOT NULL OR n_dead_tup >= $2)
ORDER BY 2 DESC LIMIT 100"""


class PostgresDeadTuples(Probe):
    """Read what share of the rows of a table, or of the worst, is dead, from 0 to 1; as a list, the tables above it."""

    name: ClassVar[str] = "postgres.dead_tuples"
    lists: ClassVar[bool] = True
    example: ClassVar[str] = """\
name: dead rows
probe: postgres.dead_tuples
with: { connection: main, table: public.orders }
below: 20%
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    table: str | None = Field(default=None, description="the table with its schema; without it, the worst one counts")
    least: int = Field(default=1000, ge=0, description="how many dead rows a table must have to count")
    above: float = Field(default=0.2, ge=0, le=1, description="as items, only tables with more than this share")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the share; a table that is not there is no data, and no table to count is a share of 0."""
        rows = await tools.postgres(self.connection).read(_LOOK, self.table, self.least)
        if not rows:
            return Reading((), f"there is no table {self.table}") if self.table else Reading((0.0,))
        return Reading((float(str(rows[0]["share"])),), str(rows[0]["name"]))

    async def items(self, labels: Mapping[str, str], tools: Tools) -> Sequence[JsonValue]:
        """Return the tables above the share, the worst first."""
        rows = await tools.postgres(self.connection).read(_LOOK, self.table, self.least)
        return [{"name": row["name"], "share": row["share"]} for row in rows if float(str(row["share"])) > self.above]
