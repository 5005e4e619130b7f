"""Who waits for whom when slots are taken: what overlaps does, neighbours do not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from responder.domain.runs import RunState
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from responder.stores.postgres import PostgresStore, postgres_store
from tests.conformance.building import started, verdict

ROUNDS = 8


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http/checkout/workers", "http/checkout/workers"),
        ("http/checkout", "http/checkout/workers"),
        ("http/checkout/workers", "http/checkout"),
    ],
)
async def test_of_two_that_take_overlapping_targets_at_once_one_gets_it(
    store: SqlStore, replica: SqlStore, one: str, other: str
) -> None:
    for number in range(ROUNDS):
        # Different playbooks: nothing but the targets can make one wait for the other.
        first = await started(store, target=one.replace("checkout", f"c{number}"), playbook="a")
        second = await started(store, target=other.replace("checkout", f"c{number}"), playbook="b")
        answers = await asyncio.gather(
            store.take_slot(replace(first, state=RunState.ACTING)),
            replica.take_slot(replace(second, state=RunState.ACTING)),
        )
        assert sorted(map(verdict, answers)) == ["", "busy"]


@pytest.fixture
async def shared(postgres_url: str) -> AsyncIterator[PostgresStore]:
    opened = postgres_store(postgres_url)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_neighbour_does_not_wait_for_the_slot_of_another_target(shared: PostgresStore) -> None:
    mine = await started(shared, target="http/checkout/workers", playbook="a")
    async with shared.db.writing(Order.RECORD) as tx:
        await shared.db.lock(tx, ["slot/http/checkout/cache"], shared=["slot/http/checkout", "slot/http"])
        async with asyncio.timeout(4):  # a lock that is waited for is given up after five seconds
            assert await shared.take_slot(replace(mine, state=RunState.ACTING)) is None
