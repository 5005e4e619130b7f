"""Promise 8: in every window, forward effects stay within the limits, whatever the clocks and the processes do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from responder.domain.errors import Conflict, StoreError
from responder.domain.limits import Limits, Rate
from responder.domain.runs import Run, RunState
from responder.ports.store import Authority
from responder.stores.core.store import SqlStore
from responder.stores.postgres import postgres_store
from responder.stores.sqlite import SqliteDatabase
from tests.bed import servers
from tests.bed.faketime import FakeTime, faketime
from tests.bed.postgres import private_cluster
from tests.bed.processes import private_directory
from tests.conformance.building import finished, record, started

HOUR = timedelta(hours=1)
WINDOW = timedelta(seconds=5)
COUNT = 2
EVERY = Authority(Limits(per_target=Rate(COUNT, WINDOW)), effects=1)
PAUSE = 0.1
TRIES = 20
A_WHILE = 2.0
"""Longer than a clock is doubted here (see `soon`), and so short that a window holds two disturbances."""


@dataclass
class World:
    """Stores of one kind over the same data, and the clock that they are anchored on."""

    make: Callable[[], SqlStore]
    jump: Callable[[timedelta], None]
    replicas: int
    stores: list[SqlStore] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def restart(self, meanwhile: timedelta | None = None) -> None:
        """End every process and start them again, perhaps with the clock set meanwhile."""
        for store in self.stores:
            await store.close()
        if meanwhile is not None:
            self.jump(meanwhile)
        self.stores = [self.make() for _ in range(self.replicas)]
        for store in self.stores:
            await store.open()

    async def ask(self, store: SqlStore) -> None:
        """Try one forward effect and note when it was allowed, by a clock that nobody sets."""
        run: Run | None = None
        try:
            run = replace(await started(store), state=RunState.ACTING)
            assert await store.take_slot(run) is None
            refusal = await store.intend(run, record(store, run), EVERY)
            if refusal is None:
                self.given.append(time.monotonic())
            else:
                self.refused.append(refusal.verdict.value)
            await finished(store, run)
        except StoreError:
            # A statement that was under way when the server's clock jumped: PostgreSQL's own time-outs go by it.
            await self._end(store, run)

    async def _end(self, store: SqlStore, run: Run | None) -> None:
        """Let nothing hold the target that nobody works on any more."""
        for _ in range(TRIES):
            await asyncio.sleep(PAUSE)
            with suppress(StoreError):
                if run is not None:
                    with suppress(Conflict):  # it is over already, and the answer was lost
                        await finished(store, run)
                return

    async def go_on(self, seconds: float) -> None:
        """Ask again and again, each replica in turn."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for store in self.stores:
                await self.ask(store)
            await asyncio.sleep(PAUSE)


@asynccontextmanager
async def embedded(path: Path) -> AsyncIterator[World]:
    """One process over a file; its wall clock jumps."""
    shift = [timedelta()]

    def make() -> SqlStore:
        return SqlStore(SqliteDatabase(path, wall=lambda: datetime.now(UTC) + shift[0]))

    def jump(to: timedelta) -> None:
        shift[0] = to

    yield World(make, jump, replicas=1)


@asynccontextmanager
async def shared(clock: FakeTime, url: str) -> AsyncIterator[World]:
    """Two replicas over a PostgreSQL; its server's clock jumps."""
    yield World(lambda: postgres_store(url), clock.jump, replicas=2)


def fullest(given: Sequence[float]) -> int:
    """Return how many effects the fullest window holds; reading a clock over a network costs some precision."""
    width = WINDOW.total_seconds() - 0.25
    return max(sum(at <= other < at + width for other in given) for at in given)


async def through_everything(world: World, redis_url: str) -> None:
    """Jumps of an hour, restarts, restarts with a jump, a flushed Redis; then count."""
    await world.restart()
    began = time.monotonic()
    await world.go_on(A_WHILE)
    for to in (HOUR, timedelta(), -HOUR, timedelta()):
        world.jump(to)
        await world.go_on(A_WHILE)
    for to in (HOUR, -HOUR, timedelta()):
        await world.restart(to)
        await world.go_on(A_WHILE)
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushdb()
    await world.restart()
    await world.go_on(WINDOW.total_seconds())
    took = time.monotonic() - began
    for store in world.stores:
        await store.close()

    assert fullest(world.given) <= COUNT
    assert {"rate_target", "clock_suspect"} <= set(world.refused)
    assert len(world.given) >= COUNT * int(took / WINDOW.total_seconds() / 2), "no window was extended absurdly either"


@pytest.fixture(autouse=True)
def soon(only_ticks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clock often, and trust it again after a second instead of a minute."""
    monkeypatch.setattr("responder.stores.core.clock.SYNC_EVERY", timedelta(milliseconds=250))
    monkeypatch.setattr("responder.stores.core.clock.CALM", timedelta(seconds=1))


@pytest.mark.promise(8)
async def test_in_every_window_effects_stay_within_limits_on_sqlite(tmp_path: Path, redis_url: str) -> None:
    async with embedded(tmp_path / "responder.db") as world:
        await through_everything(world, redis_url)


@pytest.mark.promise(8)
async def test_in_every_window_effects_stay_within_limits_on_postgresql(redis_url: str) -> None:
    try:
        with private_directory("clock") as folder:
            folder.chmod(0o755)
            clock = faketime(folder)
            with private_cluster(environment=clock.environment) as server:
                async with shared(clock, server.database()) as world:
                    await through_everything(world, redis_url)
    except FileNotFoundError as missing:
        servers.missing(str(missing))
