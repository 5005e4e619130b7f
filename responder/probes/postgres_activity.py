"""``postgres.activity``: how many sessions are at what."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.inputs import DurationText, like, seconds
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
SELECT count(*)::float8 AS value FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' AND datname = pg_catalog.current_database()
  AND pid <> pg_catalog.pg_backend_pid() AND coalesce(application_name, '') LIKE $2
  AND (state_change IS NULL OR state_change <= pg_catalog.clock_timestamp() - make_interval(secs => $3))
  AND CASE $1 WHEN 'any' THEN true WHEN 'waiting' THEN wait_event_type = 'Lock'
    WHEN 'idle in transaction' THEN state LIKE 'idle in transaction%' ELSE state = $1 END"""


class PostgresActivity(Probe):
    """Count the sessions of this database in a state, or of an application, for longer than a duration."""

    name: ClassVar[str] = "postgres.activity"
    example: ClassVar[str] = """\
name: idle in transaction
probe: postgres.activity
with: { connection: main, state: "idle in transaction", longer_than: 1m }
below: 5
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    state: Literal["any", "active", "idle", "idle in transaction", "waiting"] = Field(
        default="any", description="what they are at; waiting is for a lock"
    )
    application: str = Field(default="*", description="their application_name; `*` stands for any text")
    longer_than: DurationText = Field(default="0s", description="for how long at least")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return how many there are."""
        rows = await tools.postgres(self.connection).read(
            _LOOK, self.state, like(self.application), seconds(self.longer_than)
        )
        return Reading((float(str(rows[0]["value"])),))
