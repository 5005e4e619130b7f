"""``redis.ttl_share``: what share of the keys has an end."""

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_COUNTS = re.compile(r"^db([0-9]+):keys=([0-9]+),expires=([0-9]+)", re.MULTILINE)


class RedisTtlShare(Probe):
    """Read what share of all keys expires by itself, between 0 and 1; an empty Redis is no data."""

    name: ClassVar[str] = "redis.ttl_share"
    example: ClassVar[str] = """\
name: keys that expire
probe: redis.ttl_share
with: { connection: cache }
at_least: 90%
"""

    connection: str = Field(description='a name under connections.redis, or "{{ connection }}"')

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the share over all databases: Redis counts both by itself."""
        found = _COUNTS.findall(str(await tools.redis(self.connection).read("INFO", "keyspace")))
        keys = sum(int(count) for _, count, _ in found)
        return Reading((sum(int(count) for _, _, count in found) / keys,)) if keys else Reading((), "no keys")
