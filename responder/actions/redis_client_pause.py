"""``redis.client_pause``: let clients wait with their writes for a moment."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import DurationText, connection_name, seconds
from responder.ports.tools import Tools

LONGEST = 60.0
"""Seconds: clients give up, or queue what they cannot write."""


class RedisClientPause(Action):
    """Let every client wait with its writes for up to a minute; undo lets them go on at once.

    Redis 7.0 shows nobody that it is paused: in doubt a person is asked, and `mode: auto` needs `accept: unfenced`.
    """

    name: ClassVar[str] = "redis.client_pause"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "none"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "compensates"
    evidence: ClassVar[Literal["marker", "value"]] = "value"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("redis", "client", ("+client|pause", "+client|unpause", "+client|id", "+client|setname")),
        Permission("redis", "client", ("+client|list", "+client|kill")),
    )
    reach: ClassVar[str] = "redis"
    example: ClassVar[str] = "redis.client_pause: { writes_for: 10s }\n"

    writes_for: DurationText = Field(description="how long writes wait; at most 1m")

    @field_validator("writes_for")
    @classmethod
    def _short(cls, text: str) -> str:
        if not 0 < seconds(text) <= LONGEST:
            msg = f"{text} is not between 0 and 1m"
            raise ValueError(msg)
        return text

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Make sure that it is there; whether it is paused it does not say."""
        await tools.redis(connection_name(target)).read("CLIENT", "ID")
        return Snapshot({"paused": False})

    def change(self, before: JsonValue) -> JsonValue:
        """Return that writes will wait."""
        del before
        return {"paused": True}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Pause."""
        async with tools.redis(connection_name(target)).fenced(record.key("do")) as session:
            await session.change(("CLIENT", "PAUSE", round(seconds(self.writes_for) * 1000), "WRITE"))
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Say that nobody can tell."""
        return Landed.UNKNOWN

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Let the writes go on."""
        async with tools.redis(connection_name(target)).fenced(record.key("undo")) as session:
            await session.change(("CLIENT", "UNPAUSE"))

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: nobody can tell, and to go on does no harm."""
        return False
