"""Runs from their creation to their end, judged by the target's own ledger."""

import asyncio
from dataclasses import replace

import pytest

from responder.act.actor import take_turn
from responder.act.before import MAX_ASKED
from responder.domain.limits import Pause, Refusal
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook
from tests.act_bed import SECOND_STEP, Bed, needs_person, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target


def workers(target: Target) -> object:
    return target.resources["workers"]["workers"]


async def records(bed: Bed, run: Run) -> list[RecordState]:
    account = await bed.store.account(run.incident_id)
    assert account is not None
    return [record.state for record in account.records]


async def test_a_change_that_helps_is_kept(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.VERIFIED), run.reason
    assert workers(target) == 6
    assert await records(bed, run) == [RecordState.APPLIED]
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1
    assert await needs_person(bed, run) == ""


async def test_a_change_that_does_not_help_is_undone(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(verify="equals: 99")))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED), run.reason
    assert workers(target) == 4
    assert await records(bed, run) == [RecordState.UNDONE]
    assert len(ledger.effects(target.ledger.entries, "workers")) == 2


async def test_what_people_read_is_looked_at_before_anything_is_changed(bed: Bed, target: Target) -> None:
    changed: list[bool] = []

    async def diagnose(run: Run, playbook: Playbook) -> None:
        await asyncio.sleep(0.05)
        changed.append(target.resources["workers"]["workers"] != 4)

    bed.engine = replace(bed.engine, diagnose=diagnose)
    look = "diagnose:\n  - http.get: { service: checkout, path: /admin/workers, pointer: /workers }\n"
    await bed.work(await bed.begin(playbook_text(tail=look)))
    assert changed == [False]


ONE_MORE = SECOND_STEP.replace("cache", "workers").replace(
    "json:\n        megabytes: 128", "set:\n        workers:\n          by: 1"
)


def images(run: Run) -> list[tuple[object, object]]:
    return [(step.before, step.after) for step in run.progress.plan]


async def test_two_steps_on_one_number_add_up(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(more_steps=ONE_MORE, verify="equals: 7")))
    assert run.state is RunState.VERIFIED, run.reason
    assert images(run) == [({"workers": 4}, {"workers": 6}), ({"workers": 6}, {"workers": 7})]
    assert ledger.twice(target.ledger.entries) == []


async def test_of_steps_that_are_tried_one_after_another_each_is_planned_from_what_is_there(
    bed: Bed, target: Target
) -> None:
    text = playbook_text(more_steps=ONE_MORE, verify="equals: 5", within="200ms", tail="steps_until: verified")
    run = await bed.work(await bed.begin(text))
    assert run.state is RunState.VERIFIED, run.reason
    assert images(run) == [({"workers": 4}, {"workers": 6}), ({"workers": 4}, {"workers": 5})]
    kept = text.replace("equals: 5", "equals: 8") + "on_failure: keep\n"
    run = await bed.work(await bed.begin(kept))
    assert images(run) == [({"workers": 5}, {"workers": 7}), ({"workers": 7}, {"workers": 8})]
    assert run.state is RunState.VERIFIED, run.reason


@pytest.mark.promise(15)
async def test_an_unknown_check_is_never_success_and_asks_a_person(bed: Bed, target: Target) -> None:
    text = playbook_text(verify="equals: 6").replace("pointer: /workers", "pointer: /nowhere")
    run = await bed.work(await bed.begin(text))
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.VERIFY_UNKNOWN)
    assert await needs_person(bed, run)


@pytest.mark.promise(6)
@pytest.mark.parametrize("fault", ["lost_reply", "applied_error"])
async def test_applied_but_reported_as_failed_is_not_sent_twice(bed: Bed, target: Target, fault: str) -> None:
    target.fault(fault)
    run = await bed.work(await bed.begin(playbook_text()))
    assert run.state is RunState.VERIFIED, run.reason
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1
    assert ledger.twice(target.ledger.entries) == []


@pytest.mark.parametrize("fault", ["late", "delayed"])
async def test_an_abandoned_request_that_lands_late_is_counted_once(bed: Bed, target: Target, fault: str) -> None:
    target.fault(fault, after_ms=800)
    run = await bed.work(await bed.begin(playbook_text()))
    assert run.state is RunState.VERIFIED, run.reason
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1


async def test_an_undo_whose_reply_is_lost_is_not_repeated(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99"))
    run = await bed.work(run, until=frozenset({RunState.UNDOING, RunState.VERIFYING}))
    target.fault("lost_reply")
    run = await bed.work(run)
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert workers(target) == 4
    assert len(ledger.effects(target.ledger.entries, "workers")) == 2


async def test_a_refused_step_changes_nothing_and_makes_room_for_the_next_playbook(bed: Bed, target: Target) -> None:
    target.fault("422")
    run = await bed.work(await bed.begin(playbook_text()))
    assert (run.state, run.verdict) == (RunState.FAILED, Verdict.STEP_FAILED)
    assert workers(target) == 4
    assert await records(bed, run) == [RecordState.NOT_APPLIED]


async def test_a_step_that_certainly_did_not_happen_is_tried_again_when_told_to(bed: Bed, target: Target) -> None:
    target.fault("409")
    text = playbook_text().replace("  - id: add\n", "  - id: add\n    retries: 1\n")
    run = await bed.work(await bed.begin(text))
    assert run.state is RunState.VERIFIED, run.reason
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1


async def test_a_later_step_that_fails_undoes_the_earlier_ones(bed: Bed, target: Target) -> None:
    text = playbook_text(more_steps=SECOND_STEP.replace("PUT /admin/cache", "PUT /nowhere"))
    run = await bed.work(await bed.begin(text))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.STEP_FAILED), run.reason
    assert (workers(target), target.resources["cache"]["megabytes"]) == (4, 64)
    assert sorted(await records(bed, run)) == [RecordState.NOT_APPLIED, RecordState.UNDONE]


async def test_two_steps_that_do_not_help_are_both_undone_last_first(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(more_steps=SECOND_STEP, verify="equals: 99")))
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert (workers(target), target.resources["cache"]["megabytes"]) == (4, 64)
    names = [entry.name for entry in target.ledger.entries if entry.changed]
    assert names == ["workers", "cache", "cache", "workers"]


@pytest.mark.promise(16)
async def test_somebody_elses_edit_survives_an_undo(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99", within="3s"))
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    target.resources["workers"] = {**target.resources["workers"], "workers": 7}
    run = await bed.work(run)
    assert run.state is RunState.PARTLY_ROLLED_BACK, run.reason
    assert workers(target) == 7
    assert await needs_person(bed, run)


@pytest.mark.promise(13)
async def test_observe_shows_the_plan_and_changes_nothing(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(mode="observe")))
    assert run.state is RunState.OBSERVED
    assert run.progress.plan[0].before == {"workers": 4}
    assert run.progress.plan[0].after == {"workers": 6}
    assert target.ledger.entries == []


async def test_an_approved_plan_is_carried_out_once(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(mode="approve")), until=frozenset({RunState.AWAITING_APPROVAL}))
    assert target.ledger.entries == []
    wrong = await bed.store.answer(run.id, approve=True, actor="ana", plan_hash="other", comment="")
    assert isinstance(wrong, Refusal)
    shown = run.progress.plan_hash
    assert await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=shown, comment="") is None
    again = await bed.store.answer(run.id, approve=True, actor="bob", plan_hash=shown, comment="")
    assert isinstance(again, Refusal)
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert workers(target) == 6


async def test_a_plan_that_changed_since_it_was_approved_is_asked_again(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(mode="approve")), until=frozenset({RunState.AWAITING_APPROVAL}))
    target.resources["workers"] = {**target.resources["workers"], "workers": 5}
    await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=run.progress.plan_hash, comment="")
    [claimed] = await bed.store.claim_runs(4)
    run = await take_turn(bed.engine, claimed)
    assert (run.state, run.progress.asked) == (RunState.AWAITING_APPROVAL, 2)
    assert run.progress.plan[0].before == {"workers": 5}
    assert target.ledger.entries == []


async def test_a_plan_that_keeps_changing_is_asked_three_times_then_it_expires_with_a_page(
    bed: Bed, target: Target
) -> None:
    run = await bed.begin(playbook_text(mode="approve"))
    for count in range(1, MAX_ASKED + 1):
        run = await bed.work(run, until=frozenset({RunState.AWAITING_APPROVAL}))
        assert run.progress.asked == count
        await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=run.progress.plan_hash, comment="")
        target.resources["workers"] = {**target.resources["workers"], "workers": 4 - count}
        (claimed,) = await bed.store.claim_runs(4)
        run = await take_turn(bed.engine, claimed)
    assert (run.state, run.verdict) == (RunState.EXPIRED, Verdict.PLAN_CHANGED)
    assert await needs_person(bed, run)
    assert target.ledger.entries == []


FOUR_EYES = "approval:\n  four_eyes: true\n  timeout: {timeout}\n  on_timeout: {on_timeout}"


async def test_with_four_eyes_one_yes_moves_nothing_and_the_second_does(bed: Bed, target: Target) -> None:
    text = playbook_text(mode="approve", limits=FOUR_EYES.format(timeout="10m", on_timeout="page"))
    run = await bed.work(await bed.begin(text), until=frozenset({RunState.AWAITING_APPROVAL}))
    shown = run.progress.plan_hash
    assert await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=shown, comment="") is None
    assert await bed.store.claim_runs(4) == []
    assert target.ledger.entries == []
    assert await bed.store.answer(run.id, approve=True, actor="bob", plan_hash=shown, comment="") is None
    run = await bed.work(run)
    assert (run.state, workers(target)) == (RunState.VERIFIED, 6), run.reason


@pytest.mark.parametrize(("on_timeout", "pages"), [("page", True), ("skip", False)])
async def test_one_yes_of_two_expires_and_pages_unless_told_otherwise(
    bed: Bed,
    target: Target,
    on_timeout: str,
    pages: bool,  # noqa: FBT001 - a table's column
) -> None:
    text = playbook_text(mode="approve", limits=FOUR_EYES.format(timeout="2s", on_timeout=on_timeout))
    run = await bed.work(await bed.begin(text), until=frozenset({RunState.AWAITING_APPROVAL}))
    await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=run.progress.plan_hash, comment="")
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.EXPIRED, Verdict.APPROVAL_EXPIRED)
    assert run.reason == "Only ana said yes in time; it takes two people."
    assert bool(await needs_person(bed, run)) is pages
    assert target.ledger.entries == []


async def test_a_rejected_run_is_cancelled(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(mode="approve")), until=frozenset({RunState.AWAITING_APPROVAL}))
    await bed.store.answer(run.id, approve=False, actor="ana", plan_hash="", comment="not now")
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.CANCELLED, Verdict.REJECTED)
    assert "ana" in run.reason
    assert target.ledger.entries == []


async def test_no_forward_effect_for_an_alert_that_is_gone(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text())
    await bed.close_episode(run)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.RESOLVED)
    assert target.ledger.entries == []


async def test_a_pause_keeps_forward_effects_away(bed: Bed, target: Target) -> None:
    now = bed.store.now()
    await bed.store.pause(Pause("p", "pause", "playbook:add-*", "release", "ana", now))
    run = await bed.work(await bed.begin(playbook_text()))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.PAUSED)
    assert target.ledger.entries == []


async def test_a_halt_parks_an_undo_until_a_person_resumes(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99", within="2s"))
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    await bed.store.pause(Pause("h", "halt", "all", "incident", "ana", bed.store.now()))
    run = await bed.work(run, until=frozenset({RunState.PARKED}))
    assert workers(target) == 6
    await bed.store.resume("all", "ana")
    run = await bed.work(run)
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert workers(target) == 4


async def test_a_rollback_that_puts_nothing_back_says_so_and_what_stands_there_now(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    target.resources["workers"] = {"workers": 9}
    made = await bed.store.roll_back(run.id, "alice", "bad")
    assert isinstance(made, Run)
    ended = await bed.work(made)
    assert ended.state is RunState.PARTLY_ROLLED_BACK
    asked = await needs_person(bed, run)
    assert asked.startswith("add-workers: “bad”. Nothing was undone: step add: Somebody else has changed")
    assert asked.endswith("Now: workers: 9")
    assert workers(target) == 9


async def test_a_stopped_run_undoes_what_it_did(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99", within="30s"))
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    assert await bed.store.stop(run.id, "ana")
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.STOPPED)
    assert workers(target) == 4


async def test_a_person_rolls_a_verified_run_back(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    back = await bed.store.roll_back(run.id, "ana", "changed our mind")
    assert isinstance(back, Run)
    back = await bed.work(back)
    assert back.state is RunState.ROLLED_BACK, back.reason
    assert workers(target) == 4


async def test_a_rollback_that_undoes_everything_lets_go_of_whom_its_run_called(bed: Bed, target: Target) -> None:
    text = playbook_text(verify="equals: 99", within="100ms", tail="on_failure: keep")
    run = await bed.work(await bed.begin(text))
    assert run.state is RunState.FAILED
    assert await needs_person(bed, run) != ""
    back = await bed.store.roll_back(run.id, "ana", "it did not help")
    assert isinstance(back, Run)
    back = await bed.work(back)
    assert back.state is RunState.ROLLED_BACK, back.reason
    assert await needs_person(bed, run) == ""


@pytest.mark.promise(19)
async def test_a_secret_in_the_owned_fields_is_refused(bed: Bed, target: Target) -> None:
    target.resources["cache"] = {"megabytes": "hunter2-secret"}
    run = await bed.work(await bed.begin(playbook_text(more_steps=SECOND_STEP)))
    assert run.state is RunState.SKIPPED
    assert "secret" in run.reason
    assert "hunter2" not in run.reason
    assert target.ledger.entries == []


async def test_limits_hold_over_several_runs(bed: Bed, target: Target) -> None:
    text = playbook_text(limits="limits:\n  per_target: 1 per 1h")
    first = await bed.work(await bed.begin(text))
    target.resources["workers"] = {**target.resources["workers"], "workers": 4}
    second = await bed.work(await bed.begin(text))
    assert first.state is RunState.VERIFIED, first.reason
    assert (second.state, second.verdict) == (RunState.SKIPPED, Verdict.RATE_TARGET)
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1


async def test_a_target_that_already_is_as_wanted_is_left_alone(bed: Bed, target: Target) -> None:
    target.resources["workers"] = {**target.resources["workers"], "workers": 8}
    run = await bed.work(await bed.begin(playbook_text()))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.UNCHANGED)
    assert target.ledger.entries == []


async def test_an_observing_run_is_not_kept_from_its_plan_by_limits_or_pauses(bed: Bed, target: Target) -> None:
    await bed.store.pause(Pause("p", "pause", "all", "release", "ana", bed.store.now()))
    text = playbook_text(mode="observe", limits="limits:\n  concurrent: 1\n  cooldown: 1h")
    first = await bed.work(await bed.begin(text))
    second = await bed.work(await bed.begin(text))
    assert (first.state, second.state) == (RunState.OBSERVED, RunState.OBSERVED)
    assert target.ledger.entries == []


async def test_that_a_run_undoes_is_committed_before_its_first_undo(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99", within="1s"))
    run = await bed.work(run, until=frozenset({RunState.UNDOING}))
    assert run.state is RunState.UNDOING
    assert workers(target) == 6  # nothing was undone in the turn that decided it
    assert await records(bed, run) == [RecordState.APPLIED]
    assert (await bed.work(run)).state is RunState.ROLLED_BACK


async def test_a_step_that_changes_something_else_than_the_target_is_not_sent(bed: Bed, target: Target) -> None:
    """Locks, limits and protection go by the target: a service that a label names must be the target's."""
    run = await bed.work(await bed.begin(playbook_text(), target="http/payments/workers"))
    assert run.state is RunState.SKIPPED
    assert "changes http/checkout" in run.reason
    assert target.ledger.entries == []
