"""``postgres.cancel_blockers``: end what others wait for and what waits for nobody itself."""

from typing import ClassVar

from pydantic import Field

from responder.actions.postgres_sessions import COLUMNS, SPARED, TOUCHABLE, PostgresSessions
from responder.ports.inputs import DurationText, seconds

_SEARCH = """\
WITH waiting AS (
  SELECT l.pid, pg_catalog.unnest(pg_catalog.pg_blocking_pids(l.pid)) AS by, min(l.waitstart) AS start
  FROM pg_catalog.pg_locks l WHERE NOT l.granted GROUP BY l.pid)
SELECT {columns}
{touchable} AND a.pid NOT IN (SELECT pid FROM waiting) {active}
  AND a.pid IN (SELECT by FROM waiting WHERE start < pg_catalog.clock_timestamp() - make_interval(secs => $2))"""


class PostgresCancelBlockers(PostgresSessions):
    """Cancel what is at the root of a tree of waiting sessions: it holds a lock, and waits for nobody."""

    name: ClassVar[str] = "postgres.cancel_blockers"
    example: ClassVar[str] = """\
postgres.cancel_blockers:
  waiting: 30s
  terminate: true
  max: 1
"""

    waiting: DurationText = Field(description="how long somebody has waited for it, such as 30s")
    terminate: bool = Field(
        default=False, description="end the session: a lock that an idle transaction holds is not let go otherwise"
    )

    @property
    def cancels(self) -> bool:
        """Whether the statement is ended and the session is left."""
        return not self.terminate

    def search(self) -> tuple[str, *tuple[object, ...]]:
        """Return the statement that finds them, and its values."""
        since, active = ("query_start", "AND a.state = 'active'") if self.cancels else ("state_change", "")
        statement = _SEARCH.format(columns=COLUMNS.format(since=since), touchable=TOUCHABLE, active=active)
        return (statement, SPARED, seconds(self.waiting))

    def nobody(self) -> str:
        """Say that there is none."""
        found = f"nobody that may be ended has kept others waiting for {self.waiting}"
        return found + ("; what an idle transaction holds takes terminate: true" if self.cancels else "")
