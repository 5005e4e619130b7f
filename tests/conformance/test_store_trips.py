"""Playbooks that fail too often in a row ask, until a person resets them."""

from dataclasses import replace

from responder.domain.limits import NO_LIMITS
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import RunEnd
from responder.stores.core.store import SqlStore
from tests.conformance.building import FREE, HOUR, acting, actions_of, applied, record, verdict

TWO = 2


async def ended(store: SqlStore, state: RunState, *, changed: bool = True, by: Verdict | None = None) -> Run:
    one = await acting(store)
    one = replace(one, progress=one.progress.model_copy(update={"asked": 1}))  # a yes goes past a trip
    if changed:
        await applied(store, one)
    await store.finish(replace(one, state=state, verdict=by), RunEnd(trip_after=TWO))
    return one


async def trips(store: SqlStore) -> list[str]:
    return [one.scope for one in await store.brakes_in_force() if one.kind == "trip"]


async def test_failures_in_a_row_trip_a_playbook_until_a_person_resets_it(store: SqlStore) -> None:
    await ended(store, RunState.ROLLED_BACK)
    assert await trips(store) == []
    last = await ended(store, RunState.UNKNOWN)
    assert await trips(store) == ["playbook:restart"]

    auto = await acting(store)
    refusal = await store.intend(auto, record(store, auto), FREE)
    assert verdict(refusal) == "tripped"
    assert refusal is not None
    assert last.id in refusal.reason
    assert verdict(await store.intend(auto, record(store, auto), FREE)) == "tripped"
    approved = replace(auto, progress=auto.progress.model_copy(update={"asked": 1}))
    assert await store.intend(approved, record(store, approved), FREE) is None
    other = await acting(store, playbook="other", target="http/other")
    assert await store.intend(other, record(store, other), FREE) is None

    assert await store.resume("all", "ana") == 0, "who lifts pauses has not looked at what failed"
    assert await store.resume("playbook:restart", "ana") == 0
    assert await store.reset("other", "ana") is False
    assert await store.reset("restart", "ana") is True
    assert await store.reset("restart", "ana") is False
    assert await trips(store) == []
    assert await actions_of(store, "playbook:restart") == ["trip.begun", "trip.lifted"]


async def test_it_counts_anew_after_a_reset(store: SqlStore) -> None:
    await ended(store, RunState.ROLLED_BACK)
    await ended(store, RunState.FAILED)
    assert await store.reset("restart", "ana")
    await ended(store, RunState.ROLLED_BACK)
    assert await trips(store) == []
    await ended(store, RunState.ROLLED_BACK)
    assert await trips(store) == ["playbook:restart"]
    await ended(store, RunState.ROLLED_BACK)
    assert await trips(store) == ["playbook:restart"]  # once is enough


async def test_only_failures_that_changed_something_and_follow_each_other_count(store: SqlStore) -> None:
    await ended(store, RunState.ROLLED_BACK)
    await ended(store, RunState.VERIFIED)
    await ended(store, RunState.ROLLED_BACK)
    await ended(store, RunState.FAILED, changed=False)
    await ended(store, RunState.ROLLED_BACK, by=Verdict.STOPPED)  # a person's decision is no failure
    assert await trips(store) == []
    await ended(store, RunState.PARTLY_ROLLED_BACK)
    assert await trips(store) == ["playbook:restart"]


async def test_an_undo_and_a_run_that_has_begun_are_not_kept_from_going_on(store: SqlStore) -> None:
    two_steps = replace(FREE, effects=2)
    begun = await acting(store, target="http/begun")
    first = await applied(store, begun, two_steps)
    await ended(store, RunState.ROLLED_BACK)
    await ended(store, RunState.ROLLED_BACK)
    assert await trips(store) == ["playbook:restart"]
    assert await store.intend(begun, record(store, begun, index=1), two_steps) is None
    assert await store.intend_undo(begun, first) is None
    assert (await store.standing(begun, NO_LIMITS)).pauses[0].halts is False


async def test_what_helped_and_is_kept_for_a_time_breaks_the_row(store: SqlStore) -> None:
    await ended(store, RunState.ROLLED_BACK)
    one = await acting(store)
    await applied(store, one)
    await store.keep(replace(one, state=RunState.KEPT, due_at=store.now() + HOUR), RunEnd(trip_after=TWO))
    await ended(store, RunState.ROLLED_BACK)
    assert await trips(store) == []
    await ended(store, RunState.ROLLED_BACK)
    assert await trips(store) == ["playbook:restart"]
