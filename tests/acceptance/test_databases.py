"""Real databases in trouble, from the alert to the end: one is helped, and what harms the other is undone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio

from tests.bed import servers
from tests.bed.alerts import alert, webhook
from tests.bed.postgres import Postgres, private_cluster
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import Responder, config, responder

Cache = Any
"""A client of redis-py, whose types leave much untold."""
HALF_A_MINUTE = timedelta(seconds=30)
ROOM = 25
END_IDLE = """\
schema: 1
name: end-idle-sessions
summary: End sessions that have been idle while there is no room for others.
mode: auto
matchers:
  - alertname="PostgresConnectionsHigh"
target: "postgres/{{ connection }}"
when:
  - name: it is full
    probe: postgres.connections
    with:
      connection: "{{ connection }}"
    at_least: 90%
steps:
  - id: end
    undo: none
    postgres.terminate_idle:
      idle: 0s
      application: "shop-*"
      max: 15
verify:
  - name: room
    probe: postgres.connections
    with:
      connection: "{{ connection }}"
    below: 60%
    within: 5s
"""
EVICT = """\
schema: 1
name: let-redis-evict
summary: Let a full Redis evict keys; taken back when it then finds less of what it is asked for.
mode: auto
matchers:
  - alertname="RedisFull"
target: "redis/{{ connection }}"
steps:
  - id: policy
    redis.config_set:
      parameter: maxmemory-policy
      value: allkeys-random
verify:
  - name: hits
    probe: redis.info
    with:
      connection: "{{ connection }}"
      figure: hit_ratio
    at_least: 90%
    within: 3s
    for: 1s
"""


@pytest.fixture
def small_postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL with room for few who are no superusers."""
    try:
        with private_cluster() as server:
            assert server.server is not None
            server.server.stop()
            server.server.options = (*server.server.options, f"superuser_reserved_connections={200 - ROOM}")
            server.server.start()
            yield server
    except FileNotFoundError:
        servers.missing("PostgreSQL")


async def ended(of: Responder, playbook: str) -> JsonObject:
    async def look() -> JsonObject | None:
        rows = await asyncio.to_thread(of.items, "runs")
        return next((row for row in rows if row["playbook"] == playbook and row["finished_at"]), None)

    found = await eventually(look, HALF_A_MINUTE)
    assert found is not None
    return found


async def test_a_postgresql_with_92_percent_of_its_connections_taken_gets_room_again(
    small_postgres: Postgres,
) -> None:
    small_postgres.execute(
        "CREATE ROLE responder_acts LOGIN", "CREATE ROLE shop LOGIN",
        "GRANT pg_monitor, pg_signal_backend TO responder_acts",
    )  # fmt: skip
    port = urlsplit(small_postgres.url).port
    url = f"postgresql://shop@127.0.0.1:{port}/postgres"
    idle = [await asyncpg.connect(url, server_settings={"application_name": f"shop-{number}"}) for number in range(23)]
    connections = {
        "http": {"checkout": {"url": "http://127.0.0.1:1", "allow": ["GET /*"]}},
        "postgres": {
            "main": {
                "dsn": f"postgresql://responder_acts@127.0.0.1:{port}/postgres",
                "matchers": ['instance="pg-main:9187"'],
            },
            "other": {"dsn": "postgresql://nobody@127.0.0.1:1/x", "matchers": ['instance="pg-other:9187"']},
        },
    }
    settings = config("sqlite:///responder.db", "http://127.0.0.1:1", connections=connections)
    with responder({"end.yaml": END_IDLE}, settings) as running:
        await asyncio.to_thread(running.start)
        about = alert(alertname="PostgresConnectionsHigh", instance="pg-main:9187")
        await asyncio.to_thread(running.deliver, webhook([about]))
        run = await ended(running, "end-idle-sessions")
        assert (run["state"], run["target"]) == ("verified", "postgres/main"), run["reason"]
        (step,) = run["steps"]
        assert len(step["after"]["ended"]) == 15
        await eventually(lambda: sum(one.is_closed() for one in idle) == 15)
    for one in idle:
        one.terminate()


@pytest.fixture
async def full_redis(redis_url: str) -> AsyncIterator[Cache]:
    opened: Cache = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)
    async with opened as cache:
        await cache.config_set("maxmemory-policy", "noeviction")
        await cache.config_set("maxmemory", str(int((await cache.info("memory"))["used_memory"]) + 2_000_000))
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            for number in range(1000):
                await cache.set(f"page:{number}", "x" * 10_000)
        yield cache
        await cache.config_set("maxmemory", "0")
        await cache.config_set("maxmemory-policy", "noeviction")


async def shoppers(cache: Cache, closing: asyncio.Event) -> None:
    """Read what is there, and write more of what nobody reads again; the ratio is of a moment, not of hours."""
    number = 0
    while not closing.is_set():
        number += 1
        if number % 20 == 0:
            await cache.config_resetstat()
        for page in range(20):
            await cache.get(f"page:{page}")
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            for _ in range(20):
                await cache.set(f"new:{number}:{_}", "x" * 10_000)
        await asyncio.sleep(0.01)


async def test_a_policy_that_costs_redis_its_hits_is_taken_back(full_redis: Cache, redis_url: str) -> None:
    closing = asyncio.Event()
    reading = asyncio.create_task(shoppers(full_redis, closing))
    connections = {"redis": {"cache": {"url": redis_url, "matchers": ['instance="cache-01:9121"']}}}
    settings = config("sqlite:///responder.db", "http://127.0.0.1:1", connections=connections)
    with responder({"evict.yaml": EVICT}, settings) as running:
        await asyncio.to_thread(running.start)
        about = alert(alertname="RedisFull", instance="cache-01:9121")
        await asyncio.to_thread(running.deliver, webhook([about]))
        run = await ended(running, "let-redis-evict")
    closing.set()
    await reading
    assert run["state"] == "rolled_back", run["reason"]
    assert (run["steps"][0]["before"], run["steps"][0]["after"]) == (
        {"maxmemory-policy": "noeviction"},
        {"maxmemory-policy": "allkeys-random"},
    )
    assert (await full_redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    assert await full_redis.exists(*(f"page:{page}" for page in range(20))) < 20  # it was in force
