"""Between the question and the change: what a yes is for, and what must still hold when it comes."""

import asyncio
import textwrap
from dataclasses import replace

import pytest

from responder.act.actor import take_turn
from responder.act.before import MAX_ASKED
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.stores.core.populations import SICK_FOR
from tests.act_bed import SECOND_STEP, TARGET, Bed, needs_person, playbook_text, sick
from tests.bed import ledger
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually

ASKS = frozenset({RunState.AWAITING_APPROVAL})


async def asked(bed: Bed, text: str) -> Run:
    """Work until the plan is put to people."""
    return await bed.work(await bed.begin(text), until=ASKS)


async def say_yes(bed: Bed, run: Run) -> None:
    shown = run.progress.plan_hash
    assert await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=shown, comment="") is None


async def test_a_target_that_is_protected_by_now_is_left_alone(bed: Bed, target: Target) -> None:
    run = await asked(bed, playbook_text(mode="approve"))
    bed.engine = replace(bed.engine, protected=lambda key: key == TARGET)
    await say_yes(bed, run)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.PROTECTED), run.reason
    assert target.ledger.entries == []


WELL = """\
when:
  - name: the orders can wait
    probe: http.get
    with:
      service: checkout
      path: /admin/orders
      pointer: /waiting
    below: 10
"""


@pytest.mark.promise(9)
async def test_what_no_longer_holds_when_the_yes_comes_means_no_effect(bed: Bed, target: Target) -> None:
    target.resources["orders"] = {"waiting": 3}
    run = await asked(bed, playbook_text(mode="approve", limits=WELL))
    target.resources["orders"] = {"waiting": 40}
    await say_yes(bed, run)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.CONDITION_FAILED)
    assert run.reason.startswith("“the orders can wait” does not hold: 40")
    assert target.ledger.entries == []


@pytest.mark.promise(9)
async def test_what_is_unknown_when_the_yes_comes_means_no_effect(bed: Bed, target: Target) -> None:
    target.resources["orders"] = {"waiting": 3}
    run = await asked(bed, playbook_text(mode="approve", limits=WELL))
    del target.resources["orders"]
    await say_yes(bed, run)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.CONDITION_UNKNOWN)
    assert target.ledger.entries == []


@pytest.mark.promise(9)
async def test_a_yes_is_none_to_a_mass_failure_that_came_meanwhile(bed: Bed, target: Target) -> None:
    run = await asked(bed, playbook_text(mode="approve"))
    await sick(bed, run, 5)
    await asyncio.sleep(SICK_FOR.total_seconds())
    await say_yes(bed, run)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.MASS_FAILURE)
    assert "Too many targets are sick at once" in await needs_person(bed, run)
    assert target.ledger.entries == []


async def test_what_still_holds_when_the_yes_comes_lets_it_begin(bed: Bed, target: Target) -> None:
    target.resources["orders"] = {"waiting": 3}
    run = await asked(bed, playbook_text(mode="approve", limits=WELL))
    await say_yes(bed, run)
    assert (await bed.work(run)).state is RunState.VERIFIED
    assert target.resources["workers"]["workers"] == 6


# --- what was shown is what is sent ---------------------------------------------------------------------------------

WAIT = "  - wait: { for: 400ms }\n"
MORE_CACHE = SECOND_STEP.replace("json:\n        megabytes: 128", "set:\n        megabytes:\n          by: 64")
MORE_WORKERS = MORE_CACHE.replace("cache", "workers").replace("megabytes", "workers").replace("64", "1")


def workers(target: Target) -> object:
    return target.resources["workers"]["workers"]


def put(target: Target, name: str, **values: object) -> None:
    """Let a colleague change something."""
    target.resources[name] = {**target.resources[name], **values}


async def paused(bed: Bed, text: str, *, yes: bool = True) -> Run:
    """Work until the run waits between two steps."""
    run = await bed.begin(text)
    if yes:
        run = await bed.work(run, until=ASKS)
        await say_yes(bed, run)

    async def waits() -> Run | None:
        for one in await bed.store.claim_runs(4):
            await take_turn(bed.engine, one)
        found = await bed.store.run(run.id)
        return found if found is not None and found.progress.pausing is not None else None

    found = await eventually(waits)
    assert found is not None
    return found


async def refused_once(bed: Bed, target: Target) -> Run:
    """Let a person agree to 4 → 6, and the service certainly refuse the first send of it."""
    text = playbook_text(mode="approve", verify="at_least: 5").replace("- id: add\n", "- id: add\n    retries: 3\n")
    run = await asked(bed, text)
    await say_yes(bed, run)
    return await refuse(bed, target)


async def refuse(bed: Bed, target: Target) -> Run:
    target.fault("409")
    (claimed,) = await bed.store.claim_runs(4)
    run = await take_turn(bed.engine, claimed)
    assert run.state is RunState.ACTING
    return run


@pytest.mark.promise(17)
async def test_what_a_step_would_do_now_is_not_sent_when_something_else_was_shown(bed: Bed, target: Target) -> None:
    run = await refused_once(bed, target)
    put(target, "workers", workers=5)
    run = await bed.work(run, until=ASKS)
    assert (run.state, run.progress.asked) == (RunState.AWAITING_APPROVAL, 2)
    assert (run.progress.plan[0].before, run.progress.plan[0].after) == ({"workers": 5}, {"workers": 7})
    assert ledger.effects(target.ledger.entries) == []
    await say_yes(bed, run)
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert workers(target) == 7


async def test_a_step_that_is_still_as_it_was_shown_is_tried_again(bed: Bed, target: Target) -> None:
    run = await bed.work(await refused_once(bed, target))
    assert (run.state, run.progress.asked) == (RunState.VERIFIED, 1), run.reason
    assert workers(target) == 6


async def test_who_asks_again_holds_neither_the_target_nor_its_budget(bed: Bed, target: Target) -> None:
    run = await refused_once(bed, target)
    put(target, "workers", workers=5)
    await bed.work(run, until=ASKS)
    once = playbook_text(verify="at_least: 5", limits="limits: { per_target: 1 per 1h }")
    ended = await bed.work(await bed.begin(once))
    assert ended.state is RunState.VERIFIED, ended.reason


@pytest.mark.promise(14)
async def test_a_plan_that_keeps_changing_while_it_is_carried_out_expires_with_a_page(bed: Bed, target: Target) -> None:
    run = await refused_once(bed, target)
    for count in range(1, MAX_ASKED):
        put(target, "workers", workers=4 - count)
        run = await bed.work(run, until=ASKS)
        assert run.progress.asked == count + 1
        await say_yes(bed, run)
        run = await refuse(bed, target)
    put(target, "workers", workers=5)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.EXPIRED, Verdict.PLAN_CHANGED)
    assert "kept changing" in await needs_person(bed, run)
    assert ledger.effects(target.ledger.entries) == []


@pytest.mark.promise(17)
async def test_behind_a_change_what_was_not_shown_is_not_sent_and_the_whole_is_undone(bed: Bed, target: Target) -> None:
    run = await paused(bed, playbook_text(mode="approve", more_steps=WAIT + MORE_CACHE))
    put(target, "cache", megabytes=96)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.PLAN_CHANGED)
    assert run.reason == (
        "The plan is no longer the one that was approved. "
        "Step cache: approved was megabytes: 128, and now it would be megabytes: 160."
    )
    assert (workers(target), target.resources["cache"]["megabytes"]) == (4, 96)


async def test_a_step_that_leads_to_what_was_shown_is_sent_whatever_was_there(bed: Bed, target: Target) -> None:
    run = await paused(bed, playbook_text(mode="approve", more_steps=WAIT + SECOND_STEP))
    put(target, "cache", megabytes=96)
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert target.resources["cache"]["megabytes"] == 128


async def test_a_step_that_finds_its_change_made_already_is_no_other_plan(bed: Bed, target: Target) -> None:
    run = await paused(bed, playbook_text(mode="approve", more_steps=WAIT + SECOND_STEP))
    put(target, "cache", megabytes=128)
    run = await bed.work(run)
    assert (run.state, run.progress.unchanged) == (RunState.VERIFIED, ("cache",)), run.reason


async def test_who_was_not_asked_goes_by_what_is_there(bed: Bed, target: Target) -> None:
    run = await paused(bed, playbook_text(more_steps=WAIT + MORE_CACHE), yes=False)
    put(target, "cache", megabytes=96)
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert target.resources["cache"]["megabytes"] == 160


async def test_steps_on_one_number_are_carried_out_as_they_were_shown(bed: Bed, target: Target) -> None:
    run = await asked(bed, playbook_text(mode="approve", more_steps=MORE_WORKERS, verify="equals: 7"))
    await say_yes(bed, run)
    run = await bed.work(run)
    assert (run.state, run.progress.asked) == (RunState.VERIFIED, 1), run.reason
    assert workers(target) == 7


async def test_a_plan_that_changes_while_the_run_waits_before_its_first_change_is_asked_again(
    bed: Bed, target: Target
) -> None:
    text = playbook_text(mode="approve", verify="equals: 7").replace("steps:\n", f"steps:\n{WAIT}")
    run = await paused(bed, text)
    put(target, "workers", workers=5)
    run = await bed.work(run, until=ASKS)
    assert (run.state, run.progress.asked) == (RunState.AWAITING_APPROVAL, 2)
    await say_yes(bed, run)
    run = await bed.work(run)
    assert (run.state, run.progress.passed) == (RunState.VERIFIED, ("wait",)), run.reason
    assert workers(target) == 7


async def test_a_plan_that_is_asked_again_goes_by_the_steps_that_are_to_come(bed: Bed, target: Target) -> None:
    """The first of two steps on one number is left out: the second one begins where nobody has said."""
    text = playbook_text(mode="approve", more_steps=MORE_WORKERS, verify="equals: 5")
    text = text.replace("- id: add\n", "- id: add\n" + textwrap.indent(WELL, "    "))
    target.resources["orders"] = {"waiting": 40}
    run = await asked(bed, text)
    await say_yes(bed, run)
    (claimed,) = await bed.store.claim_runs(4)
    run = await take_turn(bed.engine, claimed)
    assert (run.progress.asked, run.progress.plan[1].after) == (2, {"workers": 5})
    await say_yes(bed, run)
    run = await bed.work(run)
    assert (run.state, run.progress.unchanged) == (RunState.VERIFIED, ("add",)), run.reason
    assert workers(target) == 5
