"""A store that fails in the middle of a turn: the run goes on when it is back, and not half a minute later."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from responder.act.actor import Actor
from responder.domain.errors import Conflict, Unavailable
from responder.domain.runs import Run, RunState
from responder.ports.store import LEASE, MAX_ATTEMPTS, RunStore
from tests.act_bed import Bed
from tests.bed.ledger import effects
from tests.bed.playbooks import change_item
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually

SOON = timedelta(seconds=12)
HELPLESS = change_item("helpless", wanted=99, within="250ms")


class Stalls:
    """A store whose answer to some calls is lost once, for the item that ``calls`` names with each."""

    def __init__(self, bed: Bed, calls: dict[str, str], *, committed: bool) -> None:
        self._bed, self._calls, self._committed = bed, dict(calls), committed

    def __getattr__(self, name: str) -> object:
        found = getattr(self._bed.store, name)
        if name not in self._calls:
            return found

        async def stalls(*arguments: object) -> object:
            of = arguments[0].target if isinstance(arguments[0], Run) else "anything"
            if not of.endswith(self._calls.get(name, "nothing")):
                return await found(*arguments)
            del self._calls[name]
            if self._committed:
                await found(*arguments)
            raise Unavailable("no answer")

        return stalls


async def _worked(bed: Bed, stalls: Stalls, over: Callable[[], object]) -> None:
    """Take turns as the worker does until ``over``."""
    actor = Actor(replace(bed.engine, store=cast("RunStore", stalls)))

    async def act() -> None:
        while True:
            try:
                await actor.turn()
            except Unavailable:
                await asyncio.sleep(0.1)  # the worker's back-off
            await asyncio.sleep(0.01)

    acting = asyncio.create_task(act())
    try:
        await eventually(over, SOON)
    finally:
        acting.cancel()
        await asyncio.wait([acting])
        await actor.drain()


@pytest.mark.parametrize("committed", [False, True])
async def test_a_turn_that_the_store_cut_short_goes_on_when_it_is_back(
    bed: Bed, target: Target, *, committed: bool
) -> None:
    calls = {"intend": "a", "settle": "b", "save": "c", "intend_undo": "d", "finish": "e"}
    runs = []
    for item in calls.values():
        target.resources[item] = {"workers": 4}
        runs.append(await bed.begin(HELPLESS, target=f"http/checkout/{item}", item=item))

    async def over() -> bool:
        states = [found.state for run in runs if (found := await bed.store.run(run.id)) is not None]
        return all(state is RunState.ROLLED_BACK for state in states)

    assert SOON < LEASE
    await _worked(bed, Stalls(bed, calls, committed=committed), over)
    assert len(effects(target.ledger.entries)) == 2 * len(runs), "each was made once, and undone once"


class Fails:
    """A store that claims and gives back, and cannot be written to until it is well."""

    def __init__(self, bed: Bed, error: Exception) -> None:
        self._bed, self._error, self.well, self.turns = bed, error, False, 0

    def __getattr__(self, name: str) -> object:
        if self.well or name in ("claim_runs", "give_back"):
            return getattr(self._bed.store, name)

        async def fails(*_: object) -> object:
            self.turns += 1
            raise self._error

        return fails


@pytest.mark.parametrize("error", [Unavailable("disk full"), Conflict("a lock was waited for in vain")])
async def test_bad_minutes_of_the_store_wear_no_run_out(
    bed: Bed, target: Target, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("responder.act.actor.REST", timedelta(milliseconds=20))
    monkeypatch.setattr("responder.act.actor.LONGEST_REST", timedelta(milliseconds=100))
    target.resources["a"] = {"workers": 4}
    run = await bed.begin(change_item("kept"), target="http/checkout/a", item="a")
    store = Fails(bed, error)

    async def over() -> bool:
        assert await bed.store.set_aside() == []
        store.well = store.turns >= 3 * MAX_ATTEMPTS
        found = await bed.store.run(run.id)
        return found is not None and found.state is RunState.VERIFIED

    await _worked(bed, cast("Stalls", store), over)


async def test_a_store_that_goes_on_failing_is_not_asked_all_the_time(bed: Bed, target: Target) -> None:
    target.resources["a"] = {"workers": 4}
    await bed.begin(change_item("kept"), target="http/checkout/a", item="a")
    store = Fails(bed, Unavailable("disk full"))
    began = time.monotonic()
    await _worked(bed, cast("Stalls", store), lambda: time.monotonic() - began > 2)
    assert 2 <= store.turns <= 5


async def test_what_a_fault_of_ours_left_counts_though_the_store_fails_beside_it(
    bed: Bed, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.resources |= {name: {"workers": 4} for name in ("a", "b")}
    faulty = await bed.begin(change_item("kept"), target="http/checkout/a", item="a")
    cut_short = await bed.begin(change_item("kept"), target="http/checkout/b", item="b")

    async def turn(_: object, run: Run) -> Run:
        if run.id == faulty.id:
            raise LookupError("a fault of ours")
        raise Unavailable("disk full")

    monkeypatch.setattr("responder.act.actor.take_turn", turn)
    actor = Actor(bed.engine)
    for _ in range(2):
        await actor.turn()
        await actor.drain()
    attempts = {one: (await bed.store.run(one) or faulty).attempts for one in (faulty.id, cut_short.id)}
    assert attempts == {faulty.id: 1, cut_short.id: 1}
    assert [one.id for one in await bed.store.claim_runs(10)] == []


async def test_a_claim_whose_answer_was_lost_is_made_again(bed: Bed, target: Target) -> None:
    target.resources["a"] = {"workers": 4}
    run = await bed.begin(change_item("kept"), target="http/checkout/a", item="a")

    async def over() -> bool:
        found = await bed.store.run(run.id)
        return found is not None and found.state is RunState.VERIFIED

    await _worked(bed, Stalls(bed, {"claim_runs": "anything"}, committed=True), over)
