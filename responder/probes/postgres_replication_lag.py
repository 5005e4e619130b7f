"""``postgres.replication_lag``: how far standbys are behind."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
SELECT application_name AS name,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::float8 AS bytes,
  coalesce(extract(epoch FROM replay_lag), 0)::float8 AS seconds
FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'"""
_STANDBY = """\
SELECT '' AS name, pg_catalog.pg_wal_lsn_diff(
    pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::float8 AS bytes,
  CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
    ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
  END::float8 AS seconds"""


class PostgresReplicationLag(Probe):
    """Read how far the standbys are behind: one value for each, in bytes or seconds; of a standby, its own."""

    name: ClassVar[str] = "postgres.replication_lag"
    example: ClassVar[str] = """\
name: standbys
probe: postgres.replication_lag
with: { connection: main, unit: seconds }
below: 10
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    unit: Literal["bytes", "seconds"] = Field(default="bytes", description="what it is told in")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return one value for each standby; without any there is no data."""
        postgres = tools.postgres(self.connection)
        (role,) = await postgres.read("SELECT pg_catalog.pg_is_in_recovery() AS standby")
        rows = await postgres.read(_STANDBY if role["standby"] else _LOOK)
        values = [float(str(row[self.unit])) for row in rows if row[self.unit] is not None]
        return Reading(tuple(values), "" if values else "nobody follows")
