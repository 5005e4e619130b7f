"""What a turn knows gets old, and its lease ends; and time in which nobody could work is not held against a run."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from responder.act.actor import Actor, take_turn
from responder.act.look import look as plainly
from responder.domain.limits import Pause
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState, Sample
from responder.domain.verdicts import Verdict
from responder.ports.store import RunStore, Store
from tests.act_bed import SECOND_STEP, Bed, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually

AWAY = timedelta(minutes=25)


async def claimed(bed: Bed) -> Run:
    """Claim the one run that there is, as soon as it is due."""

    async def due() -> Sequence[Run]:
        return await bed.store.claim_runs(1)

    [run] = await eventually(due, timedelta(seconds=10))
    return run


async def played(actor: Actor, bed: Bed, run: Run) -> Run:
    """Let an actor take turns until the run is over or kept: one that loses a turn takes the next."""

    async def over() -> bool:
        await actor.turn()
        found = await bed.store.run(run.id)
        return found is not None and (found.state.final or found.state is RunState.KEPT)

    await eventually(over, timedelta(seconds=12))
    await actor.drain()
    ended = await bed.store.run(run.id)
    assert ended is not None
    return ended


async def turn(bed: Bed) -> Run:
    """Take one turn of the one run that there is."""
    mine = await claimed(bed)
    await take_turn(bed.engine, mine)
    run = await bed.store.run(mine.id)
    assert run is not None
    return run


async def states(bed: Bed, run: Run) -> list[RecordState]:
    account = await bed.store.account(run.incident_id)
    assert account is not None
    return [record.state for record in account.records]


def changes(target: Target) -> Sequence[object]:
    return [*ledger.effects(target.ledger.entries, "workers"), *ledger.effects(target.ledger.entries, "cache")]


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every turn have no more time than for what it has begun."""
    for module in ("actor", "after"):
        monkeypatch.setattr(f"responder.act.{module}.TURN_SECONDS", 0.0)


@pytest.mark.promise(7)
@pytest.mark.usefixtures("no_time")
async def test_a_turn_that_has_no_time_left_begins_no_further_change_and_no_further_undo(
    bed: Bed, target: Target
) -> None:
    """Else a slow target's last change is sent by a turn whose lease has ended, and nobody can tell what came of it."""
    run = await bed.begin(playbook_text(more_steps=SECOND_STEP, verify="equals: 99"))
    before, seen = 0, set()
    while not run.state.final:
        run = await turn(bed)
        assert len(changes(target)) <= before + 1
        before = len(changes(target))
        seen.add(tuple(await states(bed, run)))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED), run.reason
    assert (RecordState.APPLIED,) in seen
    assert (RecordState.APPLIED, RecordState.UNDONE) in seen
    assert len(changes(target)) == 4


async def test_conditions_are_looked_at_together(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another, what does not answer takes longer than a lease lasts, and the run never gets anywhere."""
    together = asyncio.Barrier(2)

    async def look(*_: object, **__: object) -> Sample:
        async with asyncio.timeout(5):
            await together.wait()
        return Sample(at=bed.store.now(), value=6.0, outcome="pass")

    for module in ("before", "judging"):
        monkeypatch.setattr(f"responder.act.{module}.look", look)
    probe = "probe: http.get\n    with: { service: checkout, path: /admin/workers, pointer: /workers }\n"
    text = playbook_text(tail=f"  - name: the same again\n    {probe}    equals: 6\n    within: 1s\n")
    assert (await bed.work(await bed.begin(text))).state is RunState.VERIFIED


async def test_a_stop_that_comes_while_a_turn_is_under_way_ends_the_run_for_good(bed: Bed, target: Target) -> None:
    """Were it skipped, the same playbook would begin again half a minute after a person has stopped it."""
    run = await bed.begin(playbook_text())
    mine = await claimed(bed)
    assert await bed.store.stop(run.id, "ana")
    await take_turn(bed.engine, mine)
    ended = await bed.work(run)
    assert (ended.state, ended.verdict) == (RunState.CANCELLED, Verdict.STOPPED)
    assert "ana" in ended.reason
    assert not bed.said("episodes_due"), "nothing is tried again by itself"
    assert changes(target) == []


@pytest.mark.parametrize("tail", ["", "revert_after: 1h"])
async def test_a_stop_that_comes_while_the_last_change_is_sent_is_not_lost_to_a_turn_that_ends_the_run(
    bed: Bed, target: Target, tail: str
) -> None:
    """What was asked for was answered with yes: the change would stand, and its message would say Fixed."""
    run = await bed.begin(playbook_text(tail=tail))
    actor = Actor(replace(bed.engine, store=cast("RunStore", _Stopping(bed.store, run.id))))
    ended = await played(actor, bed, run)
    assert (ended.state, ended.verdict) == (RunState.ROLLED_BACK, Verdict.STOPPED), ended.reason
    assert target.resources["workers"]["workers"] == 4


async def test_a_stop_that_comes_while_conditions_are_read_is_not_lost_to_a_run_that_they_skip(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipped, it would be looked at again half a minute later, and the next playbook would have its turn at once."""
    probe = "probe: http.get\n    with: { service: checkout, path: /admin/workers, pointer: /workers }\n"
    run = await bed.begin(
        playbook_text(limits=f"when:\n  - name: few\n    {probe}    below: 1\nlimits: {{ cooldown: 0s }}\n")
    )

    async def look(*given: Any, **more: Any) -> Sample:  # noqa: ANN401 - whatever it is called with
        await bed.store.stop(run.id, "ana")
        return await plainly(*given, **more)

    monkeypatch.setattr("responder.act.before.look", look)
    ended = await played(Actor(bed.engine), bed, run)
    assert (ended.state, ended.verdict) == (RunState.CANCELLED, Verdict.STOPPED), ended.reason
    assert not bed.said("episodes_due")


async def test_behind_a_stop_that_comes_while_it_is_undone_nobody_has_a_turn(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99"))
    run = await bed.work(run, until=frozenset({RunState.UNDOING}))
    assert await bed.store.stop(run.id, "ana")
    ended = await bed.work(run)
    assert (ended.state, ended.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED), ended.reason
    assert ended.reason.endswith("ana stopped the run.")
    assert target.resources["workers"]["workers"] == 4
    assert not bed.said("episodes_due")


class _Stopping:
    """A store in which a person stops a run just when its change has arrived."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run = store, run_id

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if name != "settle":
            return found

        async def settle(*arguments: object) -> None:
            await self._store.stop(self._run, "ana")
            await found(*arguments)

        return settle


@pytest.mark.usefixtures("no_time")
async def test_a_halt_ends_the_turn_and_its_time_does_not_count(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(more_steps=SECOND_STEP))
    while not changes(target):
        run = await turn(bed)
    mine = await claimed(bed)
    await bed.store.pause(Pause("h", "halt", "all", "let me look", "ana", bed.store.now()))
    before = len(bed.said("run_state"))
    with pytest.MonkeyPatch.context() as more:
        more.setattr("responder.act.actor.TURN_SECONDS", 20.0)  # there would be time to try once more
        await take_turn(bed.engine, mine)
    halted = await bed.store.run(run.id)
    assert halted is not None
    assert (halted.state, halted.verdict) == (RunState.PARKED, Verdict.HALTED)
    assert [one["state"] for one in bed.said("run_state")[before:]] == ["parked"]
    await bed.store.resume("all", "ana")
    resumed = bed.store.now()
    ended = await bed.work(run)
    assert ended.state is RunState.VERIFIED, ended.reason
    assert halted.progress.parked_at is not None
    assert ended.deadline - halted.deadline >= resumed - halted.progress.parked_at


async def test_a_fix_is_not_undone_unseen_because_nobody_could_look_in_time(bed: Bed, target: Target) -> None:
    """The store was away, or we were: the deadline had passed meanwhile."""
    run = await bed.begin(playbook_text(verify="equals: 99", within="20s"))
    await bed.work(run, until=frozenset({RunState.VERIFYING}))
    target.resources["workers"] = {"workers": 99}
    mine = await claimed(bed)
    long_due = replace(mine, due_at=mine.due_at - AWAY, deadline=mine.due_at - timedelta(minutes=5))
    ended = await take_turn(bed.engine, long_due)
    assert (ended.state, ended.verdict) == (RunState.VERIFIED, Verdict.VERIFIED), ended.reason


async def test_a_rollback_that_waits_for_its_target_can_be_stopped(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    back = await bed.store.roll_back(run.id, "ana", "changed our mind")
    assert isinstance(back, Run)
    assert await bed.store.stop(back.id, "ben")
    ended = await bed.work(back)
    assert (ended.state, ended.verdict) == (RunState.CANCELLED, Verdict.STOPPED), ended.reason
    assert target.resources["workers"]["workers"] == 6


@pytest.mark.promise(14)
async def test_a_rollback_that_never_gets_its_target_ends_and_somebody_hears_of_it(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    back = await bed.store.roll_back(run.id, "ana", "changed our mind")
    assert isinstance(back, Run)
    mine = await claimed(bed)
    ended = await take_turn(bed.engine, replace(mine, deadline=mine.due_at - timedelta(seconds=1)))
    assert (ended.state, ended.verdict) == (RunState.EXPIRED, Verdict.DEADLINE)
    account = await bed.store.account(run.incident_id)
    assert account is not None
    assert account.incident.needs_person == "add-workers: The run did not end in time."
    assert target.resources["workers"]["workers"] == 6
