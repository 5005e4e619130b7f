"""``redis.big_keys``: how large the largest keys are, by looking at some."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field, JsonValue

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Redis, Tools


class RedisBigKeys(Probe):
    """Sample keys at random and read the size in bytes of the largest; as a list, those above a size."""

    name: ClassVar[str] = "redis.big_keys"
    lists: ClassVar[bool] = True
    example: ClassVar[str] = """\
name: the largest key seen
probe: redis.big_keys
with: { connection: cache, samples: 100 }
below: 10000000
"""

    connection: str = Field(description='a name under connections.redis, or "{{ connection }}"')
    samples: int = Field(default=100, ge=1, le=1000, description="how many keys are looked at")
    above: int = Field(default=1_000_000, ge=0, description="bytes; as items, only keys larger than this")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the largest size; an empty database is no data."""
        found = await self._sample(tools.redis(self.connection))
        if not found:
            return Reading((), "no keys")
        key, size = max(found.items(), key=lambda one: one[1])
        return Reading((float(size),), key if key.isprintable() else "")

    async def items(self, labels: Mapping[str, str], tools: Tools) -> Sequence[JsonValue]:
        """Return the keys above the size, the largest first."""
        found = await self._sample(tools.redis(self.connection))
        large = sorted(((size, key) for key, size in found.items() if size > self.above), reverse=True)
        return [{"key": key, "bytes": size} for size, key in large if key.isprintable()]

    async def _sample(self, redis: Redis) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for _ in range(self.samples):
            key = await redis.read("RANDOMKEY")
            if key is None:
                break
            if str(key) in found:
                continue
            size = await redis.read("MEMORY", "USAGE", str(key))
            if isinstance(size, int):
                found[str(key)] = size
        return found
