"""What ``redis.delete_keys`` and ``redis.expire_keys`` share: keys by a pattern, and one script that happens once."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from responder.domain.errors import Permanent
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import connection_name
from responder.ports.tools import Redis, Reply, Tools

FENCES = "responder:"
"""How the keys begin that say what was done; they go after a day."""
LITERAL = 3
"""How many plain characters a pattern begins with at least: ``*`` is a whole database."""
STEPS, BATCH = 2000, 1000
"""How many calls of SCAN a look takes at most, and how many keys each looks at."""
ONCE = """\
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
local n = 0
for i = 2, #KEYS do {each} end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '1', 'EX', 86400)
return n
"""
"""Does it to each key and leaves a mark, or finds the mark. DEL goes first: a script that has begun to write is let
write when Redis is full."""


class RedisKeys(Action):
    """Do something once to keys that fit a pattern; they are found first, and no others are touched."""

    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "key"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("redis", "keys", ("~PATTERN", "~responder:*")),
        Permission("redis", "commands", ("+scan", "+eval", "+exists", "+del", "+set", "+unlink", "+info")),
    )
    reach: ClassVar[str] = "redis"
    done: ClassVar[str]
    """What the keys are afterwards, in the plan."""

    pattern: str = Field(description="which keys, as SCAN has it (`session:*`); it begins with plain characters")
    max: int = Field(default=1000, ge=1, le=10_000, description="with more keys than this nothing is done")

    @field_validator("pattern")
    @classmethod
    def _narrow(cls, pattern: str) -> str:
        plain = re.split(r"[*?\[\\]", pattern, maxsplit=1)[0]
        if len(plain) < LITERAL or not pattern.isprintable():
            msg = f"{pattern!r} is too wide: begin it with at least {LITERAL} plain characters, such as session:*"
            raise ValueError(msg)
        if plain.startswith(FENCES):
            msg = f"keys that begin with {FENCES} say what was done; they are left alone"
            raise ValueError(msg)
        return pattern

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Find the keys."""
        redis = tools.redis(connection_name(target))
        found = await self._find(redis)
        return Snapshot({"keys": [*sorted(found)]}, await memory_of(redis))

    async def _find(self, redis: Redis) -> set[str]:
        found: set[str] = set()
        cursor = "0"
        for _ in range(STEPS):
            reply = await redis.read("SCAN", cursor, "MATCH", self.pattern, "COUNT", BATCH)
            cursor, keys = reply if isinstance(reply, list) else ("0", [])
            found |= {str(key) for key in keys}
            if len(found) > self.max:
                raise Permanent(f"more than {self.max} keys fit {self.pattern}: nothing is done")
            if str(cursor) == "0":
                break
        else:
            raise Permanent(f"there are too many keys to look for {self.pattern}: narrow what is kept there")
        if any(not key.isprintable() for key in found):
            raise Permanent(f"a key that fits {self.pattern} is no plain text: it could not be written down")
        return found

    def change(self, before: JsonValue) -> JsonValue:
        """Return which keys it is done to; raises ValueError when there is none."""
        if not keys_of(before):
            msg = f"no key fits {self.pattern}"
            raise ValueError(msg)
        return {self.done: [*keys_of(before)]}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Do it to the recorded keys, in one step with the mark."""
        await self._once(target, record, "do", self.each(), tools)
        return record.planned

    async def _once(self, target: str, record: Record, direction: Direction, each: str, tools: Tools) -> None:
        keys = (f"{FENCES}{record.key(direction)}", *keys_of(record.before))
        async with tools.redis(connection_name(target)).fenced(record.key(direction)) as session:
            await session.change(("EVAL", ONCE.replace("{each}", each), len(keys), *keys))

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Look for the mark; that there is none says something only where Redis cannot have lost it."""
        redis = tools.redis(connection_name(target))
        async with redis.fenced(record.key(direction)) as session:
            if await session.read("EXISTS", f"{FENCES}{record.key(direction)}") == 1:
                return Landed.YES
        return Landed.NO if await memory_of(redis) == record.fence else Landed.UNKNOWN

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: what others do with the keys is theirs."""
        return False

    @abstractmethod
    def each(self) -> str:
        """Return the Lua that does it to ``KEYS[i]`` and counts in ``n``."""


def keys_of(before: JsonValue) -> list[str]:
    """Return the keys that a record holds."""
    found = before.get("keys") if isinstance(before, Mapping) else None
    return [str(key) for key in found] if isinstance(found, list) else []


async def memory_of(redis: Redis) -> str:
    """Return what changes whenever Redis may have lost a key of ours: its life, and how many keys it has evicted."""
    server, stats = await redis.read("INFO", "server"), await redis.read("INFO", "stats")
    return f"{_field(server, 'run_id')} {_field(stats, 'evicted_keys')}"


def _field(reply: Reply, name: str) -> str:
    return next((line.partition(":")[2] for line in str(reply).splitlines() if line.startswith(f"{name}:")), "")
