"""Pace: of one process, of several over a real Redis, and without one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from responder.clients.pace import LocalPace, await_turn
from responder.clients.pagerduty import EVENTS
from responder.clients.redis_pace import RedisPace
from responder.clients.slack import TIER_3
from responder.domain.errors import NotYet
from responder.ports.pace import Beat
from tests.bed.processes import free_port

SECOND = Beat(1.0)


@dataclass
class _Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def test_turns_of_one_key_are_a_beat_apart_and_other_keys_do_not_wait() -> None:
    pace = LocalPace(_Clock(100))
    assert [await pace.turn("a", SECOND, 9) for _ in range(3)] == [0, 1, 2]
    assert await pace.turn("b", SECOND, 9) == 0


async def test_who_will_not_wait_so_long_takes_no_turn_from_the_others() -> None:
    clock = _Clock(100)
    pace = LocalPace(clock)
    await pace.turn("a", SECOND, 0)
    assert [await pace.turn("a", SECOND, 0.5) for _ in range(5)] == [1] * 5
    clock.now += 1
    assert await pace.turn("a", SECOND, 0.5) == 0
    with pytest.raises(NotYet) as refused:
        await await_turn(pace, "a", SECOND, 0.5)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after.total_seconds() == 1


async def test_what_a_channel_asks_for_holds_for_everybody() -> None:
    clock = _Clock(100)
    pace = LocalPace(clock)
    await pace.rest("a", 30)
    await pace.rest("a", 5)
    assert await pace.turn("a", SECOND, 0) == 30
    clock.now += 30
    assert await pace.turn("a", SECOND, 0) == 0


@pytest.mark.parametrize(("beat", "most", "seconds"), [(TIER_3, 50, 60), (EVENTS, 120, 60), (SECOND, 1, 1)])
async def test_no_window_has_more_calls_than_are_allowed(beat: Beat, most: int, seconds: float) -> None:
    clock = _Clock(1000)
    pace = LocalPace(clock)
    calls: list[float] = []
    while clock.now < 1000 + 5 * seconds:
        wait = await pace.turn("a", beat, 60)
        clock.now += wait
        calls.append(clock.now)
        if len(calls) % (3 * most) == 0:
            clock.now += 2 * seconds  # a quiet time, after which a burst is allowed
    assert max(sum(at <= other < at + seconds for other in calls) for at in calls) <= most


@asynccontextmanager
async def _replicas(url: str, *, patient: float = 2.0) -> AsyncIterator[tuple[RedisPace, RedisPace, list[str]]]:
    failures: list[str] = []
    pair = [RedisPace(url, failures.append, timeout=patient) for _ in range(2)]
    try:
        yield pair[0], pair[1], failures
    finally:
        for one in pair:
            await one.close()


async def test_replicas_take_turns_at_one_pace(redis_url: str) -> None:
    async with _replicas(redis_url) as (one, other, _):
        waits = [await each.turn("a", Beat(10.0), 60) for each in (one, other, one, other)]
        assert [round(wait / 10) for wait in waits] == [0, 1, 2, 3]
        await one.rest("b", 30)
        assert 25 < await other.turn("b", SECOND, 0) <= 30
        burst = [await each.turn("c", Beat(10.0, burst=3), 60) for each in (one, other, one, other)]
        assert [round(wait / 10) for wait in burst] == [0, 0, 0, 1]


async def test_a_flushed_redis_loses_the_count_and_nothing_else(redis_url: str) -> None:
    async with _replicas(redis_url) as (one, other, failures):
        await one.turn("a", Beat(10.0), 60)
        async with Redis.from_url(redis_url) as connection:
            await connection.flushall()
        assert await other.turn("a", Beat(10.0), 60) == 0
        assert await one.turn("a", Beat(10.0), 60) > 5, "what this process knows itself it has not forgotten"
        assert failures == []


async def test_without_redis_each_process_keeps_its_own_pace_and_hardly_waits_for_it() -> None:
    async with _replicas(f"redis://127.0.0.1:{free_port()}/0", patient=0.25) as (one, other, _):
        began = time.monotonic()
        waits = [await each.turn("a", Beat(10.0), 60) for each in (one, other) for _ in range(2)]
        assert time.monotonic() - began < 4 * 0.3
        assert [round(wait / 10) for wait in waits] == [0, 1, 0, 1]


async def test_a_redis_that_hangs_costs_a_quarter_of_a_second_once_in_a_while() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side has had enough
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with _replicas(f"redis://127.0.0.1:{port}/0", patient=0.25) as (one, _, _failures):
            spent = []
            for _call in range(50):
                began = time.monotonic()
                await one.turn("a", SECOND, 60)
                spent.append(time.monotonic() - began)
    assert max(spent) < 0.3
    assert sum(spent) < 0.6, "it is not asked again for a while"
