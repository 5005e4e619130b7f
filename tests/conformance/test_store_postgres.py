"""What PostgreSQL's absence, silence and return mean: nothing starts, nothing is lost, nobody needs to help."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.errors import Unavailable
from responder.domain.runs import Run, RunState
from responder.ports.store import NewDelivery, RunEnd
from responder.stores.core import migrate
from responder.stores.core.database import Order
from responder.stores.core.ending import Ending
from responder.stores.postgres import PostgresDatabase, PostgresStore, postgres_store
from tests.bed.postgres import Postgres
from tests.bed.proxy import Mode, Proxy, proxied
from tests.conformance.building import (
    FREE,
    WINDOW,
    acting,
    by_id,
    deliver,
    finished,
    incident,
    record,
    run,
    started,
    write,
)

QUICK = timedelta(milliseconds=800)
"""How long a statement may take where a test is about what may take longer."""


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with proxied(postgres_url) as one:
        yield one


@pytest.fixture
async def shared(postgres_url: str, proxy: Proxy) -> AsyncIterator[PostgresStore]:
    store = postgres_store(proxy.through(postgres_url))
    await store.open()
    yield store
    await proxy.switch(Mode.PASS)
    await store.close()


def _new(store: PostgresStore, *ids: str) -> list[NewDelivery]:
    return [NewDelivery(one, "am", store.now(), b"{}", 1) for one in ids]


async def _back(store: PostgresStore) -> None:
    """Wait until the store is used again; a connection whose end was not yet noticed may fail once."""
    for _ in range(20):
        with contextlib.suppress(Unavailable):
            await store.ping()
            return
    await store.ping()


async def test_a_commit_whose_answer_is_lost_is_read_back(shared: PostgresStore, proxy: Proxy) -> None:
    await deliver(shared, "warm")
    await proxy.switch(Mode.LOSE_REPLY, when=b"d1", once=True)

    answers = await shared.accept(_new(shared, "d1", "d2"))

    assert proxy.struck == 1
    assert answers == [None, None]
    assert set(await by_id(shared, "deliveries")) == {"warm", "d1", "d2"}


async def test_deliveries_that_did_not_arrive_are_not_accepted(shared: PostgresStore, proxy: Proxy) -> None:
    await deliver(shared, "warm")
    await proxy.switch(Mode.REFUSE)
    with pytest.raises(Unavailable):
        await shared.accept(_new(shared, "d1"))
    await proxy.switch(Mode.PASS)
    await _back(shared)
    assert set(await by_id(shared, "deliveries")) == {"warm"}
    await deliver(shared, "d1")


async def test_a_connection_cut_in_the_middle_leaves_all_or_nothing(shared: PostgresStore, proxy: Proxy) -> None:
    await deliver(shared, "warm")
    await proxy.switch(Mode.RESET)
    with pytest.raises(Unavailable):
        await shared.accept(_new(shared, "d1"))
    await proxy.switch(Mode.PASS)
    await _back(shared)
    assert set(await by_id(shared, "deliveries")) == {"warm"}


async def test_a_store_that_is_away_is_unavailable_and_comes_back_by_itself(
    shared: PostgresStore, proxy: Proxy
) -> None:
    one = await acting(shared)
    await proxy.switch(Mode.REFUSE)
    for attempt in (
        shared.claim_runs(1),
        shared.claim_deliveries(1),
        shared.claim_outbox(1, []),
        shared.standing(one, WINDOW),
        shared.save(one),
        shared.intend(one, record(shared, one), FREE),
        shared.finish(replace(one, state=RunState.FAILED), RunEnd()),
        shared.page("runs", {}, 1, ""),
        shared.ping(),
    ):
        with pytest.raises(Unavailable):
            await attempt
    with pytest.raises(Unavailable):
        async with shared.slice() as slice_:
            await slice_.pauses()

    await proxy.switch(Mode.PASS)
    await _back(shared)
    assert await shared.intend(one, record(shared, one), FREE) is None


async def test_an_effect_whose_permission_was_lost_on_the_way_is_not_permitted(
    shared: PostgresStore, proxy: Proxy
) -> None:
    one = await acting(shared)
    await proxy.switch(Mode.LOSE_REPLY, when=b"COMMIT;", once=True)
    with pytest.raises(Unavailable):
        await shared.intend(one, record(shared, one), FREE)
    assert proxy.struck == 1
    await shared.save(one)


async def test_a_silent_store_is_unavailable_in_time(shared: PostgresStore, proxy: Proxy) -> None:
    await deliver(shared, "warm")
    await shared.ping()
    await proxy.switch(Mode.BLACKHOLE)
    began = time.monotonic()
    answers = await asyncio.gather(
        shared.ping(), shared.accept(_new(shared, "d1")), shared.claim_runs(1), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert time.monotonic() - began < 10
    await proxy.switch(Mode.PASS)
    await _back(shared)


async def test_a_server_that_restarts_is_found_again(durable_postgres: Postgres, durable_postgres_url: str) -> None:
    store = postgres_store(durable_postgres_url)
    await store.open()
    try:
        await deliver(store, "kept")
        assert durable_postgres.server is not None
        durable_postgres.server.crash()
        with pytest.raises(Unavailable):
            await store.accept(_new(store, "lost"))
        durable_postgres.server.start()
        await _back(store)
        assert set(await by_id(store, "deliveries")) == {"kept"}
        await deliver(store, "next")
    finally:
        await store.close()


async def test_commits_wait_for_the_disk(shared: PostgresStore) -> None:
    async with shared.db.writing(Order.CONTROL) as tx:
        assert await tx.scalar(text("SHOW synchronous_commit")) == "on"
        assert await tx.scalar(text("SHOW statement_timeout")) == "5s"
        assert await tx.scalar(text("SHOW timezone")) == "UTC"


async def test_the_clock_is_the_server_s(shared: PostgresStore) -> None:
    async with shared.db.reading() as tx:
        server = await tx.scalar(text("SELECT clock_timestamp()"))
    assert abs(shared.now() - server) < timedelta(seconds=0.5)


async def test_the_clock_follows_the_server(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.stores.core.clock.SYNC_EVERY", timedelta(milliseconds=20))
    database = PostgresDatabase(postgres_url)
    await database.open()
    try:
        behind = timedelta(seconds=3)
        database.clock.anchor(database.now() - behind)
        began = datetime.now(UTC)
        async with asyncio.timeout(5):
            while database.now() < began:  # noqa: ASYNC110 - nobody is told when it has looked
                await asyncio.sleep(0.02)
        assert database.suspicion() is None, "drift within the tolerance is followed"
    finally:
        await database.close()


async def test_what_a_frozen_replica_locks_is_free_again_in_time(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.stores.core.clock.SYNC_EVERY", timedelta(milliseconds=20))
    monkeypatch.setattr("responder.stores.postgres.HUNG", timedelta(milliseconds=500))
    database = PostgresDatabase(postgres_url)
    await database.open()
    frozen = await database.connect()
    try:
        await frozen.execute("BEGIN")
        await frozen.execute("LOCK TABLE runs")
        # Parse and Describe without a Sync: that is where a process may stop, and no timeout of the server is running.
        await frozen.prepare("SELECT id FROM runs")
        async with asyncio.timeout(4), database.writing(Order.RECORD) as tx:
            await tx.execute(text("LOCK TABLE runs"))
    finally:
        frozen.terminate()
        await database.close()


async def test_a_transaction_that_works_is_not_taken_for_a_frozen_one(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.stores.core.clock.SYNC_EVERY", timedelta(milliseconds=20))
    monkeypatch.setattr("responder.stores.postgres.HUNG", timedelta(milliseconds=500))
    database = PostgresDatabase(postgres_url)
    await database.open()
    try:
        async with database.writing(Order.RECORD) as tx:
            await tx.execute(text("SELECT pg_sleep(1)"))
            assert await tx.scalar(text("SELECT 1")) == 1
    finally:
        await database.close()


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    url = postgres.database()
    yield url
    postgres.drop(url)


async def test_bringing_the_schema_up_to_date_may_take_longer_than_any_other_statement(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.stores.postgres.STATEMENT", QUICK)
    upgrade, done = migrate.upgrade, []

    def slowly(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 2.5 * QUICK.total_seconds()})
        upgrade(connection)
        done.append(migrate.current(connection))

    monkeypatch.setattr("responder.stores.core.migrate.upgrade", slowly)
    first, second = PostgresDatabase(empty_url), PostgresDatabase(empty_url)
    try:
        await asyncio.gather(first.open(), second.open())  # one of them waits for the other's migration
        assert done == [migrate.head()] * 2
    finally:
        await first.close()
        await second.close()


async def test_so_may_meeting_a_server(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.stores.postgres.STATEMENT", QUICK)
    store = postgres_store(postgres_url)
    database = store.db
    assert isinstance(database, PostgresDatabase)
    meet = database.meet
    assert meet is not None

    async def slowly(tx: AsyncConnection, server: str, at: datetime | None) -> Mapping[str, int] | None:
        await tx.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 2.5 * QUICK.total_seconds()})
        return await meet(tx, server, at)

    database.meet = slowly
    try:
        await store.open()
        await deliver(store, "d1")
    finally:
        await store.close()


async def test_a_server_that_falls_silent_meanwhile_is_not_waited_for(
    postgres_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.stores.postgres.STATEMENT", QUICK)
    database = PostgresDatabase(proxy.through(postgres_url))

    async def into_silence(tx: AsyncConnection) -> None:
        await proxy.switch(Mode.BLACKHOLE)
        await tx.execute(text("SELECT 1"))

    monkeypatch.setattr(database, "_migrate", into_silence)
    with pytest.raises(Unavailable):
        async with asyncio.timeout(10):
            await database.open()


async def test_a_wrong_password_or_database_is_unavailable(postgres_url: str) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        await postgres_store(postgres_url + "_missing").open()


async def test_a_lock_that_is_held_too_long_is_reported(shared: PostgresStore, postgres_url: str) -> None:
    one = await started(shared)
    other = postgres_store(postgres_url)
    await other.open()
    try:
        async with other.db.writing(Order.CONTROL) as tx:
            await tx.execute(text("SELECT id FROM runs FOR UPDATE"))
            with pytest.raises(Unavailable):
                await shared.save(one)
    finally:
        await other.close()


@pytest.fixture
async def replica(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = postgres_store(postgres_url)
    await store.open()
    yield store
    await store.close()


async def test_of_two_last_runs_that_end_at_once_one_closes_the_incident(
    shared: PostgresStore, replica: PostgresStore
) -> None:
    one, other = await _two_runs_of_an_incident(shared)
    async with shared.db.writing(Order.RECORD) as tx:
        await shared.finish_in(tx, shared.now(), [Ending(replace(one, state=RunState.VERIFIED), RunEnd())])
        ending = asyncio.create_task(finished(replica, other))
        await asyncio.wait([ending], timeout=0.5)  # as far as it comes while the first one is not committed
    await ending
    assert (await by_id(shared, "incidents"))[one.incident_id]["status"] == "resolved"


async def test_a_slice_that_waited_for_the_end_of_a_run_does_not_count_it(
    shared: PostgresStore, replica: PostgresStore
) -> None:
    one, other = await _two_runs_of_an_incident(shared)
    await finished(shared, other)
    unfinished: dict[str, int] = {}

    async def look() -> None:
        async with replica.slice() as slice_:
            await slice_.incidents([], [one.incident_id])
            await slice_.others_of([one.incident_id])
            unfinished.update(await slice_.unfinished_runs_of([one.incident_id]))

    async with shared.db.writing(Order.RECORD) as tx:
        await shared.finish_in(tx, shared.now(), [Ending(replace(one, state=RunState.VERIFIED), RunEnd())])
        looking = asyncio.create_task(look())
        await asyncio.wait([looking], timeout=0.5)
    await looking
    assert unfinished == {one.incident_id: 0}


async def _two_runs_of_an_incident(store: PostgresStore) -> tuple[Run, Run]:
    """Return two claimed runs of an incident without an open episode."""
    about = incident(store)
    made = [run(store, incident_id=about.id, target=f"http/{name}") for name in ("a", "b")]
    await write(store, incidents=[about], runs=[(one, frozenset()) for one in made])
    by_name = {one.target: one for one in await store.claim_runs(2)}
    return by_name["http/a"], by_name["http/b"]


async def test_a_claim_does_not_wait_for_rows_that_others_hold(shared: PostgresStore, postgres_url: str) -> None:
    held, free = run(shared), run(shared)
    await write(shared, runs=[(held, frozenset()), (free, frozenset())])
    other = postgres_store(postgres_url)
    await other.open()
    try:
        async with other.db.writing(Order.CONTROL) as tx:
            await tx.execute(text("SELECT id FROM runs WHERE id = :id FOR UPDATE"), {"id": held.id})
            assert [one.id for one in await shared.claim_runs(2)] == [free.id]
    finally:
        await other.close()
