"""How a run leaves its way: refused before anything changed, or turned back after something did."""

from dataclasses import replace
from datetime import datetime, timedelta

from responder.act.engine import Next, soon
from responder.act.later import left_alone
from responder.domain.limits import Refusal
from responder.domain.runs import Run, advance
from responder.domain.verdicts import Verdict
from responder.ports.store import RunEnd, Standing

LATER = timedelta(seconds=30)
LATER_MAX = timedelta(minutes=1)
"""Between two runs that were skipped because of what may pass by itself; doubled each time."""
WHILE = timedelta(seconds=2)
"""Between two looks at what takes its time."""
PARKED = timedelta(minutes=1)
"""How often a parked run looks whether its halt is gone, should nobody wake it."""
_FOR_A_PERSON = frozenset({Verdict.MASS_FAILURE, Verdict.TOO_MANY_ITEMS, Verdict.TOO_MANY_PORTIONS})
"""Refusals of what is too much to be fixed one by one."""


def refused(run: Run, refusal: Refusal, standing: Standing) -> Next:
    """End a run that changed nothing: a guard that fails gives the next candidate its turn, a ``later`` one waits."""
    asked = refusal.retry_at if refusal.verdict is Verdict.TEMPORARY else None
    ended = left_alone(advance(run, "refused", refusal.verdict, refusal.reason), asked)
    if run.kind == "rollback":
        return Next(ended, end=RunEnd(needs_person=f"The rollback was refused: {refusal.reason}"))
    if refusal.verdict is Verdict.RESOLVED:
        return Next(ended, end=RunEnd())
    if refusal.verdict in (
        Verdict.CONDITION_FAILED,
        Verdict.UNCHANGED,
        Verdict.NO_ITEMS,
        Verdict.STEP_FAILED,
        Verdict.RECONCILED,
        Verdict.ATTEMPTS_EXHAUSTED,
        Verdict.RECURRING,
        Verdict.NO_OWNER,
        Verdict.PROTECTED,
        Verdict.TARGET_INVALID,
        Verdict.LABEL_MISSING,
    ):
        return Next(ended, end=RunEnd(retry_at=standing.now, after=run.playbook))
    if refusal.verdict is Verdict.LOOP:
        return Next(ended, end=RunEnd(needs_person=f"{run.playbook} on {run.target}: {refusal.reason}"))
    page = f"{run.playbook}: {refusal.reason}" if refusal.verdict in _FOR_A_PERSON else ""
    at = soon(standing.now, refusal, _later(run))
    if asked is not None:
        at = max(at, standing.now + _later(run))  # what it asks for may be less than we leave it alone for anyway
    return Next(ended, end=RunEnd(needs_person=page, retry_at=at))


def _later(run: Run) -> timedelta:
    return min(LATER * (1 << min(run.context.skipped, 10)), LATER_MAX)


def turn_back(run: Run, ending: Verdict, reason: str, *, goes_on: bool = False) -> Next:
    """Undo what was applied, remembering why; with ``goes_on`` the next step has its turn behind that.

    The turn ends here: that the run undoes is committed before the first undo, or a crash in between would leave a run
    that still acts over a record that is being undone.
    """
    run = withdrawn(run)
    progress = run.progress.model_copy(
        update={"ending": ending, "ending_reason": reason, "tries": 0, "goes_on": goes_on}
    )
    return Next(replace(advance(run, "undo"), progress=progress), at=run.due_at)


def withdrawn(run: Run) -> Run:
    """Return the run without the question that it may ask between two steps."""
    return replace(run, progress=run.progress.model_copy(update={"asking": ""})) if run.progress.asking else run


def under_way(run: Run, standing: Standing) -> Next:
    """Look again in a while at what goes on by itself: whoever carries it out ends it, or the run's deadline does."""
    return Next(run, at=standing.now + WHILE)


def parked(run: Run, refusal: Refusal, standing: Standing) -> Next:
    """Leave a run where it is until a person lifts the halt. The turn ends: what it knows of halts is old by now."""
    held = advance(run, "halted", refusal.verdict, refusal.reason)
    held = replace(held, progress=held.progress.model_copy(update={"parked_at": standing.now}))
    return Next(held, at=look_again_at(refusal, standing))


def look_again_at(refusal: Refusal, standing: Standing) -> datetime:
    """Return when a parked run looks whether its halt is gone."""
    return min(soon(standing.now, refusal, PARKED), standing.now + PARKED)
