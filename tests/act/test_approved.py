"""Between the question and the change: what a yes is for, and what must still hold when it comes."""

from dataclasses import replace

from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import TARGET, Bed, playbook_text
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
