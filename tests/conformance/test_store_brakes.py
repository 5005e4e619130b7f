"""Brakes in the store: judged in the record's transaction, whatever they cover and wherever they come from."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from responder.domain.errors import Conflict
from responder.domain.limits import NO_LIMITS, Pause
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.ports.store import Authority
from responder.stores.core.store import SqlStore
from tests.conformance.building import acting, actions_of, advance, applied, claimed, record

HTTP = Authority(NO_LIMITS, 1, actions=("http.request",))


class Own:
    """What a process is told beside its store."""

    def __init__(self, *brakes: Pause) -> None:
        self.brakes = brakes

    async def in_force(self) -> Sequence[Pause]:
        return self.brakes


def brake(store: SqlStore, scope: str, kind: str = "pause") -> Pause:
    return Pause("b", kind, scope, "release", "ana", store.now())


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        ("all", True),
        ("team:shop", True),
        ("team:pay", False),
        ("action:http.*", True),
        ("action:redis.*", False),
        ("playbook:rest*", True),
        ("target:http/*", True),
    ],
)
async def test_an_effect_is_refused_by_what_covers_it(store: SqlStore, scope: str, refused: bool) -> None:  # noqa: FBT001 - a table
    run = await acting(store, target="http/checkout/a")
    run = replace(run, context=run.context.model_copy(update={"team": "shop"}))
    one = record(store, run)
    assert one.action == "http.request"
    await store.pause(brake(store, scope))
    answer = await store.intend(run, one, HTTP)
    assert (answer is not None) == refused
    if answer is not None:
        assert (answer.verdict, f"ana paused {scope}: “release”" in answer.reason) == ("paused", True)


@pytest.mark.promise(4)
async def test_the_last_look_before_a_send_tells_that_another_process_has_the_run(store: SqlStore) -> None:
    run = await acting(store, target="http/checkout/a")
    assert await store.braked(run, "http.request", "do") is None
    advance(store, timedelta(minutes=2))
    again = await claimed(store, run.id)
    with pytest.raises(Conflict):
        await store.braked(run, "http.request", "do")
    assert await store.braked(again, "http.request", "do") is None


async def test_a_plan_that_could_not_go_on_does_not_begin(store: SqlStore) -> None:
    run = await acting(store, target="http/checkout/a")
    await store.pause(brake(store, "action:redis.*"))
    both = replace(HTTP, actions=("http.request", "redis.command"))
    assert await store.intend(run, record(store, run), both) is not None
    assert await store.intend(run, record(store, run), HTTP) is None


@pytest.mark.parametrize("kind", ["pause", "halt"])
async def test_the_brakes_of_the_process_are_judged_with_those_of_the_store(store: SqlStore, kind: str) -> None:
    run = await acting(store, target="http/checkout/a")
    own = Own(replace(brake(store, "all", kind), source="file", actor="the file /brake"))
    store.db.brakes = own  # type: ignore[misc] # read only for everybody else
    refusal = await store.intend(run, record(store, run), HTTP)
    assert refusal is not None
    assert "the file /brake" in refusal.reason
    assert list((await store.standing(run, NO_LIMITS)).pauses) == list(own.brakes)
    async with store.slice() as slice_:
        assert list(await slice_.pauses()) == list(own.brakes)
    assert list(await store.brakes_in_force()) == list(own.brakes)
    assert await store.resume("all", "ana") == 0  # no person lifts them here
    own.brakes = ()
    assert await store.intend(run, record(store, run), HTTP) is None


async def test_an_undo_is_stopped_by_a_halt_of_the_process_and_not_by_its_pause(store: SqlStore) -> None:
    run = await acting(store, target="http/checkout/a")
    undo = replace(await applied(store, run, HTTP), state=RecordState.UNDO_INTENDED)
    own = Own(brake(store, "action:http.request", "halt"))
    store.db.brakes = own  # type: ignore[misc] # as above
    assert await store.intend_undo(run, undo) is not None
    own.brakes = (brake(store, "action:redis.*", "halt"), brake(store, "all"))
    assert await store.intend_undo(run, undo) is None


async def test_brakes_of_the_process_that_come_and_go_are_audited_and_wake_what_waits(store: SqlStore) -> None:
    run = await acting(store, target="http/checkout/a")
    await store.save(replace(run, state=RunState.PARKED, due_at=store.now() + timedelta(hours=1)))
    own = replace(brake(store, "target:http/*", "halt"), source="file", actor="the file /brake")
    await store.brakes_changed([own], [])
    assert [one.id for one in await store.claim_runs(10)] == [run.id]
    await store.brakes_changed([], [own])
    assert await actions_of(store, "target:http/*") == ["halt.begun", "halt.lifted"]
    entries = (await store.page("audit", {"subject": "target:http/*"}, 10, "")).items
    assert {entry["actor"] for entry in entries} == {"the file /brake"}


async def test_any_number_of_runs_may_wait_when_a_pause_comes(store: SqlStore) -> None:
    ids = [f"run-{number}" for number in range(40_000)]  # more than a statement may have parameters
    async with store.db.writing(0) as tx:  # type: ignore[arg-type] # the first in line
        await store.nudge_runs(tx, store.now(), ids)
    await store.pause(brake(store, "all"))
    assert len(await store.brakes_in_force()) == 1
