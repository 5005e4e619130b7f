"""``postgres.statements``: which statements take the time."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_THERE = """\
SELECT n.nspname AS schema, pg_catalog.format($q$
  SELECT mean_exec_time::float8 AS value, queryid::text AS note FROM %I.pg_stat_statements
  WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND calls >= $1 ORDER BY mean_exec_time DESC LIMIT 1$q$, n.nspname) AS statement
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'"""


class PostgresStatements(Probe):
    """Read the mean time in ms of the slowest kind of statement; it takes the extension `pg_stat_statements`."""

    name: ClassVar[str] = "postgres.statements"
    example: ClassVar[str] = """\
name: slowest statement
probe: postgres.statements
with: { connection: main, calls: 10 }
below: 500
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    calls: int = Field(default=10, ge=1, description="how often a statement must have run to count")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the time, with the number of the statement as a note; without the extension there is no data."""
        postgres = tools.postgres(self.connection)
        there = await postgres.read(_THERE)
        if not there:
            return Reading((), "the extension pg_stat_statements is not there")
        rows = await postgres.read(str(there[0]["statement"]), self.calls)
        return Reading((float(str(rows[0]["value"])),), str(rows[0]["note"])) if rows else Reading(())
