"""``postgres.connections``: how full the server is."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::float8
  / (pg_catalog.current_setting('max_connections')::int
     - pg_catalog.current_setting('superuser_reserved_connections')::int) AS value"""


class PostgresConnections(Probe):
    """Read what share of the server's connections is taken, between 0 and 1, without those kept for superusers."""

    name: ClassVar[str] = "postgres.connections"
    example: ClassVar[str] = """\
name: connections
probe: postgres.connections
with: { connection: main }
below: 80%
within: 1m
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the share; our own few sessions count, too."""
        rows = await tools.postgres(self.connection).read(_LOOK)
        return Reading((float(str(rows[0]["value"])),))
