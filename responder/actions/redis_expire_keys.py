"""``redis.expire_keys``: give keys an end that have none."""

from typing import ClassVar, Literal

from pydantic import Field

from responder.actions.redis_keys import RedisKeys
from responder.domain.records import Record
from responder.ports.inputs import DurationText, seconds
from responder.ports.tools import Tools


class RedisExpireKeys(RedisKeys):
    """Let keys that fit a pattern and never expire do so; undo keeps those for ever again that are there still."""

    name: ClassVar[str] = "redis.expire_keys"
    done: ClassVar[str] = "expiring"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "compensates"
    example: ClassVar[str] = """\
redis.expire_keys:
  pattern: "session:*"
  after: 1h
"""

    after: DurationText = Field(description="how long from now on they are kept, such as 1h")

    def each(self) -> str:
        """Return the Lua for one key; what has an end already keeps it."""
        millis = max(1, round(seconds(self.after) * 1000))
        return f"if redis.call('PTTL', KEYS[i]) == -1 then n = n + redis.call('PEXPIRE', KEYS[i], {millis}) end"

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Take the end from those that have none later than ours."""
        millis = max(1, round(seconds(self.after) * 1000))
        each = (
            f"local t = redis.call('PTTL', KEYS[i]) if t >= 0 and t <= {millis} then redis.call('PERSIST', KEYS[i]) end"
        )
        await self._once(target, record, "undo", each, tools)
