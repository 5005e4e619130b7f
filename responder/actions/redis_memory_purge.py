"""``redis.memory_purge``: let Redis give memory back that its allocator holds."""

from typing import ClassVar, Literal

from pydantic import JsonValue

from responder.actions.redis_keys import FENCES, memory_of
from responder.domain.errors import Permanent
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

MARK = "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], '1', 'EX', 86400)"


class RedisMemoryPurge(Action):
    """Give memory back to the system that Redis holds and does not use (`MEMORY PURGE`, with jemalloc); no key goes."""

    name: ClassVar[str] = "redis.memory_purge"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "session"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("redis", "keys", ("~responder:*",)),
        Permission("redis", "commands", ("+memory|purge", "+eval", "+exists", "+del", "+set", "+info")),
        Permission("redis", "client", ("+client|id", "+client|setname", "+client|list", "+client|kill")),
    )
    reach: ClassVar[str] = "redis"
    example: ClassVar[str] = "redis.memory_purge: {}\n"

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Note which life of the server it is for."""
        return Snapshot({"purged": False}, await memory_of(tools.redis(connection_name(target))))

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it will be done."""
        del before
        return {"purged": True}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Purge, and leave a mark right behind it."""
        mark = f"{FENCES}{record.key('do')}"
        async with tools.redis(connection_name(target)).fenced(record.key("do")) as session:
            if await session.read("EXISTS", mark) != 1:
                await session.change(("MEMORY", "PURGE"), ("EVAL", MARK, 1, mark))
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Look for the mark; that there is none says something only where Redis cannot have lost it."""
        redis = tools.redis(connection_name(target))
        async with redis.fenced(record.key(direction)) as session:
            if await session.read("EXISTS", f"{FENCES}{record.key(direction)}") == 1:
                return Landed.YES
        return Landed.NO if await memory_of(redis) == record.fence else Landed.UNKNOWN

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: there is nothing to undo."""
        raise Permanent("what was given back to the system is not taken again")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: nothing is left to be changed by others."""
        return False
