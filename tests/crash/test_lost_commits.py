"""A COMMIT is applied and its answer is lost, at every commit of a run; the judge is the target's own ledger."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

import pytest

from responder.act.actor import Actor, take_turn
from responder.domain.errors import StoreError, Unavailable
from responder.domain.runs import Run, RunState
from responder.ports.store import LEASE, RunStore
from responder.stores.core.store import SqlStore
from tests.act_bed import Bed, open_bed, playbook_text
from tests.bed import ledger
from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.target_peer import Target
from tests.conformance.building import advance

HELPING = playbook_text(verify="equals: 6", within="40s")
NOT_HELPING = playbook_text(verify="equals: 99", within="1s")
MANY = 20
FAULTS = 4
"""One less than the turns that may fail before a run is set aside."""


@dataclass
class Unreliable:
    """An engine whose store is reached through a proxy."""

    bed: Bed
    proxy: Proxy

    async def lose(self) -> None:
        """Lose the answer to the next COMMIT; the semicolon tells it from READ COMMITTED."""
        await self.proxy.switch(Mode.LOSE_REPLY, when=b"COMMIT;", once=True)

    def lapse(self) -> None:
        """Let the leases of turns that failed run out."""
        advance(cast("SqlStore", self.bed.store), LEASE + timedelta(seconds=1))


class LosesAt:
    """A store that loses the answer to the COMMIT of one of its calls, the first time."""

    def __init__(self, over: Unreliable, call: str) -> None:
        self._over, self._call = over, call
        self.struck = False

    def __getattr__(self, name: str) -> object:
        found = getattr(self._over.bed.store, name)
        if name != self._call or self.struck:
            return found

        async def loses(*arguments: object) -> object:
            self.struck = True
            await self._over.lose()
            return await found(*arguments)

        return loses


@pytest.fixture
async def unreliable(postgres_url: str, target: Target, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Unreliable]:
    # A look at the server's clock commits, too, and would take the fault; besides, the test sets the clock.
    monkeypatch.setattr("responder.stores.core.clock.SYNC_EVERY", timedelta(hours=1))
    target.resources["workers"] = {"workers": 4}
    async with proxied(postgres_url) as proxy:
        bed = await open_bed(proxy.through(postgres_url), target.url)
        try:
            yield Unreliable(bed, proxy)
        finally:
            await proxy.switch(Mode.PASS)
            await bed.tools.close()
            await bed.store.close()


async def until_lost(one: Unreliable, run: Run, call: str) -> None:
    """Take the run's turns until the answer to the COMMIT of ``call`` is lost, which ends the turn."""
    store = LosesAt(one, call)
    engine = replace(one.bed.engine, store=cast("RunStore", store))
    for _ in range(60):
        for claimed in await one.bed.store.claim_runs(1):
            try:
                await take_turn(engine, claimed)
            except Unavailable:
                assert store.struck
        if store.struck:
            break
        advance(cast("SqlStore", one.bed.store), timedelta(seconds=1))
    assert one.proxy.struck == 1, await one.bed.store.run(run.id)


async def go_on(one: Unreliable, run: Run) -> Run:
    """Take turns until the run is over."""
    for _ in range(60):
        for claimed in await one.bed.store.claim_runs(4):
            await take_turn(one.bed.engine, claimed)
        now = await one.bed.store.run(run.id)
        assert now is not None
        if now.state.final:
            return now
        advance(cast("SqlStore", one.bed.store), timedelta(seconds=1))
    raise AssertionError(f"run {run.id} did not come to its end")


async def test_without_an_answer_to_the_record_s_commit_nothing_is_sent(unreliable: Unreliable, target: Target) -> None:
    run = await unreliable.bed.begin(HELPING)
    await until_lost(unreliable, run, "intend")
    assert target.ledger.entries == []
    (record,) = (await unreliable.bed.store.page("records", {"run": run.id}, 10, "")).items
    assert record["state"] == "intended", "it was applied"


@pytest.mark.parametrize("call", ["intend", "settle", "finish"])
async def test_a_lost_answer_means_that_the_turn_is_taken_again_and_the_effect_is_made_once(
    unreliable: Unreliable, target: Target, call: str
) -> None:
    run = await unreliable.bed.begin(HELPING)
    await until_lost(unreliable, run, call)
    unreliable.lapse()
    ended = await go_on(unreliable, run)
    assert ended.state is RunState.VERIFIED, ended.reason
    assert len(ledger.effects(target.ledger.entries)) == 1
    assert target.resources["workers"]["workers"] == 6


@pytest.mark.parametrize("call", ["intend_undo", "settle", "finish"])
async def test_a_lost_answer_while_undoing_undoes_once(unreliable: Unreliable, target: Target, call: str) -> None:
    run = await unreliable.bed.begin(NOT_HELPING)
    undoing = await unreliable.bed.work(run, until=frozenset({RunState.UNDOING}))
    assert undoing.state is RunState.UNDOING
    await until_lost(unreliable, run, call)
    unreliable.lapse()
    ended = await go_on(unreliable, run)
    assert ended.state is RunState.ROLLED_BACK, ended.reason
    assert len(ledger.effects(target.ledger.entries)) == 2
    assert ledger.twice(target.ledger.entries) == []
    assert target.resources["workers"]["workers"] == 4


async def test_a_turn_whose_end_got_no_answer_has_ended(unreliable: Unreliable, target: Target) -> None:
    run = await unreliable.bed.begin(NOT_HELPING)
    await until_lost(unreliable, run, "save")
    unreliable.lapse()
    ended = await go_on(unreliable, run)
    assert ended.state is RunState.ROLLED_BACK, ended.reason
    assert len(ledger.effects(target.ledger.entries)) == 2
    assert target.resources["workers"]["workers"] == 4


async def test_runs_that_share_a_commit_whose_answer_is_lost_are_each_taken_again(
    unreliable: Unreliable, target: Target
) -> None:
    text = HELPING.replace("/admin/workers", "/admin/{{ labels.item }}").replace(
        "http/checkout/workers", "http/checkout/{{ labels.item }}"
    )
    bed = unreliable.bed
    runs = {}

    async def begin(name: str) -> None:
        target.resources[name] = {"workers": 4}
        runs[name] = await bed.begin(text, target=f"http/checkout/{name}", item=name)

    for number in range(MANY):
        await begin(f"item-{number}")
    actor = Actor(bed.engine)
    for turn in range(12):
        if turn < FAULTS:
            await begin(f"later-{turn}")  # on a busy machine all others may be over by now
            await unreliable.lose()
        try:
            while await actor.turn() > 0:
                await actor.drain()
        except StoreError:
            await actor.drain()
        unreliable.lapse()
    assert unreliable.proxy.struck == FAULTS
    for name, run in runs.items():
        now = await bed.store.run(run.id)
        assert now is not None
        assert now.state is RunState.VERIFIED, (now.state, now.reason)
        assert len(ledger.effects(target.ledger.entries, name)) == 1, name
