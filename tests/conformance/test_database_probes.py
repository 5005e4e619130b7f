"""Probes of Redis and PostgreSQL on real servers, with the rights of the how-to page: figures are as they were made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio
from pydantic import JsonValue

from responder.clients.toolbox import PoolerSpec, PostgresSpec, RedisSpec, Toolbox
from responder.clients.witnesses import AlertmanagerSpec
from responder.domain.errors import Permanent, StepError, Temporary
from responder.ports.probe import Probe, Reading, Value
from tests.bed.postgres import Postgres, private_cluster, standby_of
from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.servers import missing, private_redis
from tests.bed.waiting import eventually
from tests.conformance.action_bed import SECRET
from tests.conformance.bed_postgres import APP, GRANTS, US, prepared
from tests.conformance.bed_redis import ACL, Admin
from tests.conformance.database_probes import DATABASE_PROBES

KINDS = {kind.name: kind for kind in DATABASE_PROBES}


def probe(name: str, **arguments: JsonValue) -> Probe:
    connection = "cache" if name.startswith("redis.") else "main"
    named = "source" if name.startswith("alertmanager.") else "connection"
    return KINDS[name].model_validate({named: connection, **arguments})


# --- all of them ----------------------------------------------------------------------------------------------------


def least(name: str) -> Probe:
    needed = {
        "redis.info": ("figure", "memory_ratio"),
        "postgres.settings": ("parameter", "a"),
        "postgres.pool": ("database", "a"),
    }
    return probe(name, **dict([needed[name]] if name in needed else []))


@pytest.mark.parametrize("name", KINDS)
async def test_who_cannot_be_reached_is_an_error_and_never_no_data(name: str) -> None:
    redises, servers = (
        {"cache": RedisSpec("redis://127.0.0.1:1")},
        {"main": PostgresSpec("postgresql://a:b@127.0.0.1:1/c")},
    )
    alertmanagers = {"main": AlertmanagerSpec("http://127.0.0.1:1", {}, lambda: None)}
    poolers = {"main": PoolerSpec("postgresql://a:b@127.0.0.1:1/pgbouncer")}
    tools = Toolbox({}, {}, redis=redises, postgres=servers, alertmanagers=alertmanagers, poolers=poolers)
    with pytest.raises(Temporary):
        await least(name).look({}, tools)
    await tools.close()


@pytest.mark.parametrize("name", KINDS)
async def test_who_is_not_configured_is_an_error(name: str) -> None:
    with pytest.raises(Permanent, match="has no"):
        await least(name).look({}, Toolbox({}, {}))


# --- Redis ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[Admin]:
    opened: Admin = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)
    async with opened as admin:
        await admin.flushall()
        await admin.config_set("maxmemory", "0")
        await admin.config_set("maxmemory-policy", "noeviction")
        await admin.execute_command("ACL", "SETUSER", "responder-bed", "reset", *ACL)
        await admin.config_resetstat()
        yield admin


@pytest.fixture
async def redis_tools(cache: Admin, redis_url: str) -> AsyncIterator[Toolbox]:
    tools = Toolbox({}, {}, redis={"cache": RedisSpec(f"redis://responder-bed@{redis_url.partition('//')[2]}", SECRET)})
    yield tools
    await tools.close()


async def test_facts_of_redis_are_as_it_was_treated(cache: Admin, redis_tools: Toolbox) -> None:
    async def info(figure: str) -> tuple[Value, ...]:
        return (await probe("redis.info", figure=figure).look({}, redis_tools)).values

    assert await info("memory_ratio") == ()  # without maxmemory there is no whole
    assert await info("hit_ratio") == ()
    assert await info("replica_lag_bytes") == await info("primary_link_up") == ()
    await cache.config_set("maxmemory", 10 * int((await cache.info("memory"))["used_memory"]))
    await cache.set("a", "1")
    for name in ("a", "a", "a", "b"):
        await cache.get(name)
    (ratio,) = await info("memory_ratio")
    assert 0.08 < float(ratio) < 0.2
    assert await info("hit_ratio") == (0.75,)
    assert await info("evicted_keys") == (0,)
    (clients,) = await info("connected_clients")
    assert float(clients) >= 2


async def test_a_replica_that_has_lost_its_primary_does_not_know_how_far_it_is_behind() -> None:
    try:
        with private_redis() as primary, private_redis() as replica:
            tools = Toolbox({}, {}, redis={"cache": RedisSpec(replica.url)})

            async def seen() -> list[tuple[Value, ...]]:
                figures = ("primary_link_up", "replica_lag_bytes")
                return [(await probe("redis.info", figure=figure).look({}, tools)).values for figure in figures]

            opened: Admin = redis.asyncio.Redis.from_url(replica.url)
            async with opened as admin:
                await admin.replicaof("127.0.0.1", str(urlsplit(primary.url).port))
            assert await eventually(lambda: same(seen, [(1,), (0,)]))
            assert primary.child is not None
            primary.child.kill()
            assert await eventually(lambda: same(seen, [(0,), ()]))
            await tools.close()
    except FileNotFoundError:
        missing("Redis")


async def same(values: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await values() == wanted


async def test_what_expires_and_what_is_big_is_seen(cache: Admin, redis_tools: Toolbox) -> None:
    share, big = probe("redis.ttl_share"), probe("redis.big_keys", samples=60, above=5000)
    assert (await share.look({}, redis_tools)).values == (await big.look({}, redis_tools)).values == ()
    await cache.set("page:1", "x", ex=100)
    await cache.set("page:big", "x" * 10_000)
    assert (await share.look({}, redis_tools)).values == (0.5,)
    reading = await big.look({}, redis_tools)
    assert reading.note == "page:big"
    assert float(reading.values[0]) > 10_000
    assert [one["key"] for one in await big.items({}, redis_tools)] == ["page:big"]  # type: ignore[index,call-overload]  # objects


async def test_slow_commands_and_saves_are_counted(cache: Admin, redis_tools: Toolbox) -> None:
    await cache.execute_command("SLOWLOG", "RESET")
    slow = probe("redis.slowlog")
    assert (await slow.look({}, redis_tools)).values == (0,)
    await cache.config_set("slowlog-log-slower-than", "0")
    await cache.get("a")
    await cache.config_set("slowlog-log-slower-than", "10000")
    assert float((await slow.look({}, redis_tools)).values[0]) >= 1
    assert (await probe("redis.persistence").look({}, redis_tools)).values == (True,)
    assert (await probe("redis.persistence", figure="append_ok").look({}, redis_tools)).values == ()
    await cache.set("b", "1")
    assert float((await probe("redis.persistence", figure="changes_since_save").look({}, redis_tools)).values[0]) >= 1
    assert float((await probe("redis.persistence", figure="last_save_age").look({}, redis_tools)).values[0]) >= 0


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


@pytest.fixture
def database(postgres: Postgres) -> str:
    return prepared(postgres)


@pytest.fixture
async def main(database: str) -> AsyncIterator[Toolbox]:
    tools = Toolbox({}, {}, postgres={"main": PostgresSpec(database.replace("//responder@", f"//{US}:{SECRET}@"))})
    yield tools
    await tools.close()


async def test_sessions_are_seen_at_what_they_are_at(database: str, main: Toolbox) -> None:
    async def value(name: str, **arguments: JsonValue) -> Value:
        return (await probe(name, **arguments).look({}, main)).values[0]

    url = database.replace("//responder@", f"//{APP}@")
    holder = await asyncpg.connect(url, server_settings={"application_name": "shop-a_b"})
    waiter = await asyncpg.connect(url, server_settings={"application_name": "shop-axb"})
    await holder.execute("BEGIN; LOCK TABLE things")
    waiting = asyncio.create_task(waiter.execute("SELECT count(*) FROM things"))
    assert await eventually(lambda: waits(main))
    assert await value("postgres.activity", application="shop-a_*") == 1  # an underscore is no wildcard
    assert await value("postgres.activity", application="shop-*") == 2
    assert await value("postgres.activity", state="idle in transaction") == 1
    assert await value("postgres.activity", state="waiting") == 1
    assert await value("postgres.activity", longer_than="1h") == 0
    assert await value("postgres.blocking", figure="roots") == 1
    assert float(await value("postgres.blocking", figure="longest_wait")) > 0
    assert float(await value("postgres.longest", what="transaction")) > 0
    assert 0 < float(await value("postgres.connections")) < 1
    assert f"waits for {holder.get_server_pid()}" in (await probe("postgres.blocking").look({}, main)).note
    await holder.close()
    waiter.terminate()
    await asyncio.gather(waiting, return_exceptions=True)


async def waits(tools: Toolbox) -> bool:
    return (await probe("postgres.blocking").look({}, tools)).values == (1,)


async def test_what_is_kept_is_measured(database: str, main: Toolbox) -> None:
    async def look(name: str, **arguments: JsonValue) -> Reading:
        return await probe(name, **arguments).look({}, main)

    admin = await asyncpg.connect(database)
    await admin.execute("DROP TABLE IF EXISTS dying")
    await admin.execute("CREATE TABLE dying AS SELECT generate_series(1, 4000) AS n")
    await admin.execute("DELETE FROM dying WHERE n <= 2000")
    await admin.execute("SELECT pg_stat_force_next_flush()")
    assert await eventually(lambda: dead(main))
    assert (await look("postgres.dead_tuples")).note == "public.dying"
    listed = await probe("postgres.dead_tuples").items({}, main)
    assert [one["name"] for one in listed] == ["public.dying"]  # type: ignore[index,call-overload]  # objects
    assert (await look("postgres.dead_tuples", table="public.nothing")).values == ()
    assert float((await look("postgres.size")).values[0]) > 1_000_000
    assert float((await look("postgres.size", of="table", table="public.dying")).values[0]) > 4000
    assert float((await look("postgres.size", of="wal")).values[0]) > 0
    assert (await look("postgres.settings", parameter="max_connections")).values == (200,)
    assert (await look("postgres.settings", parameter="fsync")).values == (False,)
    assert (await look("postgres.settings", parameter="nothing")).values == ()
    assert (await look("postgres.replication_lag")).values == ()
    assert (await look("postgres.statements")).values == ()  # the extension is not there
    assert 0 < float((await look("postgres.cache_hit_ratio")).values[0]) <= 1
    await admin.execute("DROP TABLE dying")
    await admin.close()


async def dead(tools: Toolbox) -> bool:
    found = (await probe("postgres.dead_tuples", table="public.dying").look({}, tools)).values
    return bool(found) and abs(float(found[0]) - 0.5) < 0.01


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Postgres, Postgres, Proxy]]:
    """A primary, a standby of it, and the wire between them."""
    try:
        with private_cluster() as primary:
            primary.execute(*GRANTS)
            async with proxied(primary.url) as wire:
                with standby_of(primary, f"host=127.0.0.1 port={wire.port} user=responder") as standby:
                    yield primary, standby, wire
    except FileNotFoundError:
        missing("PostgreSQL")


def lag_as(user: str, server: Postgres) -> Toolbox:
    url = server.url.replace("//responder@", f"//{user}@")
    return Toolbox({}, {}, postgres={"main": PostgresSpec(url)})


async def test_a_standby_that_has_lost_its_primary_does_not_know_how_far_it_is_behind(
    pair: tuple[Postgres, Postgres, Proxy],
) -> None:
    _, standby, wire = pair
    tools, app = lag_as(f"{US}:{SECRET}", standby), lag_as(APP, standby)
    shapes = [probe("postgres.replication_lag", unit=unit) for unit in ("bytes", "seconds")]

    async def values() -> list[tuple[Value, ...]]:
        return [(await shape.look({}, tools)).values for shape in shapes]

    assert await eventually(lambda: same(values, [(0,), (0,)]))
    with pytest.raises(Permanent, match="pg_monitor"):
        await shapes[0].look({}, app)
    await wire.switch(Mode.REFUSE)  # it has replayed all that it has received, and goes on asking for more
    assert await eventually(lambda: same(values, [(), ()]))
    assert (await shapes[0].look({}, tools)).note == "it receives nothing from its primary"
    await tools.close()
    await app.close()


async def test_a_standby_that_still_catches_up_counts(pair: tuple[Postgres, Postgres, Proxy]) -> None:
    primary, _, wire = pair
    tools, app = lag_as(f"{US}:{SECRET}", primary), lag_as(APP, primary)
    in_bytes, in_seconds = (probe("postgres.replication_lag", unit=unit) for unit in ("bytes", "seconds"))
    admin = await asyncpg.connect(primary.url)

    async def state() -> object:
        return await admin.fetchval("SELECT state FROM pg_stat_replication WHERE replay_lsn IS NOT NULL")

    assert await eventually(lambda: same(state, "streaming"))
    with pytest.raises(Permanent, match="pg_monitor"):
        await in_bytes.look({}, app)
    await wire.switch(Mode.REFUSE)
    written = "SELECT count(pg_logical_emit_message(false, '', repeat('x', 1000000))) FROM generate_series(1, 32)"
    await admin.execute(written)
    await wire.switch(Mode.LATENCY, delay=timedelta(milliseconds=200))  # each 64 KiB
    assert await eventually(lambda: same(state, "catchup"))
    (behind,) = (await in_bytes.look({}, tools)).values
    assert float(behind) > 1_000_000
    seconds = await in_seconds.look({}, tools)
    assert (seconds.values, seconds.note.partition(" is behind")[0]) == ((), "how many seconds walreceiver")
    assert await state() == "catchup"
    await admin.close()
    await tools.close()
    await app.close()


async def test_a_right_that_is_missing_is_an_error(database: str, postgres: Postgres) -> None:
    tools = Toolbox({}, {}, postgres={"main": PostgresSpec(database.replace("//responder@", f"//{APP}@"))})
    with pytest.raises(StepError):
        await probe("postgres.size", of="wal").look({}, tools)
    await tools.close()


async def test_the_store_of_a_responder_is_never_a_target(postgres_url: str) -> None:
    tools = Toolbox({}, {}, postgres={"main": PostgresSpec(postgres_url)})
    with pytest.raises(Permanent, match="store"):
        await probe("postgres.size").look({}, tools)
    await tools.close()
