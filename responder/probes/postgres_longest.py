"""``postgres.longest``: how long something has been going on."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
SELECT coalesce(max(extract(epoch FROM pg_catalog.clock_timestamp() - CASE WHEN $1 = 'query' THEN
    CASE WHEN state = 'active' THEN query_start END ELSE xact_start END)), 0)::float8 AS value
FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' AND datname = pg_catalog.current_database()
  AND pid <> pg_catalog.pg_backend_pid()"""


class PostgresLongest(Probe):
    """Read the age in seconds of the oldest statement or transaction of this database; none at all is 0."""

    name: ClassVar[str] = "postgres.longest"
    example: ClassVar[str] = """\
name: the longest transaction
probe: postgres.longest
with: { connection: main, what: transaction }
below: 300
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    what: Literal["query", "transaction"] = Field(default="query", description="a statement, or a transaction")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the age."""
        rows = await tools.postgres(self.connection).read(_LOOK, self.what)
        return Reading((float(str(rows[0]["value"])),))
