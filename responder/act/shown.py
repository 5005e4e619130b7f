"""What a person approved is what is sent: each step is compared with the plan once more before it goes out.

A plan is computed again before its yes is used. After that a step may be read anew: it waits for the steps before it,
others write into its target, or the turn that read it died. Whatever it would do then, nobody has agreed to but that.
"""

from dataclasses import replace

from responder.act.before import ask, planned, with_plan
from responder.act.ends import refused, turn_back
from responder.act.engine import Engine, Next
from responder.act.plan import Prepared
from responder.domain.images import written
from responder.domain.limits import Refusal
from responder.domain.runs import PlannedStep, Run
from responder.domain.sentences import sentences
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook
from responder.ports.store import Standing


def as_shown(run: Run, ready: Prepared, *, acted: bool) -> bool:
    """Say whether a step is what was approved: its action, arguments and after-image, or nobody was asked.

    The before-image as well, until the run itself has changed something.
    """
    if not run.progress.approved:
        return True
    shown, now = _shown(run), ready.planned()
    if shown is None or (shown.id, shown.action, shown.arguments) != (now.id, now.action, now.arguments):
        return False
    return shown.after == now.after and (acted or shown.before == now.before)


async def not_as_shown(
    engine: Engine, run: Run, playbook: Playbook, standing: Standing, ready: Prepared, *, acted: bool
) -> Next:
    """Ask again while nothing is changed; else undo, for a person approved a whole."""
    if acted:
        return turn_back(run, Verdict.PLAN_CHANGED, _differs(run, ready))
    again = await planned(engine, run, playbook)
    if isinstance(again, Refusal):
        return refused(run, again, standing)
    run = with_plan(run, again)
    return ask(replace(run, progress=run.progress.model_copy(update={"tries": 0})), playbook, standing)


def _shown(run: Run) -> PlannedStep | None:
    return run.progress.plan[run.progress.step] if run.progress.step < len(run.progress.plan) else None


def _differs(run: Run, ready: Prepared) -> str:
    shown = _shown(run)
    what = f"approved was {written(shown.after)}, and now it would be {written(ready.after)}" if shown else "it is new"
    return sentences(Verdict.PLAN_CHANGED.sentence, f"Step {ready.step.id}: {what}.")
