"""Changes that are kept for a time and given back, judged by the target's own ledger."""

from dataclasses import replace
from datetime import timedelta

import pytest

from responder.domain.episodes import EpisodeState
from responder.domain.limits import Pause
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import SliceChanges
from tests.act_bed import SECOND_STEP, Bed, needs_person, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target

KEPT = frozenset({RunState.KEPT})
ELSEWHERE = "path: /admin/health\n      pointer: /ok"
"""What is judged has nothing to do with the workers: it goes well with and without the change."""


def lent(after: str = "200ms", *, more_steps: str = "", verify: str = "equals: 1", limits: str = "") -> str:
    text = playbook_text(
        verify=verify, more_steps=more_steps, within="300ms", limits=limits, tail=f"revert_after: {after}"
    )
    return text.replace("path: /admin/workers\n      pointer: /workers", ELSEWHERE)


def needed(after: str = "200ms", *, more_steps: str = "") -> str:
    """Return a playbook of which the check fails without the change."""
    return playbook_text(verify="at_least: 6", more_steps=more_steps, within="300ms", tail=f"revert_after: {after}")


def changes(target: Target) -> list[object]:
    return [
        (one.name, *(value for key, value in (one.after or {}).items() if key in ("workers", "megabytes")))
        for one in target.ledger.entries
        if one.changed
    ]


@pytest.fixture(autouse=True)
def health(target: Target) -> None:
    target.resources["health"] = {"ok": 1}


async def test_what_helped_is_given_back_when_its_time_is_up(bed: Bed, target: Target) -> None:
    run = await bed.begin(lent())
    run = await bed.work(run, until=KEPT)
    assert (run.state, run.verdict) == (RunState.KEPT, Verdict.VERIFIED), run.reason
    assert changes(target) == [("workers", 6)]
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.VERIFIED), run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]
    assert "Given back: add" in run.reason
    assert await needs_person(bed, run) == ""


async def test_a_kept_run_holds_neither_its_target_nor_its_incident(bed: Bed, target: Target) -> None:
    first = await bed.work(await bed.begin(lent("1h")), until=KEPT)
    async with bed.store.slice() as tx:
        [episode] = await tx.episodes_by_key({("am", first.context.fingerprint)})
        await tx.write(SliceChanges(episodes=[replace(episode, state=EpisodeState.CLOSED, closed_at=tx.now)]))
    second = await bed.work(await bed.begin(playbook_text(verify="equals: 8").replace("add-workers", "another")))
    assert second.state is RunState.VERIFIED, second.reason
    assert target.resources["workers"]["workers"] == 8


async def test_several_steps_are_given_back_last_first_and_one_at_a_time(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(lent(more_steps=SECOND_STEP)))
    assert run.state is RunState.VERIFIED, run.reason
    assert changes(target) == [("workers", 6), ("cache", 128), ("cache", 64), ("workers", 4)]


async def test_what_fails_without_the_change_is_neither_put_back_nor_followed_by_more(bed: Bed, target: Target) -> None:
    text = lent(more_steps=SECOND_STEP, verify="equals: 128").replace(
        ELSEWHERE, "path: /admin/cache\n      pointer: /megabytes"
    )
    run = await bed.work(await bed.begin(text))
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.NOT_GIVEN_BACK), run.reason
    assert changes(target) == [("workers", 6), ("cache", 128), ("cache", 64)]
    assert "Without cache it does not hold" in await needs_person(bed, run)
    assert "Still there: add" in await needs_person(bed, run)


async def test_the_only_step_that_is_missed_is_not_put_back(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(needed()))
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.NOT_GIVEN_BACK), run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]
    assert "Without add it does not hold" in await needs_person(bed, run)


async def test_what_is_still_needed_stays_and_a_person_is_told(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(lent()), until=KEPT)
    target.resources["health"] = {"ok": 0}
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.NOT_GIVEN_BACK), run.reason
    assert changes(target) == [("workers", 6)]
    assert "still needed" in await needs_person(bed, run)


async def test_somebody_elses_edit_is_left_and_said(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(lent(more_steps=SECOND_STEP)), until=KEPT)
    target.resources["workers"] = {**target.resources["workers"], "workers": 7}
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert (target.resources["workers"]["workers"], target.resources["cache"]["megabytes"]) == (7, 64)
    assert "Somebody else has changed the target" in run.reason
    assert await needs_person(bed, run) == ""


async def test_what_another_run_has_put_on_top_is_given_back_first(bed: Bed, target: Target) -> None:
    lower = await bed.work(await bed.begin(lent("600ms")), until=KEPT)
    upper = await bed.work(await bed.begin(lent("600ms")), until=KEPT)
    assert target.resources["workers"]["workers"] == 8
    lower, upper = await bed.work(lower), await bed.work(upper)
    assert (lower.state, upper.state) == (RunState.VERIFIED, RunState.VERIFIED), lower.reason
    assert target.resources["workers"]["workers"] == 4, (lower.reason, upper.reason)


async def _same_on_top(bed: Bed, target: Target, after: str) -> tuple[Run, Run]:
    """Return two kept runs, of which the upper one has changed the target to what it was left as by the lower one."""
    lower = await bed.work(await bed.begin(lent(after)), until=KEPT)
    target.resources["workers"] = {**target.resources["workers"], "workers": 4}
    upper = await bed.work(await bed.begin(lent("1h")), until=KEPT)
    assert changes(target) == [("workers", 6), ("workers", 6)]
    return lower, upper


async def test_a_change_that_another_run_has_made_again_is_not_given_back_under_it(bed: Bed, target: Target) -> None:
    lower, upper = await _same_on_top(bed, target, "300ms")
    assert await bed.store.stop(upper.id, "ana")
    await bed.work(upper)
    lower = await bed.work(lower)
    assert (lower.state, target.resources["workers"]["workers"]) == (RunState.VERIFIED, 6), lower.reason
    assert f"Run {upper.id} has changed it since" in lower.reason


async def test_a_person_takes_back_the_upper_one_of_two_changes_first(bed: Bed, target: Target) -> None:
    lower, upper = await _same_on_top(bed, target, "1h")
    refused = await bed.store.roll_back(lower.id, "ana", "")
    assert isinstance(refused, Run)
    refused = await bed.work(refused)
    assert (refused.state, target.resources["workers"]["workers"]) == (RunState.PARTLY_ROLLED_BACK, 6), refused.reason
    assert f"Run {upper.id} has changed it since, and that stands. Roll that back first." in refused.reason
    first = await bed.store.roll_back(upper.id, "ana", "")
    assert isinstance(first, Run)
    assert (await bed.work(first)).state is RunState.ROLLED_BACK
    assert target.resources["workers"]["workers"] == 4


async def test_a_pause_holds_the_giving_back(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(lent("500ms")), until=KEPT)
    until = bed.store.now() + timedelta(milliseconds=800)
    await bed.store.pause(Pause("p", "pause", "all", "release", "ana", bed.store.now(), until))
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]
    assert target.ledger.entries[-1].began > until.timestamp() - 0.05


async def test_a_person_who_stops_it_keeps_the_change(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(lent("1h")), until=KEPT)
    assert await bed.store.stop(run.id, "ana")
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.VERIFIED)
    assert "ana stopped it from being given back" in run.reason
    assert changes(target) == [("workers", 6)]


async def test_a_person_can_take_it_back_before_its_time(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(lent("1h")), until=KEPT)
    rollback = await bed.store.roll_back(run.id, "ana", "not needed")
    assert isinstance(rollback, Run)
    rollback = await bed.work(rollback)
    assert rollback.state is RunState.ROLLED_BACK, rollback.reason
    run = await bed.work(run)
    assert (run.state, run.reason) == (RunState.VERIFIED, "It helped. Nothing is left to be given back.")
    assert changes(target) == [("workers", 6), ("workers", 4)]


@pytest.mark.parametrize("fault", ["lost_reply", "applied_error"])
async def test_giving_back_is_not_repeated_when_its_answer_is_lost(bed: Bed, target: Target, fault: str) -> None:
    run = await bed.work(await bed.begin(lent()), until=KEPT)
    target.fault(fault)
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]
    assert ledger.twice(target.ledger.entries) == []


async def test_what_the_target_refuses_to_take_back_is_left_to_a_person(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(lent()), until=KEPT)
    target.fault("422")
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.NOT_GIVEN_BACK), run.reason
    account = await bed.store.account(run.incident_id)
    assert account is not None
    assert [one.state for one in account.records] == [RecordState.UNDO_FAILED]
    assert "could not be given back" in account.incident.needs_person


async def test_a_turn_that_died_behind_the_undo_is_judged_all_the_same(bed: Bed, target: Target) -> None:
    run = await bed.begin(needed())
    run = await bed.work(run, until=frozenset({RunState.REVERTING}))
    forgotten = run.progress.model_copy(update={"giving": "", "checks": (), "verify_from": None})
    [claimed] = await _claim(bed, run)
    await bed.store.save(replace(claimed, progress=forgotten, due_at=bed.store.now()))
    run = await bed.work(run)
    assert run.verdict is Verdict.NOT_GIVEN_BACK, run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]


async def _claim(bed: Bed, run: Run) -> list[Run]:
    while True:
        found = [one for one in await bed.store.claim_runs(4) if one.id == run.id]
        if found:
            return found


async def test_to_limits_a_kept_run_has_ended(bed: Bed, target: Target) -> None:
    limits = "limits:\n  cooldown: 1h"
    await bed.work(await bed.begin(lent("1h", limits=limits)), until=KEPT)
    again = await bed.work(await bed.begin(lent("1h", limits=limits)))
    assert (again.state, again.verdict) == (RunState.SKIPPED, Verdict.COOLDOWN), again.reason
    assert changes(target) == [("workers", 6)]
