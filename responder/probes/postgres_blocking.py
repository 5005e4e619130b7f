"""``postgres.blocking``: who waits for whom."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
WITH waiting AS (
  SELECT l.pid, pg_catalog.pg_blocking_pids(l.pid) AS by, min(l.waitstart) AS start
  FROM pg_catalog.pg_locks l WHERE NOT l.granted GROUP BY l.pid),
tree AS (
  SELECT w.pid, b.by FROM waiting w, unnest(w.by) AS b(by))
SELECT (SELECT count(*) FROM waiting)::float8 AS waiting,
  (SELECT count(DISTINCT by) FROM tree WHERE by NOT IN (SELECT pid FROM waiting))::float8 AS roots,
  (SELECT coalesce(max(extract(epoch FROM pg_catalog.clock_timestamp() - start)), 0)
   FROM waiting)::float8 AS longest_wait,
  (SELECT string_agg(format('%s waits for %s', pid, by), ', ') FROM (SELECT * FROM tree LIMIT 10) t) AS note"""


class PostgresBlocking(Probe):
    """Count the sessions that wait for a lock, or those that keep others waiting and wait for nobody themselves."""

    name: ClassVar[str] = "postgres.blocking"
    example: ClassVar[str] = """\
name: nobody waits
probe: postgres.blocking
with: { connection: main, figure: waiting }
equals: 0
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    figure: Literal["waiting", "roots", "longest_wait"] = Field(
        default="waiting",
        description="how many wait, whom they wait for in the end, or the longest wait in seconds",
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the figure, with the beginning of the tree as a note."""
        (row,) = await tools.postgres(self.connection).read(_LOOK)
        return Reading((float(str(row[self.figure])),), str(row["note"] or ""))
