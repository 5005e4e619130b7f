"""PgBouncer's actions on a real PgBouncer behind a proxy; its own log says what its console was asked to do."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import JsonValue

from responder.clients.pgbouncer import PgbouncerClient
from responder.clients.toolbox import PoolerSpec, Toolbox
from responder.domain.errors import Temporary
from tests.bed.processes import account, free_port, private_directory, program, start
from tests.bed.proxy import Mode, Proxy, proxied
from tests.conformance.action_bed import SECRET, Bed, BedKind, ProxiedBed, Shape

TARGET = "pgbouncer/main"
SHAPES = {
    "pool": Shape("postgres.pool_size", {"size": 40}, target=TARGET),
    "reserve": Shape("postgres.pool_size", {"of": "reserve", "size": 5}, target=TARGET, brief=True),
    "pause": Shape("postgres.pool_pause", {"database": "shop"}, target=TARGET, binary=True),
    "resume": Shape("postgres.pool_resume", {"database": "held-back"}, target=TARGET, binary=True, brief=True),
}
DATABASES = ("shop", "held-back")
PAUSED = "held-back"
"""Which of them is paused when a test begins."""


@dataclass
class Pgbouncer:
    """A running PgBouncer, whose databases nobody may be behind."""

    url: str
    log: Path


@contextlib.contextmanager
def private_pgbouncer(auth: str = "scram-sha-256", behind: str = "host=127.0.0.1 port=1") -> Iterator[Pgbouncer]:
    """Run a PgBouncer with two databases, where ``behind`` says; FileNotFoundError when it is not installed."""
    binary = program("pgbouncer", "usr/sbin")
    if binary is None:
        raise FileNotFoundError("pgbouncer")
    run_as = account("postgres", "nobody")
    with private_directory("pgbouncer", run_as) as directory:
        port = free_port()
        (directory / "users").write_text(f'"responder" "{SECRET}"\n', encoding="utf-8")
        options = {
            "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": auth,
            "auth_file": directory / "users", "admin_users": "responder", "verbose": 1,
            "pool_mode": "transaction",
        }  # fmt: skip
        lines = "".join(f"{key}={value}\n" for key, value in options.items())
        databases = "".join(f"{name} = {behind}\n" for name in DATABASES)
        (directory / "bouncer.ini").write_text(f"[databases]\n{databases}[pgbouncer]\n{lines}", encoding="utf-8")
        child = start("pgbouncer", [binary, directory / "bouncer.ini"], directory=directory, run_as=run_as)
        try:
            child.wait_for_port(port)
            yield Pgbouncer(f"postgresql://responder:{SECRET}@127.0.0.1:{port}/pgbouncer", child.log)
        finally:
            child.stop()


class PgbouncerBed(ProxiedBed):
    """A console."""

    landing = ("lost_reply",)
    losing = ("lost_request",)
    refusals = {"refused": Temporary}  # noqa: RUF012 - never written
    telling = ("", "refused")
    unreadable = ("refused",)

    def __init__(self, proxy: Proxy, server: Pgbouncer, shape: Shape = SHAPES["pool"]) -> None:
        self.proxy, self.server, self.shape = proxy, server, shape
        self.admin = PgbouncerClient("admin", server.url)
        self.tools = self.hasty = Toolbox({}, {}, poolers={"main": PoolerSpec(proxy.through(server.url))})
        self._before = self._own = 0

    async def reset(self) -> None:
        """Set what the tests set, and count from here."""
        for name, value in (("default_pool_size", 20), ("reserve_pool_size", 0), ("min_pool_size", 0)):
            await self.admin.change(f"SET {name} = {value}")
        for name in DATABASES:
            await self._pause(name, paused=name == PAUSED)
        self._before, self._own = await self._sent(), 0

    async def _pause(self, name: str, *, paused: bool) -> int:
        """Make it so, and return how many commands that took."""
        if (await self._paused())[name] is paused:
            return 0
        await self.admin.change(f'{"PAUSE" if paused else "RESUME"} "{name}"')
        return 1

    async def _paused(self) -> dict[str, bool]:
        rows = await self.admin.read("SHOW DATABASES")
        return {row["name"]: row["paused"] == "1" for row in rows}

    async def _sent(self) -> int:
        text = await asyncio.to_thread(self.server.log.read_text, errors="replace")
        return len(re.findall("got admin query: (SET|PAUSE|RESUME) ", text))

    async def world(self) -> JsonValue:
        rows = await self.admin.read("SHOW CONFIG")
        return {**{row["key"]: row["value"] for row in rows}, **await self._paused()}

    async def changes(self) -> int:
        return await self._sent() - self._before - self._own

    async def holds(self, image: JsonValue) -> bool:
        assert isinstance(image, dict)
        if "paused" in image:
            return (await self._paused())[str(self.shape.arguments["database"])] is image["paused"]
        world = await self.world()
        assert isinstance(world, dict)
        return all(world[name] == str(value) for name, value in image.items())

    async def fault(self, kind: str) -> None:
        if kind == "refused":
            await self.proxy.switch(Mode.REFUSE)
            return
        mode = Mode.LOSE_REPLY if kind == "lost_reply" else Mode.LOSE_REQUEST
        await self.proxy.switch(mode, when=b'E "shop"' if "database" in self.shape.arguments else b"SET ", once=True)

    async def edit_owned(self) -> None:
        """Set other sizes; a database that is paused or not can only become what we would make of it."""
        for name, value in (("default_pool_size", 33), ("reserve_pool_size", 3)):
            await self.admin.change(f"SET {name} = {value}")
            self._own += 1
        for name in DATABASES:
            self._own += await self._pause(name, paused=name != PAUSED)

    async def edit_beside(self) -> None:
        await self.admin.change("SET min_pool_size = 2")
        self._own += 1


@asynccontextmanager
async def on(server: Pgbouncer, shape: Shape = SHAPES["pool"]) -> AsyncIterator[PgbouncerBed]:
    """Open a bed on a running console."""
    async with proxied(server.url, 6432) as proxy:
        bed = PgbouncerBed(proxy, server, shape)
        await bed.reset()
        yield bed
        await bed.tools.close()


def opened(request: pytest.FixtureRequest, shape: Shape) -> AbstractAsyncContextManager[Bed]:
    """Open a bed on the session's PgBouncer."""
    return on(request.getfixturevalue("pgbouncer"), shape)


KIND = BedKind(SHAPES, PgbouncerBed, opened, server=True)
