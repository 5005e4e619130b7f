"""What an ended process had claimed is free at once; a change that may be on its way waits a little longer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import asyncpg
import pytest
from sqlalchemy import insert, select, text, update

from responder.act.effects import LANDING_GRACE
from responder.act.engine import EFFECT_SECONDS, SEND_WITHIN_SECONDS
from responder.domain.errors import Conflict, Unavailable
from responder.domain.records import RecordState
from responder.domain.runs import Run
from responder.ports.store import DOUBT_LASTS, LEASE, MAX_ATTEMPTS
from responder.stores.core.database import Order
from responder.stores.core.lives import Ended, end_leases
from responder.stores.core.rows import record_values
from responder.stores.core.store import SqlStore
from responder.stores.registry import open_store
from responder.stores.schema import records, runs
from tests.bed.proxy import Mode, proxied
from tests.bed.waiting import eventually
from tests.conformance.building import FREE, acting, advance, applied, claimed, deliver, record, started

Reborn = Callable[[], Awaitable[SqlStore]]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the others all the time, and believe at once that a lock is gone."""
    monkeypatch.setattr("responder.stores.core.alive.LOOK_EVERY", 0.02)
    monkeypatch.setattr("responder.stores.core.alive.MISSING_SECONDS", 0.0)


@pytest.fixture
async def reborn(store: SqlStore, store_url: str) -> AsyncIterator[Reborn]:
    """Give what ends the process of ``store``, as far as the database can tell, and returns the next one's store."""
    born: list[SqlStore] = []

    async def next_life() -> SqlStore:
        later = store.now()
        await store.close()
        one = cast("SqlStore", open_store(store_url))
        ended = asyncio.Event()
        one.listen(lambda name, **_: ended.set() if name == "life_ended" else None)
        await one.open()
        born.append(one)
        if one.now() < later:
            advance(one, later - one.now())
        await asyncio.wait_for(ended.wait(), 5)
        return one

    yield next_life
    for one in born:
        await one.close()


async def _claimable(store: SqlStore) -> list[str]:
    return [one.id for one in await store.claim_runs(100)]


async def test_what_an_ended_process_had_claimed_is_free_at_once(store: SqlStore, reborn: Reborn) -> None:
    one = await started(store)
    await deliver(store, "d1")
    assert [delivery.id for delivery in await store.claim_deliveries(10)] == ["d1"]
    after = await reborn()
    fresh = await claimed(after, one.id)
    assert fresh.epoch > one.epoch + 1, "whoever still had the claim could write"
    assert fresh.attempts == 2, "what ends the process counts"
    assert [delivery.id for delivery in await after.claim_deliveries(10)] == ["d1"]


async def test_a_change_that_may_be_on_its_way_is_left_alone_for_a_little(store: SqlStore, reborn: Reborn) -> None:
    sending, between = await acting(store, target="http/a"), await acting(store, target="http/b")
    assert await store.intend(sending, record(store, sending), FREE) is None
    await applied(store, between)
    after = await reborn()
    assert await _claimable(after) == [between.id]
    advance(after, DOUBT_LASTS - timedelta(seconds=1))
    assert await _claimable(after) == []
    advance(after, timedelta(seconds=1))
    assert await _claimable(after) == [sending.id]


async def test_so_is_an_undo_also_that_of_a_rollback(store: SqlStore, reborn: Reborn) -> None:
    undoing, verified = await acting(store, target="http/a"), await acting(store, target="http/b")
    by_itself, of_a_person = await applied(store, undoing), await applied(store, verified)
    asked = await started(store, target="http/c", kind="rollback", of_run=verified.id)
    for run, undone in ((undoing, by_itself), (asked, of_a_person)):
        assert await store.intend_undo(run, replace(undone, state=RecordState.UNDO_INTENDED)) is None
    after = await reborn()
    assert undoing.id not in (first := await _claimable(after))
    assert asked.id not in first
    advance(after, DOUBT_LASTS)
    assert {undoing.id, asked.id} <= set(await _claimable(after))


async def test_what_was_claimed_twice_without_progress_waits_for_its_lease(store: SqlStore, reborn: Reborn) -> None:
    suspect = await started(store)
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(update(runs).values(attempts=suspect.attempts + 1))
    other = await started(store)
    after = await reborn()
    assert await _claimable(after) == [other.id]
    advance(after, LEASE)
    assert suspect.id in await _claimable(after)


async def test_what_a_turn_has_left_behind_is_given_back(store: SqlStore) -> None:
    left, going_on, sent = [await acting(store, target=f"http/{name}") for name in "abc"]
    assert await store.intend(sent, record(store, sent), FREE) is None
    assert await store.give_back([going_on.id], LANDING_GRACE) == 2
    assert await _claimable(store) == [left.id]
    with pytest.raises(Conflict):
        await store.save(left)
    await store.save(going_on)
    advance(store, LANDING_GRACE)
    assert sent.id in await _claimable(store)


async def test_deliveries_that_a_turn_has_left_behind_are_given_back(store: SqlStore) -> None:
    await deliver(store, "d1", "d2")
    [stale, _] = await store.claim_deliveries(10)
    assert await store.give_back_deliveries() == 2
    assert len(await store.claim_deliveries(10)) == 2
    with pytest.raises(Conflict):
        await store.release_delivery(stale, store.now())


@pytest.mark.promise(11)
async def test_what_the_store_cuts_short_in_a_living_process_counts_as_no_attempt(store: SqlStore) -> None:
    run = await started(store)
    await deliver(store, "d1", "d2")
    for _ in range(2 * MAX_ATTEMPTS):
        [given_back, released] = await store.claim_deliveries(10)
        assert (run.attempts, given_back.attempts, released.attempts) == (1, 1, 1)
        await store.release_delivery(released, store.now(), counted=False)
        assert await store.give_back_deliveries() == 1
        assert await store.give_back([], LANDING_GRACE) == 1
        assert await store.set_aside() == []
        run = await claimed(store, run.id)


async def test_it_is_taken_back_once_and_not_what_ended_the_process(store: SqlStore) -> None:
    sent = await acting(store)
    advance(store, LEASE)
    sent = await claimed(store, sent.id)
    assert await store.intend(sent, record(store, sent), FREE) is None
    assert await store.give_back([], LANDING_GRACE) == 1
    assert await store.give_back([], LANDING_GRACE) == 0
    advance(store, LANDING_GRACE)
    assert (await claimed(store, sent.id)).attempts == 2


async def test_what_is_given_back_often_rests(store: SqlStore) -> None:
    left, sent = await acting(store, target="http/a"), await acting(store, target="http/b")
    assert await store.intend(sent, record(store, sent), FREE) is None
    rest = LANDING_GRACE + timedelta(seconds=1)
    assert await store.give_back([], LANDING_GRACE, rest) == 2
    advance(store, LANDING_GRACE)
    assert await _claimable(store) == []
    advance(store, timedelta(seconds=1))
    assert set(await _claimable(store)) == {left.id, sent.id}


async def test_what_is_left_behind_is_given_back_before_the_lock_is_held_again(
    store: SqlStore, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store_url.startswith("sqlite"):
        pytest.skip("SQLite has no such lock")
    one = await started(store)
    monkeypatch.setattr("responder.stores.core.alive.LOOK_EVERY", 60.0)
    await asyncio.sleep(0.1)  # the look under way
    await _cut(store_url)
    await eventually(lambda: not store.db.alive)
    assert await store.give_back([], LANDING_GRACE) == 1
    assert await _claimable(store) == [one.id]


async def _cut(url: str) -> None:
    """End the sessions that hold a process's lock."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    finally:
        await connection.close()


async def test_only_one_s_own_is_given_back(store: SqlStore, replica: SqlStore) -> None:
    if replica is store:
        pytest.skip("SQLite serves one process")
    theirs = await started(replica)
    assert await store.give_back([], LANDING_GRACE) == 0
    await replica.save(theirs)


async def test_a_process_that_does_nothing_keeps_what_it_has_claimed(store: SqlStore, replica: SqlStore) -> None:
    if replica is store:
        pytest.skip("SQLite serves one process")
    one = await started(store)
    await asyncio.sleep(0.2)  # ten looks
    assert await _claimable(replica) == []
    await store.save(one)


async def test_who_cannot_be_reached_loses_its_claims_and_cannot_write(store: SqlStore, store_url: str) -> None:
    if store_url.startswith("sqlite"):
        pytest.skip("SQLite serves one process")
    async with proxied(store_url) as proxy:
        cut_off = cast("SqlStore", open_store(proxy.through(store_url)))
        await cut_off.open()
        try:
            one = await started(cut_off)
            await proxy.switch(Mode.REFUSE)
            await eventually(lambda: _freed(store, one))
            await proxy.switch(Mode.PASS)
            with pytest.raises(Conflict):
                await eventually(lambda: _saved(cut_off, one))
            await eventually(lambda: cut_off.db.alive)
        finally:
            await cut_off.close()


async def _freed(store: SqlStore, run: Run) -> bool:
    """Say whether its lease has ended; nobody has claimed it since, which alone would keep others from writing."""
    async with store.db.reading() as tx:
        return await tx.scalar(select(runs.c.lease_until).where(runs.c.id == run.id)) is None


async def _saved(store: SqlStore, run: Run) -> bool:
    with contextlib.suppress(Unavailable):  # connections whose end was not noticed yet
        await store.save(run)
        return True
    return False


async def test_a_permission_that_is_being_committed_is_not_overlooked(store: SqlStore, replica: SqlStore) -> None:
    if replica is store:
        pytest.skip("SQLite has one writer")
    one = await acting(store)
    async with store.db.writing(Order.RECORD) as tx:
        await tx.execute(select(runs.c.id).where(runs.c.id == one.id).with_for_update())
        ending = asyncio.create_task(_ended(replica, one))
        await eventually(lambda: _somebody_waits(store))
        await tx.execute(insert(records), record_values(record(store, one)))
    assert await ending == Ended(free=0, in_doubt=1)


async def _ended(store: SqlStore, run: Run) -> Ended:
    async with store.db.writing(Order.CONTROL) as tx:
        return await end_leases(store.db, tx, runs.c.id == run.id, DOUBT_LASTS)


async def _somebody_waits(store: SqlStore) -> bool:
    async with store.db.reading() as tx:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(await tx.scalar(text(waiting)))


def test_a_living_process_would_look_no_sooner() -> None:
    own = timedelta(seconds=SEND_WITHIN_SECONDS + EFFECT_SECONDS) + LANDING_GRACE
    assert own <= DOUBT_LASTS < LEASE
