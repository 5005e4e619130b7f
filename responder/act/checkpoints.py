"""Between two steps: what is judged after which of them, and how a run goes on to the next one.

A run that goes on commits that in a turn of its own, before the next record: after a crash in between, what was judged
and undone is not judged or undone again, and nothing is sent twice.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from responder.act.ends import turn_back
from responder.act.engine import Next
from responder.domain.runs import Check, Run, Tried, advance
from responder.domain.verdicts import Verdict
from responder.playbook.model import OWN_RULE, Condition, Playbook
from responder.ports.store import RunEnd, Standing


def judged_after(playbook: Playbook, step: int) -> tuple[Condition, ...]:
    """Return what is judged once a step is applied: its own checks, and the playbook's when it may be the last one."""
    own = playbook.steps[step].verify if step < len(playbook.steps) else ()
    if not playbook.escalates and step < len(playbook.steps) - 1:
        return own
    return (*own, *(playbook.verify or (OWN_RULE,)))


def with_baselines(run: Run, playbook: Playbook, baselines: Sequence[float | None]) -> Run:
    """Keep what every check showed before the first step: each step's own in their order, then the playbook's."""
    whole = baselines[len(baselines) - len(playbook.verify) :]
    checks = tuple(Check(name=one.name, baseline=at) for one, at in zip(playbook.verify, whole, strict=True))
    return replace(run, progress=run.progress.model_copy(update={"checks": checks, "baselines": tuple(baselines)}))


def all_checks(playbook: Playbook) -> tuple[Condition, ...]:
    """Return every check that is judged anywhere, in the order of their baselines."""
    return (*(condition for step in playbook.steps for condition in step.verify), *playbook.verify)


def fresh_checks(run: Run, playbook: Playbook) -> tuple[Check, ...]:
    """Return what is judged after the step at hand, with nothing seen of it but what was there before the run."""
    step, known = run.progress.step, run.progress.baselines
    conditions = judged_after(playbook, step)
    if len(known) != len(all_checks(playbook)):
        return tuple(Check(name=one.name) for one in conditions)
    begins = sum(len(one.verify) for one in playbook.steps[:step])
    own = known[begins : begins + len(playbook.steps[step].verify)] if step < len(playbook.steps) else ()
    baselines = [*own, *_whole(known, playbook)][: len(conditions)]
    return tuple(Check(name=one.name, baseline=at) for one, at in zip(conditions, baselines, strict=True))


def whole_checks(run: Run, playbook: Playbook) -> tuple[Check, ...]:
    """Return the playbook's own checks with nothing seen of them but what was there before the run."""
    conditions = playbook.verify or (OWN_RULE,)
    known = run.progress.baselines
    baselines = _whole(known, playbook) if len(known) == len(all_checks(playbook)) else (None,) * len(conditions)
    return tuple(Check(name=one.name, baseline=at) for one, at in zip(conditions, baselines, strict=True))


def _whole(known: Sequence[float | None], playbook: Playbook) -> Sequence[float | None]:
    return known[len(known) - len(playbook.verify) :] if playbook.verify else (None,)


def begin_judging(run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Judge what the steps have done so far: now, or as soon as the ranges of the checks have passed since."""
    conditions = judged_after(playbook, run.progress.step)
    wait = max((condition.window for condition in conditions), default=timedelta())
    within = max(condition.within for condition in conditions)
    progress = run.progress.model_copy(
        update={
            "checks": fresh_checks(run, playbook),
            "changed_at": standing.now,
            "verify_from": standing.now + wait,
            "verify_until": standing.now + wait + within,
            "extended": False,
            "tries": 0,
        },
    )
    return Next(replace(advance(run, "applied"), progress=progress), standing=standing)


def has_next(run: Run, playbook: Playbook) -> bool:
    """Say whether a step is left behind the one at hand."""
    return run.progress.step + 1 < len(playbook.steps)


def next_step(run: Run) -> Next:
    """Go on to the next step; nothing stands against the run any more."""
    progress = run.progress.model_copy(
        update={
            "step": run.progress.step + 1,
            "tries": 0,
            "goes_on": False,
            "ending": None,
            "ending_reason": "",
            "verify_from": None,
            "verify_until": None,
        },
    )
    return Next(replace(advance(run, "next_step"), progress=progress), at=run.due_at)


def did_not_help(run: Run, playbook: Playbook, reason: str) -> Next:
    """Go on to the next step where the playbook says so, else undo, keep or ask as it says.

    What did not help is undone before the next step is tried, so that never more is changed than what helps.
    """
    if playbook.escalates and has_next(run, playbook):
        tried = (*run.progress.tried, Tried(step=playbook.steps[run.progress.step].id, reason=reason))
        run = replace(run, progress=run.progress.model_copy(update={"tried": tried}))
        if playbook.on_failure == "keep":
            return next_step(run)
        return turn_back(run, Verdict.VERIFY_FAILED, reason, goes_on=True)
    if playbook.on_failure == "undo":
        return turn_back(run, Verdict.VERIFY_FAILED, all_tried(run, playbook, reason))
    return give_up(run, all_tried(run, playbook, reason))


def all_tried(run: Run, playbook: Playbook, reason: str) -> str:
    """Return why no step helped: what was measured after each of them."""
    if not run.progress.tried:
        return reason
    last = playbook.steps[run.progress.step].id if run.progress.step < len(playbook.steps) else ""
    each = [*run.progress.tried, *([Tried(step=last, reason=reason)] if last else [])]
    return "; ".join(f"after {one.step}: {one.reason}" for one in each)


def give_up(run: Run, reason: str) -> Next:
    """End as failed with what is applied left as it is, and ask a person."""
    ended = advance(run, "give_up", Verdict.VERIFY_FAILED, reason)
    return Next(ended, end=RunEnd(needs_person=f"{run.playbook}: {Verdict.VERIFY_FAILED.sentence} {reason}"))


def not_needed(run: Run, playbook: Playbook) -> str:
    """Say which steps were left out because an earlier one had helped."""
    left = [step.id for step in playbook.steps[run.progress.step + 1 :]]
    return f"{playbook.steps[run.progress.step].id} helped; not needed: {', '.join(left)}" if left else ""
