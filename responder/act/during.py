"""While something changes: one step after another, each recorded before it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from pydantic import JsonValue

from responder.act.between import between
from responder.act.checkpoints import all_tried, begin_judging, give_up, judged_after
from responder.act.effects import LANDING_GRACE, Attempt, Outcome, Sent, recover, send
from responder.act.ending import awaited
from responder.act.ends import parked, refused, turn_back, under_way, withdrawn
from responder.act.engine import SEND_WITHIN_SECONDS, Engine, Next
from responder.act.later import later, left_alone, told, too_long
from responder.act.look import look
from responder.act.plan import Prepared, names_for, prepare
from responder.act.reach import reaching
from responder.act.shown import as_shown, not_as_shown
from responder.act.witness import last_look
from responder.domain.errors import Permanent, Temporary
from responder.domain.ids import new_id
from responder.domain.limits import Refusal
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run, advance
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook, Step
from responder.ports.action import Between
from responder.ports.store import Authority, RunEnd, Standing

BACK_OFF = timedelta(seconds=2)
LOOKS = 5
"""How often a send in doubt is looked at, over some twenty seconds."""
AGAIN = timedelta(seconds=0.2)
PLANS = 8
"""How often a step is planned again for a target that changes under it, over some seven seconds."""
ALL_STEPS = 1_000_000
"""A step index past every playbook: no further step is wanted."""
_NO_FURTHER = frozenset({Verdict.RESOLVED, Verdict.NOT_ACTIVE, Verdict.SILENCED, Verdict.INHIBITED})


async def acting(
    engine: Engine,
    run: Run,
    playbook: Playbook,
    standing: Standing,
    prepared: tuple[Prepared, ...],
) -> Next:
    """Carry out the next step, or settle one that a dead turn left behind.

    One at a time: whether the turn still has the time for what comes next is for the turn to say.
    """
    records = {record.index: record for record in standing.records if record.state is not RecordState.NOT_APPLIED}
    # What an earlier turn applied counts, also when it died before it could say so.
    run = replace(run, effects=sum(has_landed(record) for record in records.values()))
    if run.progress.step >= len(playbook.steps):
        return _all_steps_done(run, playbook, standing)
    index = run.progress.step
    record = records.get(index)
    result: Outcome | Run | Next
    if record is not None and record.state is RecordState.APPLIED:
        result = await _over(engine, run, playbook, standing, record)
    elif record is None:
        result = await _begin(engine, run, playbook, standing, prepared[index : index + 1])
    else:
        result = await _settle_left(engine, run, playbook, standing, record)
    if isinstance(result, Run):
        return Next(result)
    return result if isinstance(result, Next) else await _come_of(engine, run, playbook, result, standing)


async def _come_of(engine: Engine, run: Run, playbook: Playbook, result: Outcome, standing: Standing) -> Next:
    """Go on from what came of an effect."""
    if result.sent is Sent.UNDER_WAY:
        return under_way(run, standing)
    if result.sent is Sent.IN_DOUBT:
        return await _look_again(engine, run, result.record, standing)
    settled = _settled(run, playbook.steps[run.progress.step], result, standing)
    if isinstance(settled, Next):
        return settled
    others = [one for one in standing.records if one.id != result.record.id]
    return Next(settled, standing=replace(standing, records=(*others, result.record)))


async def _over(engine: Engine, run: Run, playbook: Playbook, standing: Standing, record: Record) -> Run | Next:
    """Go on behind a step that is applied: when what it has begun has ended, and after its checks."""
    index = run.progress.step
    why = await awaited(engine, run, playbook.steps[index], record, standing)
    if isinstance(why, Next):
        return why
    if why:
        return failed_step(run, playbook.steps[index], why, standing)
    if judged_after(playbook, index):
        return begin_judging(run, playbook, replace(standing, now=engine.clock.now()))
    return _advance_step(run)


async def _begin(
    engine: Engine,
    run: Run,
    playbook: Playbook,
    standing: Standing,
    planned: Sequence[Prepared],
) -> Outcome | Run | Next:
    """Make the next step's effect; a step that changes nothing gives the run after it."""
    step = playbook.steps[run.progress.step]
    # The look that counts comes with the record; this one spares the target, and its answer is still there then.
    refusal = (await last_look(engine, run)).refusal
    if refusal is None and step.action.between and not standing.firing:
        refusal = Refusal(Verdict.RESOLVED, Verdict.RESOLVED.sentence)
    if refusal is not None:
        return _held_back(run, refusal, standing)
    ready = await _ready_step(engine, run, step, standing, planned[0] if planned else None)
    if isinstance(ready, Next | Run):
        return ready
    if isinstance(ready.action, Between):
        return await between(engine, run, playbook, ready.action, standing)
    if ready.changes_nothing:
        return _unchanged(run, step)
    if not as_shown(run, ready, acted=_acted(standing)):
        return await not_as_shown(engine, run, playbook, standing, ready, acted=_acted(standing))
    record = _new_record(run, ready, standing)
    result = await send(
        engine, run, Attempt(ready.action, record, _authority(engine, playbook, run), step.timeout.total_seconds())
    )
    return _held_back(run, result, standing) if isinstance(result, Refusal) else result


async def _settle_left(
    engine: Engine,
    run: Run,
    playbook: Playbook,
    standing: Standing,
    record: Record,
) -> Outcome | Next:
    """Settle a record whose effect may or may not have landed."""
    if record.state is not RecordState.INTENDED and record.state is not RecordState.UNCERTAIN:
        return turn_back(run, Verdict.STOPPED, "an undo was under way already")
    if record.state is RecordState.UNCERTAIN:
        return unsure(run, record)
    if standing.now >= run.deadline:
        message = record.message or "still in doubt at the deadline"
        doubt = replace(record, state=RecordState.UNCERTAIN, message=message)
        await engine.store.settle(run, doubt)
        return unsure(run, doubt)
    step = playbook.steps[run.progress.step]
    attempt = Attempt(engine.action_of(record), record, _authority(engine, playbook, run), step.timeout.total_seconds())
    result = await recover(engine, run, attempt)
    if isinstance(result, Refusal):
        if result.verdict is Verdict.HALTED:
            return parked(run, result, standing)
        # The record stays intended: a dead turn's send may still land, so the target stays ours until that is settled.
        return Next(replace(run, reason=result.reason), at=standing.now + LANDING_GRACE)
    return result


async def _look_again(engine: Engine, run: Run, record: Record, standing: Standing) -> Next:
    """Look at what is in doubt again, ever later; but not for ever: then a person decides."""
    tries = run.progress.tries + 1
    if tries >= LOOKS:
        message = record.message or "still in doubt after several looks"
        doubt = replace(record, state=RecordState.UNCERTAIN, message=message)
        await engine.store.settle(run, doubt)
        return unsure(run, doubt)
    # Why it is in doubt is kept for whoever reads what came of it.
    kept = replace(run, reason=record.message, progress=run.progress.model_copy(update={"tries": tries}))
    return Next(kept, at=standing.now + LANDING_GRACE * tries)


def _authority(engine: Engine, playbook: Playbook, run: Run) -> Authority:
    to_come = playbook.actions[run.progress.step :]
    protected = engine.protected(run.target)
    return Authority(reaching(playbook.limits, run), effects=playbook.effects, protected=protected, actions=to_come)


def _advance_step(run: Run) -> Run:
    return replace(run, progress=run.progress.model_copy(update={"step": run.progress.step + 1, "tries": 0}))


def _unchanged(run: Run, step: Step) -> Run:
    run = _advance_step(run)
    return replace(run, progress=run.progress.model_copy(update={"unchanged": (*run.progress.unchanged, step.id)}))


def _names(run: Run, records: Sequence[Record]) -> dict[str, object]:
    done: dict[str, Mapping[str, JsonValue]] = {
        record.step: {
            "before": record.before,
            "after": record.observed if record.observed is not None else record.planned,
        }
        for record in records
        if record.state is not RecordState.NOT_APPLIED
    }
    return names_for(run, done)


async def _ready_step(
    engine: Engine,
    run: Run,
    step: Step,
    standing: Standing,
    planned: Prepared | None,
) -> Prepared | Run | Next:
    names = _names(run, standing.records)
    for condition in step.when:
        sample = await look(condition, names, engine.tools, None, standing.now)
        if sample.outcome == "fail":
            return _unchanged(run, step)
        if sample.outcome == "unknown":
            return failed_step(run, step, f"“{condition.name}” is unknown: {sample.reason}", standing)
    if planned is not None and engine.clock.monotonic() - planned.read_at < SEND_WITHIN_SECONDS:
        return planned
    try:
        return await prepare(engine, run, step, names)
    except Temporary as error:
        return _again(run, step, str(error), standing, error.retry_after)
    except Permanent as error:
        return failed_step(run, step, str(error), standing)


def _new_record(run: Run, ready: Prepared, standing: Standing) -> Record:
    return Record(
        id=new_id(),
        run_id=run.id,
        index=run.progress.step,
        step=ready.step.id,
        action=ready.action.name,
        target=run.target,
        arguments=ready.action.arguments(),
        before=ready.snapshot.image,
        planned=ready.after,
        state=RecordState.INTENDED,
        created_at=standing.now,
        fence=ready.snapshot.fence,
    )


def _settled(run: Run, step: Step, result: Outcome, standing: Standing) -> Run | Next:
    sent, record, wait = result
    if sent is Sent.LANDED:
        progress = run.progress.model_copy(update={"tries": 0})
        return replace(run, effects=run.effects + 1, reason="", progress=progress)
    if sent is Sent.NOT_YET:
        return _again(run, step, record.message, standing, wait)
    if sent is Sent.STALE:
        return Next(run, at=standing.now)
    if sent is Sent.MOVED:
        return _plan_again(run, step, record.message, standing)
    if sent is Sent.UNSURE:
        return unsure(run, record)
    return failed_step(run, step, record.message, standing)


def _again(run: Run, step: Step, why: str, standing: Standing, wait: timedelta | None) -> Next:
    """Try once more what certainly did not happen, as often as the step allows; not before the target wants it."""
    tries = run.progress.tries + 1
    run = left_alone(run, standing.now + wait if wait else None)
    if tries > step.retries:
        return failed_step(run, step, told(why, wait), standing)
    at = later(standing.now, BACK_OFF * tries, wait, run.deadline)
    if at is None:
        return failed_step(run, step, too_long(why, wait), standing)
    kept = replace(run, reason=why, progress=run.progress.model_copy(update={"tries": tries}))
    return Next(kept, at=at)


def _plan_again(run: Run, step: Step, why: str, standing: Standing) -> Next:
    """Plan once more for a target that others write into: that is no failure of the step, but not for ever either."""
    tries = run.progress.tries + 1
    if tries > step.retries + PLANS:
        return failed_step(run, step, why, standing)
    kept = replace(run, progress=run.progress.model_copy(update={"tries": tries}))
    return Next(kept, at=standing.now + AGAIN * tries)


def _applied(standing: Standing) -> bool:
    return any(record.state is RecordState.APPLIED for record in standing.records)


def has_landed(record: Record) -> bool:
    """Say whether a record's effect was there, whatever has become of it since."""
    return record.state not in (RecordState.INTENDED, RecordState.NOT_APPLIED, RecordState.UNCERTAIN)


def _acted(standing: Standing) -> bool:
    """Say whether the run has changed anything, also when that is undone: one that did not help may be."""
    return any(map(has_landed, standing.records))


def _held_back(run: Run, refusal: Refusal, standing: Standing) -> Next:
    """A forward effect was not allowed at the last moment; nothing was recorded."""
    if refusal.verdict is Verdict.HALTED and _acted(standing):
        return parked(run, refusal, standing)
    if not _acted(standing):
        return _not_begun(run, refusal, standing)
    if refusal.verdict in _NO_FURTHER and _applied(standing):
        # No further step for an alert that is gone or that somebody silenced; what was applied is verified.
        further = withdrawn(run).progress.model_copy(update={"step": ALL_STEPS})
        return Next(replace(run, progress=further), standing=standing)
    if refusal.verdict in (Verdict.PAUSED, Verdict.STALE, Verdict.CLOCK_SUSPECT, Verdict.UNCONFIRMED):
        # It waits in this state; whoever asks why is told.
        return Next(replace(run, reason=refusal.reason), at=standing.now + BACK_OFF)
    return turn_back(run, refusal.verdict, refusal.reason)


def _not_begun(run: Run, refusal: Refusal, standing: Standing) -> Next:
    """End a run that changed nothing; what a person has stopped meanwhile is not begun again by itself."""
    if refusal.verdict is Verdict.STOPPED:
        return Next(advance(run, "stopped", refusal.verdict, refusal.reason), end=RunEnd())
    return refused(run, refusal, standing)


def failed_step(run: Run, step: Step, why: str, standing: Standing) -> Next:
    """End on a step that could not be applied; earlier steps are undone."""
    reason = why if why.startswith("step ") else f"step {step.id}: {why}"
    if _acted(standing):
        return turn_back(run, Verdict.STEP_FAILED, reason)
    ended = advance(run, "step_failed", Verdict.STEP_FAILED, reason)
    return Next(ended, end=RunEnd(retry_at=standing.now, after=run.playbook))


def unsure(run: Run, record: Record) -> Next:
    """Nobody knows whether a step landed: stop here, keep others off the target, and ask a person."""
    reason = f"step {record.step}: {record.message or Verdict.UNCERTAIN.sentence}"
    ended = advance(run, "unsure", Verdict.UNCERTAIN, reason)
    return Next(ended, end=RunEnd(needs_person=f"{run.playbook}: {reason}", quarantine=f"Run {run.id}: {reason}"))


def _all_steps_done(run: Run, playbook: Playbook, standing: Standing) -> Next:
    if run.progress.tried and run.progress.step < ALL_STEPS:
        # The steps that were left found nothing to change; those before them were judged already.
        return _none_helped(run, playbook, standing)
    if not _applied(standing):
        ended = advance(run, "unchanged", Verdict.UNCHANGED, Verdict.UNCHANGED.sentence)
        return Next(ended, end=RunEnd(retry_at=standing.now, after=run.playbook))
    return begin_judging(run, playbook, standing)


def _none_helped(run: Run, playbook: Playbook, standing: Standing) -> Next:
    reason = all_tried(run, playbook, "")
    if playbook.on_failure != "undo" and _applied(standing):
        return give_up(run, reason)
    return turn_back(run, Verdict.VERIFY_FAILED, reason)
