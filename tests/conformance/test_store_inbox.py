"""Deliveries: durable when accepted, decided by one at a time, never lost."""

import asyncio
from datetime import timedelta

import pytest

from responder.domain.errors import Conflict
from responder.ports.store import CLAIMED_BYTES, LEASE, MAX_ATTEMPTS, DeliveryProgress, NewDelivery
from responder.stores.core.part import LINGER
from responder.stores.core.store import SqlStore
from tests.conformance.building import actions_of, advance, by_id, deliver, write


async def test_what_was_accepted_is_claimed_oldest_first(store: SqlStore) -> None:
    now = store.now()
    late = NewDelivery("late", "am", now, b"\x00\xff", 2)
    early = NewDelivery("early", "am", now - timedelta(seconds=1), b"{}", 1)
    assert await store.accept([late, early]) == [None, None]

    first, second = await store.claim_deliveries(10)

    assert (first.id, second.id) == ("early", "late")
    assert (second.body, second.source, second.received_at) == (b"\x00\xff", "am", now)
    assert (second.attempts, second.epoch) == (1, 1)


async def test_nothing_accepted_is_nothing_answered(store: SqlStore) -> None:
    assert list(await store.accept([])) == []


async def test_a_bad_row_fails_alone(store: SqlStore) -> None:
    await deliver(store, "taken")
    now = store.now()

    answers = await store.accept([NewDelivery(one, "am", now, b"{}", 1) for one in ("a", "taken", "b")])

    assert answers[0] is None
    assert isinstance(answers[1], Conflict)
    assert answers[2] is None
    assert set(await by_id(store, "deliveries")) == {"a", "b", "taken"}


async def test_two_replicas_never_claim_the_same_delivery(store: SqlStore, replica: SqlStore) -> None:
    await deliver(store, *(f"d{number}" for number in range(60)))

    claims = await asyncio.gather(*((store, replica)[number % 2].claim_deliveries(7) for number in range(12)))

    taken = [one.id for claim in claims for one in claim]
    assert len(taken) == len(set(taken)) == 60


async def test_a_claim_takes_no_more_than_asked(store: SqlStore) -> None:
    await deliver(store, "a", "b", "c")
    assert len(await store.claim_deliveries(2)) == 2
    assert len(await store.claim_deliveries(2)) == 1


async def test_a_claim_takes_what_fits_into_memory_and_always_one(store: SqlStore) -> None:
    third = bytes(CLAIMED_BYTES // 3 + 1)
    for name in ("a", "b", "c", "d"):
        await deliver(store, name, body=third)
    await deliver(store, "e", body=bytes(CLAIMED_BYTES))
    await deliver(store, "f", "g")
    claims = [[one.id for one in await store.claim_deliveries(100)] for _ in range(4)]
    assert claims == [["a", "b", "c"], ["d", "e"], ["f", "g"], []]


async def test_a_lease_that_ran_out_is_claimed_again_and_the_first_worker_is_refused(store: SqlStore) -> None:
    await deliver(store, "d")
    (first,) = await store.claim_deliveries(1)
    assert await store.claim_deliveries(1) == []

    advance(store, LEASE)
    (second,) = await store.claim_deliveries(1)

    assert (second.attempts, second.epoch) == (2, 2)
    with pytest.raises(Conflict):
        await write(store, progress=[DeliveryProgress("d", first.epoch, cursor=1, done=True)])
    with pytest.raises(Conflict):
        await store.release_delivery(first, store.now())
    await write(store, progress=[DeliveryProgress("d", second.epoch, cursor=1, done=True, note="one was unreadable")])
    kept = (await by_id(store, "deliveries"))["d"]
    assert (kept["state"], kept["error"]) == ("done", "one was unreadable")


async def test_a_delivery_goes_on_at_its_cursor(store: SqlStore) -> None:
    await deliver(store, "d")
    (one,) = await store.claim_deliveries(1)
    await write(store, progress=[DeliveryProgress("d", one.epoch, cursor=200, done=False)])
    assert await store.claim_deliveries(1) == [], "progress renews the lease"

    advance(store, LEASE)
    (again,) = await store.claim_deliveries(1)

    assert (again.cursor, again.attempts) == (200, 1)


async def test_a_released_delivery_waits_until_its_time(store: SqlStore) -> None:
    await deliver(store, "d")
    (one,) = await store.claim_deliveries(1)
    await store.release_delivery(one, store.now() + timedelta(seconds=5))
    assert await store.claim_deliveries(1) == []

    advance(store, timedelta(seconds=5))

    (again,) = await store.claim_deliveries(1)
    assert again.attempts == 2


async def test_what_is_claimed_again_and_again_is_set_aside_and_a_person_is_told(store: SqlStore) -> None:
    await deliver(store, "d")
    for _ in range(MAX_ATTEMPTS):
        assert await store.set_aside() == []
        assert len(await store.claim_deliveries(1)) == 1
        advance(store, LEASE)
    assert await store.claim_deliveries(1) == []

    assert await store.set_aside(["console:"]) == ["delivery d"]

    (incident,) = (await by_id(store, "incidents")).values()
    assert "could not be read" in incident["needs_person"]
    advance(store, LINGER)
    assert [item.destination for item in await store.claim_outbox(10, [])] == ["console:"]
    assert (await by_id(store, "deliveries"))["d"]["state"] == "dead"
    assert (await store.depths())["deliveries"].dead == 1
    assert await actions_of(store, "d") == ["delivery.set_aside"]
    assert await store.set_aside() == []


async def test_a_dead_delivery_can_be_brought_back(store: SqlStore) -> None:
    await deliver(store, "d")
    (one,) = await store.claim_deliveries(1)
    await write(store, progress=[DeliveryProgress("d", one.epoch, cursor=0, done=False, dead="no JSON")])
    assert (await by_id(store, "deliveries"))["d"]["error"] == "no JSON"

    assert await store.redrive("delivery", "d", "ann")
    assert not await store.redrive("delivery", "d", "ann")

    (again,) = await store.claim_deliveries(1)
    assert again.attempts == 1
    assert await actions_of(store, "d") == ["delivery.redriven"]
