"""Between the question and the change: what a yes is for, and what must still hold when it comes."""

import asyncio
from dataclasses import replace

import pytest

from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.stores.core.populations import SICK_FOR
from tests.act_bed import TARGET, Bed, needs_person, playbook_text, sick
from tests.bed.target_peer import Target

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
