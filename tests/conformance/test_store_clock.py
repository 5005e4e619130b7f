"""While the store's clock is doubted nothing new is changed and nobody's lease is taken; undoing goes on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from responder.domain.records import RecordState
from responder.domain.verdicts import Verdict
from responder.ports.store import LEASE
from responder.stores.core.clock import AnchoredClock
from responder.stores.core.store import SqlStore
from tests.conformance.building import FREE, WINDOW, acting, advance, applied, record, run, verdict, write


def clock(store: SqlStore) -> AnchoredClock:
    database: Any = store.db
    found: AnchoredClock = database.clock
    return found


async def test_a_forward_effect_is_refused_until_later_and_an_undo_is_not(store: SqlStore) -> None:
    one = await acting(store)
    done = await applied(store, one)
    clock(store).doubt("It jumped.")

    refusal = await store.intend(one, record(store, one, index=1), FREE)
    assert verdict(refusal) == "clock_suspect"
    assert refusal is not None
    assert refusal.retry_at is not None
    assert "It jumped." in refusal.reason
    assert Verdict.CLOCK_SUSPECT.later

    undoing = replace(done, state=RecordState.UNDO_INTENDED)
    assert await store.intend_undo(one, undoing) is None
    standing = await store.standing(one, WINDOW)
    assert standing.suspicion == store.suspicion()


async def test_a_lease_that_runs_out_while_the_clock_is_doubted_is_left_alone(store: SqlStore) -> None:
    ran_out, held = run(store), run(store, target="http/other")
    await write(store, runs=[(ran_out, frozenset())])
    assert [one.id for one in await store.claim_runs(10)] == [ran_out.id]
    advance(store, LEASE + timedelta(seconds=1))
    await write(store, runs=[(held, frozenset())])
    advance(store, timedelta(seconds=1))

    clock(store).doubt("It jumped.")
    claimed = {one.id for one in await store.claim_runs(10)}
    assert claimed == {ran_out.id, held.id}, "one ran out before, the other was free"
    advance(store, LEASE + timedelta(seconds=1))
    assert await store.claim_runs(10) == []
    assert await store.set_aside() == []

    clock(store)._agreed_at = store.now() + timedelta(minutes=2)  # a minute in which it agreed
    assert {one.id for one in await store.claim_runs(10)} == claimed
