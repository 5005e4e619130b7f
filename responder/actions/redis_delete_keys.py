"""``redis.delete_keys``: delete the keys that fit a pattern, up to a number."""

from typing import ClassVar, Literal

from responder.actions.redis_keys import RedisKeys
from responder.domain.errors import Permanent
from responder.domain.records import Record
from responder.ports.tools import Tools


class RedisDeleteKeys(RedisKeys):
    """Delete the keys that fit a pattern (`UNLINK`); with more than `max` of them nothing is done."""

    name: ClassVar[str] = "redis.delete_keys"
    done: ClassVar[str] = "deleted"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    example: ClassVar[str] = """\
redis.delete_keys:
  pattern: "page:*"
  max: 500
"""

    def each(self) -> str:
        """Return the Lua for one key."""
        return "n = n + redis.call('UNLINK', KEYS[i])"

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: what they held is not kept."""
        raise Permanent("deleted keys cannot be brought back")
