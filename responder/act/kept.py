"""A change that has helped and is kept for a time: a row that is due later, and holds nothing meanwhile.

When the time is up it is given back (``reverting``), unless something is in the way: then it is looked at again, for as
long as it was kept, and after that it stays and a person is told.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from responder.act.effects import bounded, changed_since
from responder.act.engine import EFFECT_SECONDS, Engine, Next
from responder.act.judging import sample_now
from responder.domain.errors import StepError
from responder.domain.limits import paused, subject_of
from responder.domain.records import Record, RecordState
from responder.domain.runs import SETTLES, Run, RunState, advance
from responder.domain.sentences import sentences
from responder.domain.verdicts import Verdict
from responder.playbook.model import OWN_RULE, Condition, Playbook
from responder.ports.store import RunEnd, Standing

LOOKS_AGAIN = timedelta(seconds=30)
"""At the latest, when something is in the way of giving back."""
_A_STEP = timedelta(minutes=1)
_GRACE = timedelta(minutes=5)


def undoable(record: Record, playbook: Playbook) -> bool:
    """Say whether the playbook lets us undo what a record has changed."""
    step = next((step for step in playbook.steps if step.id == record.step), None)
    return step is not None and step.undo == "automatic" and step.action.undoes != "impossible"


def to_give_back(playbook: Playbook, records: Sequence[Record]) -> Sequence[Record]:
    """Return what is still to be given back, the last change first."""
    there = [one for one in records if one.state in (RecordState.APPLIED, RecordState.UNDO_INTENDED)]
    return sorted((one for one in there if undoable(one, playbook)), key=lambda one: one.index, reverse=True)


def what_must_hold(playbook: Playbook) -> tuple[Condition, ...]:
    """Return what is judged whenever something was given back: the playbook's checks, never a step's own."""
    return playbook.verify or (OWN_RULE,)


def keep(run: Run, playbook: Playbook, reason: str, now: datetime) -> Next:
    """Keep what has helped until its time is up."""
    span = playbook.revert_after or timedelta()
    until = now + span
    patience = max(span, *(one.within for one in what_must_hold(playbook)))
    said = sentences(reason, f"Kept until {until:%Y-%m-%d %H:%M:%S} UTC, then given back.")
    held = advance(run, "keep", Verdict.VERIFIED, said)
    progress = run.progress.model_copy(update={"keep_until": until, "tries": 0})
    held = replace(held, progress=progress, deadline=until + patience)
    return Next(held, at=until, end=RunEnd(clear_person=True))


async def kept(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Begin to give back when the time is up and nothing is in the way."""
    left = to_give_back(playbook, standing.records)
    if run.stop_by:
        return stays(run, f"{run.stop_by} stopped it from being given back.")
    if not left:
        return stays(run, "Nothing is left to be given back.")
    until = run.progress.keep_until or standing.now
    if standing.now < until:
        return Next(run, at=until)
    late = standing.now >= run.deadline
    why = in_the_way(run, playbook, standing) or await _not_as_left(engine, run, playbook, left[0], standing)
    if why and late:
        return not_given_back(run, why, left)
    if not why and not late:
        why = await _changed(engine, run, left[0])
    if not why:
        started = _started(run, playbook, standing, len(left))
        refusal = await engine.store.take_slot(started)
        if refusal is None:
            return Next(started)
        why = refusal.reason
    return wait(run, playbook, why, standing)


def in_the_way(run: Run, playbook: Playbook, standing: Standing) -> str:
    """Return what forbids to begin with the next step of giving back; it is no hurry, so a pause does, too."""
    stop_sign = paused(standing.pauses, subject_of(run, playbook.actions), standing.now)
    if stop_sign is not None:
        return stop_sign.reason
    if standing.suspicion is not None:
        return standing.suspicion.refusal().reason
    if run.state is RunState.KEPT and standing.quarantined:
        return f"{Verdict.QUARANTINED.sentence} {standing.quarantined}"
    if standing.busy:
        return f"{Verdict.BUSY.sentence} Run {standing.busy} holds it."
    return ""


async def _not_as_left(engine: Engine, run: Run, playbook: Playbook, last: Record, standing: Standing) -> str:
    """Return what does not hold even with the change: then giving it back could not be judged."""
    for condition in what_must_hold(playbook):
        sample = await sample_now(engine, run, condition, standing)
        if sample.outcome != "pass":
            seen = "does not hold" if sample.outcome == "fail" else "is unknown"
            return f"{last.step} is still needed: “{condition.name}” {seen}: {sample.reason}"
    return ""


async def _changed(engine: Engine, run: Run, last: Record) -> str:
    """Return that the target is not as it was left. Another run may have put more on top, and give that back first."""
    if last.state is not RecordState.APPLIED:
        return ""
    if upon := await changed_since(engine, run, last):
        return upon
    try:
        drifted = await bounded(engine.action_of(last).drifted(run.target, last, engine.tools), EFFECT_SECONDS)
    except StepError as error:
        return f"{last.step} cannot be looked at: {error}"
    return Verdict.DRIFTED.sentence if drifted else ""


def _started(run: Run, playbook: Playbook, standing: Standing, steps: int) -> Run:
    each = max(one.window + one.within + one.hold for one in what_must_hold(playbook)) + SETTLES + _A_STEP
    undone = tuple(one.id for one in standing.records if one.state is RecordState.UNDONE)
    progress = run.progress.model_copy(update={"given_back": undone, "giving": "", "tries": 0})
    begun = advance(run, "revert", Verdict.VERIFIED, "It has helped for long enough and is given back.")
    return replace(begun, progress=progress, deadline=standing.now + each * steps + _GRACE)


def wait(run: Run, playbook: Playbook, why: str, standing: Standing) -> Next:
    """Look again soon, and tell whoever asks why."""
    pause = min(max((playbook.revert_after or LOOKS_AGAIN) / 20, timedelta(seconds=0.25)), LOOKS_AGAIN)
    return Next(replace(run, reason=f"Not given back yet. {why}"), at=min(standing.now + pause, run.deadline))


def stays(run: Run, reason: str) -> Next:
    """End with the change as it stands."""
    return Next(advance(run, "verified", Verdict.VERIFIED, sentences("It helped.", reason)), end=RunEnd())


def not_given_back(run: Run, why: str, left: Sequence[Record], *, quarantine: str = "") -> Next:
    """End with what is still there, and tell a person: nothing is put back, nothing further is given back."""
    there = f"Still there: {', '.join(one.step for one in left)}." if left else "Nothing of the change is left."
    reason = sentences(why, there)
    ended = advance(run, "verified", Verdict.NOT_GIVEN_BACK, reason)
    page = f"{run.playbook}: {Verdict.NOT_GIVEN_BACK.sentence} {reason}"
    return Next(ended, end=RunEnd(needs_person=page, quarantine=quarantine))
