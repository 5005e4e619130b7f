"""``redis.kill_clients``: disconnect clients that have been idle for long."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.errors import Permanent, Temporary
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import DurationText, connection_name, seconds
from responder.ports.tools import Reply, Tools

OURS = "responder"
"""Connections whose name begins with this are ours, or another responder's."""
_SPARED_FLAGS = frozenset("MSPObx")
"""Masters, replicas, subscribers, monitors, clients that wait or are within a transaction (CLIENT LIST, `flags`)."""


class RedisKillClients(Action):
    """Disconnect ordinary clients of Redis that have been idle for long; never replicas, subscribers or ourselves."""

    name: ClassVar[str] = "redis.kill_clients"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "session"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("redis", "client", ("+client|id", "+client|setname", "+client|list", "+client|kill")),
        Permission("redis", "info", ("+info",)),
    )
    reach: ClassVar[str] = "redis"
    example: ClassVar[str] = """\
redis.kill_clients:
  idle: 10m
  max: 100
"""

    idle: DurationText = Field(description="how long without a command, such as 10m")
    client: str = Field(default="*", description="the name that the client gave itself; `*` stands for any text")
    max: int = Field(default=50, ge=1, le=1000, description="how many at most, those idle the longest first")

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Find the clients; each is told by its number, which a server gives once."""
        redis = tools.redis(connection_name(target))
        server = run_id(await redis.read("INFO", "server"))
        found = [one for one in clients(await redis.read("CLIENT", "LIST")) if self._fits(one)]
        found.sort(key=lambda one: -int(one.get("idle", "0")))
        shown: list[JsonValue] = [
            {"id": int(one["id"]), "address": one.get("addr", ""), "name": one.get("name", "")}
            for one in found[: self.max]
        ]
        return Snapshot({"clients": shown}, server)

    def change(self, before: JsonValue) -> JsonValue:
        """Return which will be gone; raises ValueError when there is none."""
        found = _ids(before)
        if not found:
            msg = f"no client has been idle for {self.idle}"
            raise ValueError(msg)
        return {"disconnected": list(found)}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Disconnect those of the record that are there and idle still."""
        async with tools.redis(connection_name(target)).fenced(record.key("do")) as session:
            if run_id(await session.read("INFO", "server")) != record.fence:
                raise Permanent("Redis was restarted since: its clients are others now")
            wanted = set(_ids(record.before))
            there = {int(one["id"]): one for one in clients(await session.read("CLIENT", "LIST"))}
            left = [one for one in wanted if one in there and self._fits(there[one])]
            if not left:
                gone = sorted(wanted - there.keys())
                if gone:
                    return {"disconnected": list(gone)}
                raise Temporary("every one of these clients is at work again")
            *_, reply = await session.change(*(("CLIENT", "KILL", "ID", one) for one in left), ("CLIENT", "LIST"))
        remaining = {int(one["id"]) for one in clients(reply)}
        return {"disconnected": [*sorted(wanted - remaining)]}

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Say whether any of them is there and idle still."""
        del direction
        async with tools.redis(connection_name(target)).fenced(record.key("do")) as session:
            if run_id(await session.read("INFO", "server")) != record.fence:
                return Landed.YES  # they went with the server
            there = {int(one["id"]): one for one in clients(await session.read("CLIENT", "LIST"))}
        wanted = set(_ids(record.before))
        if wanted <= there.keys() or any(self._fits(there[one]) for one in wanted & there.keys()):
            return Landed.NO
        return Landed.YES

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: who was disconnected connects again by itself."""
        raise Permanent("a client that was disconnected cannot be connected again from here")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: nothing is left to be changed by others."""
        return False

    def _fits(self, client: Mapping[str, str]) -> bool:
        flags, name = set(client.get("flags", "")), client.get("name", "")
        subscribed = any(client.get(key, "0") not in ("0", "-1") for key in ("sub", "psub", "ssub"))
        return (
            not flags & _SPARED_FLAGS
            and not subscribed
            and client.get("multi", "-1") == "-1"
            and not name.startswith(OURS)
            and fnmatchcase(name, self.client)
            and int(client.get("idle", "0")) >= seconds(self.idle)
        )


def clients(reply: Reply) -> list[dict[str, str]]:
    """Read the answer to CLIENT LIST."""
    lines = str(reply).splitlines()
    return [dict(field.partition("=")[::2] for field in line.split(" ") if "=" in field) for line in lines]


def run_id(reply: Reply) -> str:
    """Return what tells one life of a server from the next, out of the answer to INFO."""
    return next((line.partition(":")[2] for line in str(reply).splitlines() if line.startswith("run_id:")), "")


def _ids(before: JsonValue) -> list[int]:
    found = before.get("clients") if isinstance(before, Mapping) else None
    return sorted(one["id"] for one in found if isinstance(one, Mapping)) if isinstance(found, list) else []  # type: ignore[misc]  # numbers, as snapshot wrote them
