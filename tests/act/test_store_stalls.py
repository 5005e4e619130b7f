"""A store that fails in the middle of a turn: the run goes on when it is back, and not half a minute later."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from responder.act.actor import Actor
from responder.domain.errors import Unavailable
from responder.domain.runs import Run, RunState
from responder.ports.store import LEASE, RunStore
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


async def test_a_claim_whose_answer_was_lost_is_made_again(bed: Bed, target: Target) -> None:
    target.resources["a"] = {"workers": 4}
    run = await bed.begin(change_item("kept"), target="http/checkout/a", item="a")

    async def over() -> bool:
        found = await bed.store.run(run.id)
        return found is not None and found.state is RunState.VERIFIED

    await _worked(bed, Stalls(bed, {"claim_runs": "anything"}, committed=True), over)
