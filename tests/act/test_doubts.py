"""A person wants back what is in doubt: it is looked at anew, and what is there is undone."""

import pytest

from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from tests.act.test_protocol import die, go_on, states, undoing
from tests.act_bed import Bed, needs_person, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target


def workers(target: Target) -> object:
    return target.resources["workers"]["workers"]


def hold(target: Target, count: int) -> None:
    target.resources["workers"] = {**target.resources["workers"], "workers": count}


def sent(target: Target) -> int:
    return len(ledger.effects(target.ledger.entries))


async def in_doubt(bed: Bed, target: Target) -> Run:
    """Give a run of which nobody could tell whether its change had landed."""
    await bed.begin(playbook_text())
    [run] = await bed.store.claim_runs(1)
    run = await die(bed, run, "intend", committed=True)
    hold(target, 7)
    run = await go_on(bed, run)
    assert (run.state, await states(bed, run)) == (RunState.UNKNOWN, [RecordState.UNCERTAIN])
    return run


async def undo_in_doubt(bed: Bed, target: Target) -> Run:
    """Give a run of which nobody could tell whether its undo had landed."""
    run = await die(bed, await undoing(bed), "intend_undo", committed=True)
    hold(target, 7)
    run = await go_on(bed, run)
    assert (run.state, await states(bed, run)) == (RunState.UNKNOWN, [RecordState.UNDO_UNCERTAIN])
    return run


async def rolled_back(bed: Bed, run: Run) -> Run:
    back = await bed.store.roll_back(run.id, "ana", "I have looked")
    assert isinstance(back, Run), back
    return await bed.work(back)


async def test_a_change_that_was_in_doubt_and_is_there_is_undone(bed: Bed, target: Target) -> None:
    run = await in_doubt(bed, target)
    hold(target, 6)
    back = await rolled_back(bed, run)
    assert (back.state, workers(target), sent(target)) == (RunState.ROLLED_BACK, 4, 1), back.reason
    assert await states(bed, run) == [RecordState.UNDONE]
    assert await needs_person(bed, run) == ""


@pytest.mark.parametrize(("now", "says"), [(4, "not there now"), (7, "still nobody can tell")])
async def test_a_change_that_was_in_doubt_and_cannot_be_seen_stays_in_doubt_and_nothing_is_sent(
    bed: Bed, target: Target, now: int, says: str
) -> None:
    run = await in_doubt(bed, target)
    hold(target, now)
    back = await rolled_back(bed, run)
    assert (back.state, workers(target), sent(target)) == (RunState.UNKNOWN, now, 0)
    assert says in back.reason
    assert await states(bed, run) == [RecordState.UNCERTAIN]
    hold(target, 6)
    assert (await rolled_back(bed, run)).state is RunState.ROLLED_BACK, "it has landed late"
    assert workers(target) == 4


@pytest.mark.parametrize(("now", "undos"), [(6, 1), (4, 0)])
async def test_an_undo_that_was_in_doubt_is_made_where_it_has_not_arrived(
    bed: Bed, target: Target, now: int, undos: int
) -> None:
    run = await undo_in_doubt(bed, target)
    before = sent(target)
    hold(target, now)
    back = await rolled_back(bed, run)
    assert (back.state, workers(target), sent(target) - before) == (RunState.ROLLED_BACK, 4, undos), back.reason
    assert await states(bed, run) == [RecordState.UNDONE]


async def test_an_undo_that_was_in_doubt_and_cannot_be_seen_stays_in_doubt(bed: Bed, target: Target) -> None:
    run = await undo_in_doubt(bed, target)
    before = sent(target)
    back = await rolled_back(bed, run)
    assert (back.state, back.verdict, workers(target)) == (RunState.UNKNOWN, Verdict.UNDO_UNCERTAIN, 7)
    assert "still nobody can tell" in back.reason
    assert sent(target) == before


async def test_what_somebody_has_put_back_already_is_taken_back_without_a_call(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    hold(target, 4)
    back = await rolled_back(bed, run)
    assert (back.state, sent(target)) == (RunState.ROLLED_BACK, 1), back.reason
    account = await bed.store.account(run.incident_id)
    assert account is not None
    assert [record.message for record in account.records] == ["Somebody else has put it back already."]


async def test_what_was_somebody_elses_is_undone_once_it_is_ours_again(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    hold(target, 9)
    assert (await rolled_back(bed, run)).state is RunState.PARTLY_ROLLED_BACK
    hold(target, 6)
    assert (await rolled_back(bed, run)).state is RunState.ROLLED_BACK
    assert workers(target) == 4
