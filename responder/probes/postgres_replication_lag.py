"""``postgres.replication_lag``: how far standbys are behind."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.errors import Permanent
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Row, Tools

_LOOK = """\
SELECT application_name AS name, state,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::float8 AS bytes,
  CASE WHEN state = 'streaming' THEN coalesce(extract(epoch FROM replay_lag), 0) END::float8 AS seconds
FROM pg_catalog.pg_stat_replication WHERE state IS NULL OR state <> 'backup' AND replay_lsn IS NOT NULL"""
"""One that still catches up counts. Its time is not known: the server measures it from when the standby came back."""
_STANDBY = """\
SELECT 'this standby' AS name, status AS state, pg_catalog.pg_wal_lsn_diff(
    pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::float8 AS bytes,
  CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
    ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
  END::float8 AS seconds
FROM pg_catalog.pg_stat_wal_receiver WHERE status IS NULL OR status = 'streaming'"""
"""What was received tells nothing where nothing is: one that has lost its primary has soon replayed all of it."""


class PostgresReplicationLag(Probe):
    """Read how far the standbys are behind: one value for each, in bytes or seconds; of a standby, its own.

    There is no data on a standby that receives nothing from its primary: it cannot know. Of one that still catches up,
    bytes are known and seconds are not; then there is no data of the others in seconds, either.
    """

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
        if not rows:
            return Reading((), "it receives nothing from its primary" if role["standby"] else "nobody follows")
        return self._read(rows)

    def _read(self, rows: Sequence[Row]) -> Reading:
        # Whoever lacks the right sees that somebody is there, and NULL for all else.
        if any(row["state"] is None for row in rows):
            raise Permanent("how far standbys are behind cannot be seen: it takes the role pg_monitor")
        unknown = [str(row["name"]) for row in rows if row[self.unit] is None]
        if unknown:
            return Reading((), f"how many {self.unit} {', '.join(unknown)} is behind is not known yet")
        return Reading(tuple(float(str(row[self.unit])) for row in rows))
