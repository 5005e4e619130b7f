"""The actions on Redis, on a real one behind a proxy; it counts itself what was done to it (``INFO commandstats``)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import redis.asyncio
from pydantic import JsonValue

from responder.clients.toolbox import RedisSpec, Toolbox
from responder.domain.errors import Temporary
from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.servers import Redis
from tests.bed.waiting import eventually
from tests.conformance.action_bed import SECRET, Bed, BedKind, ProxiedBed, Shape

TARGET = "redis/cache"
Admin = Any
"""A client of redis-py, whose types leave much untold."""
COUNTED = ("config|set", "client|pause", "client|unpause", "set")
"""What an effect is, in the server's own count of calls: each script of ours sets one mark."""
ACL = (
    "on", f">{SECRET}", "resetkeys", "~responder:*", "~page:*", "-@all",
    *(f"+client|{one}" for one in ("id", "setname", "list", "kill", "pause", "unpause")),
    "+config|get", "+config|set", "+memory|purge", "+memory|usage", "+info", "+scan", "+eval", "+exists", "+del",
    "+set", "+unlink", "+pttl", "+pexpire", "+persist", "+randomkey", "+slowlog|get",
)  # fmt: skip
"""What docs/how-to/change-databases.md asks for, and nothing else."""


def shape(action: str, **arguments: JsonValue) -> Shape:
    blind, single = action == "redis.client_pause", action == "redis.memory_purge"
    return Shape(action, arguments, blind=blind, single=single, target=TARGET)


SHAPES = {
    "config": shape("redis.config_set", parameter="maxmemory-policy", value="allkeys-lru"),
    "config, amount": shape("redis.config_set", parameter="maxmemory", value="200mb"),
    "kill": shape("redis.kill_clients", idle="0s", client="worker-*"),
    "delete": shape("redis.delete_keys", pattern="page:*"),
    "expire": shape("redis.expire_keys", pattern="page:*", after="1h"),
    "purge": shape("redis.memory_purge"),
    "pause": shape("redis.client_pause", writes_for="30s"),
}
_VERBS = {
    "redis.config_set": b"CONFIG\r\n$3\r\nSET",
    "redis.kill_clients": b"KILL",
    "redis.delete_keys": b"EVAL",
    "redis.expire_keys": b"EVAL",
    "redis.memory_purge": b"PURGE",
    "redis.client_pause": b"PAUSE",
}


class RedisBed(ProxiedBed):
    """A database with pages in it, and two idle clients called workers."""

    landing = ("lost_reply",)
    losing = ("lost_request",)
    refusals = {"refused": Temporary}  # noqa: RUF012 - never written
    telling = ("", "refused")
    unreadable = ("refused",)

    def __init__(self, shape: Shape, proxy: Proxy, admin: Admin, url: str) -> None:
        self.shape, self.proxy, self.admin, self.url = shape, proxy, admin, url
        specs = {"cache": RedisSpec(proxy.through(f"redis://responder-bed@{url.partition('//')[2]}"), SECRET)}
        self.tools = self.hasty = Toolbox({}, {}, redis=specs)
        self.workers: list[Admin] = []
        self._before: Mapping[str, int] = {}

    async def set_up(self) -> None:
        await self.admin.flushall()
        await self.admin.config_set("maxmemory", "100mb")
        await self.admin.config_set("maxmemory-policy", "noeviction")
        await self.admin.config_set("timeout", "0")
        await self.admin.execute_command("ACL", "SETUSER", "responder-bed", "reset", *ACL)
        for name in ("page:1", "page:2", "other:1"):
            await self.admin.set(name, "x")
        for name in ("worker-1", "worker-2"):
            await self.worker(name)
        await self.admin.config_resetstat()

    async def worker(self, name: str) -> None:
        client = redis.asyncio.Redis.from_url(self.url, client_name=name, single_connection_client=True)
        await client.ping()
        self.workers.append(client)

    async def tear_down(self) -> None:
        await self.heal()
        await self.admin.execute_command("CLIENT", "UNPAUSE")
        for worker in self.workers:
            await worker.aclose()
        await self.tools.close()

    async def world(self) -> JsonValue:
        config = await self.admin.config_get("*")
        keys = {key: bool(await self.admin.ttl(key) > 0) for key in sorted(await self.admin.keys("*:*"))}
        names = sorted(one["name"] for one in await self.admin.client_list() if one["name"].startswith("worker"))
        ours = {key: value for key, value in keys.items() if not key.startswith("responder:")}
        return {"config": config, "keys": ours, "workers": names}

    async def changes(self) -> int:
        stats = await self.admin.info("commandstats")
        used = {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}
        if self.shape.action == "redis.memory_purge":
            return int(used.get("memory|purge", 0))
        if self.shape.action == "redis.kill_clients":
            return int(not await self._workers_there())  # all of them at once are one effect
        return sum(int(used.get(one, 0)) for one in COUNTED) - self._own

    _own = 0

    async def _workers_there(self) -> bool:
        return any(one["name"].startswith("worker") for one in await self.admin.client_list())

    async def holds(self, image: JsonValue) -> bool:
        assert isinstance(image, dict)
        action = self.shape.action
        if action == "redis.config_set":
            ((name, value),) = image.items()
            return bool((await self.admin.config_get(name))[name] == value)
        if "disconnected" in image:
            there = {int(one["id"]) for one in await self.admin.client_list()}
            return not there & set(image["disconnected"])  # type: ignore[arg-type]  # numbers
        for state, ttl in (("keys", (-1,)), ("deleted", (-2,)), ("expiring", range(3601))):
            for key in image.get(state, []):  # type: ignore[union-attr]  # a list
                if await self.admin.ttl(str(key)) not in ttl:
                    return False
        return True

    async def fault(self, kind: str) -> None:
        if kind == "refused":
            await self.proxy.switch(Mode.REFUSE)
            return
        mode = Mode.LOSE_REPLY if kind == "lost_reply" else Mode.LOSE_REQUEST
        verb = _VERBS[self.shape.action]
        if self.shape.action == "redis.client_pause" and await self.changes():
            verb = b"UNPAUSE"
        await self.proxy.switch(mode, when=verb, once=True)

    async def edit_owned(self) -> None:
        action, arguments = self.shape.action, self.shape.arguments
        if action == "redis.config_set":
            other = "volatile-ttl" if arguments["parameter"] == "maxmemory-policy" else "300mb"
            await self.admin.config_set(str(arguments["parameter"]), other)
            self._own += 1
        elif action == "redis.kill_clients":
            for worker in self.workers:
                await worker.aclose()
            await eventually(self._no_worker)
        elif action == "redis.delete_keys":
            await self.admin.delete("page:1", "page:2")
        elif action == "redis.expire_keys":
            await self.admin.expire("page:1", 60)
            await self.admin.expire("page:2", 60)

    async def _no_worker(self) -> bool:
        return not await self._workers_there()

    async def fill(self) -> None:
        """Let it hold twice of what it may."""
        used = int((await self.admin.info("memory"))["used_memory"])
        await self.admin.config_set("maxmemory", str(used // 2))

    async def edit_beside(self) -> None:
        if self.shape.action == "redis.kill_clients":
            await self.worker("worker-3")
        elif self.shape.action == "redis.config_set":
            await self.admin.config_set("timeout", "77")
            self._own += 1
        else:
            await self.admin.append("page:3", "x")


@asynccontextmanager
async def _on(shape: Shape, url: str) -> AsyncIterator[Bed]:
    async with proxied(url, 6379) as proxy:
        admin = redis.asyncio.Redis.from_url(url, decode_responses=True)
        bed = RedisBed(shape, proxy, admin, url)
        try:
            await bed.set_up()
            yield bed
        finally:
            await bed.tear_down()
            await admin.aclose()


def opened(request: pytest.FixtureRequest, shape: Shape) -> AbstractAsyncContextManager[Bed]:
    """Open a bed on the session's Redis."""
    server: Redis = request.getfixturevalue("redis_server")
    return _on(shape, server.url)


KIND = BedKind(SHAPES, RedisBed, opened, server=True)
