"""``redis.slowlog``: how many commands were slow of late."""

import time
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from responder.ports.inputs import DurationText, seconds
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

ENTRIES = 1000


class RedisSlowlog(Probe):
    """Count the entries of the slow log that are younger than a duration; what they said is not shown."""

    name: ClassVar[str] = "redis.slowlog"
    example: ClassVar[str] = """\
name: slow commands
probe: redis.slowlog
with: { connection: cache, within: 5m }
at_most: 3
"""

    connection: str = Field(description='a name under connections.redis, or "{{ connection }}"')
    within: DurationText = Field(default="5m", description="how far back to look")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return how many there are; the server's clock counts."""
        redis = tools.redis(self.connection)
        found = await redis.read("SLOWLOG", "GET", ENTRIES)
        rows = found if isinstance(found, list) else []
        since = time.time() - seconds(self.within)
        return Reading((float(sum(1 for row in rows if float(row[1]) >= since)),))
