"""``postgres.cache_hit_ratio``: how much is read from memory."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
SELECT blks_hit::float8 / nullif(blks_hit + blks_read, 0) AS value
FROM pg_catalog.pg_stat_database WHERE datname = pg_catalog.current_database()"""


class PostgresCacheHitRatio(Probe):
    """Read what share of this database's blocks was found in memory since its statistics began, between 0 and 1."""

    name: ClassVar[str] = "postgres.cache_hit_ratio"
    example: ClassVar[str] = """\
name: cache
probe: postgres.cache_hit_ratio
with: { connection: main }
at_least: 95%
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the share; where nothing was read there is no data."""
        rows = await tools.postgres(self.connection).read(_LOOK)
        found = rows[0]["value"] if rows else None
        return Reading(()) if found is None else Reading((float(str(found)),))
