"""After something changed: does it help? Keep it, or undo it in reverse order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from responder.act.checkpoints import did_not_help, has_next, judged_after, next_step, not_needed
from responder.act.effects import LANDING_GRACE, Sent, undo, undo_of
from responder.act.ends import parked, under_way
from responder.act.engine import TURN_SECONDS, Engine, Next
from responder.act.judging import all_seen, judgement
from responder.act.kept import keep, to_give_back, undoable
from responder.act.later import later, too_long
from responder.domain.limits import Refusal
from responder.domain.records import IN_DOUBT, Record, RecordState
from responder.domain.runs import Run, advance
from responder.domain.sentences import quoted, sentences
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook
from responder.ports.store import RunEnd, Standing

_NO = frozenset({Verdict.STOPPED, Verdict.REJECTED, Verdict.APPROVAL_EXPIRED})
"""Endings that a person has chosen, or has left to us: behind an undo nothing further is done for that alert."""
UNDO_TRIES = 5
UNDO_BACK_OFF = timedelta(seconds=2)


async def verifying(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Look once at every condition; verified, not helped, not to be told, or look again."""
    found = await judgement(engine, run, judged_after(playbook, run.progress.step), standing)
    if isinstance(found, Next):
        return found
    match found.outcome:
        case "pass":
            return _helped(found.run, playbook, standing)
        case "fail":
            return did_not_help(found.run, playbook, found.reason)
        case "unknown":
            ended = advance(found.run, "unsure", Verdict.VERIFY_UNKNOWN, found.reason)
            page = f"{run.playbook}: {Verdict.VERIFY_UNKNOWN.sentence} {found.reason}"
            return Next(ended, end=RunEnd(needs_person=page))


def _helped(run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Go on to the next step when only this one was judged; else that is the end, or it is kept for a time."""
    if has_next(run, playbook) and not playbook.escalates:
        return next_step(run)
    reason = sentences(all_seen(run), not_needed(run, playbook))
    if playbook.revert_after is not None and to_give_back(playbook, standing.records):
        return keep(run, playbook, reason, standing.now)
    return Next(advance(run, "verified", Verdict.VERIFIED, reason), end=RunEnd(clear_person=True))


async def undoing(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Undo the applied records in reverse order, one by one, as many as the turn has time for."""
    until = engine.clock.monotonic() + TURN_SECONDS / 2
    records = sorted(standing.records, key=lambda record: record.index, reverse=True)
    left: list[Record] = [r for r in records if r.state is not RecordState.NOT_APPLIED]
    for record in left:
        if record.state is RecordState.UNDO_UNCERTAIN and run.kind == "forward":
            break  # a turn found that, and died before the run could end: nothing is undone behind it
        if not _to_undo(engine, run, record, playbook):
            continue
        settled = await _take_back(engine, run, record, standing)
        if isinstance(settled, Next):
            return settled
        left[left.index(record)] = settled
        if settled.state is not RecordState.UNDO_FAILED and engine.clock.monotonic() >= until:
            return Next(run, at=standing.now)  # the others have a turn, and a lease, of their own
    return _undo_result(run, left, standing)


async def _take_back(engine: Engine, run: Run, record: Record, standing: Standing) -> Record | Next:
    """Undo one record: as it is after that, or how the run goes on where nothing further is undone now."""
    result = await undo(engine, run, engine.action_of(record), record)
    if isinstance(result, Refusal):
        return parked(run, result, standing)
    sent, settled, wait = result
    match sent:
        case Sent.NOT_YET:
            return _undo_again(run, settled, standing, wait)
        case Sent.UNDER_WAY:
            return under_way(run, standing)
        case Sent.IN_DOUBT:
            return await undo_in_doubt(engine, run, settled, standing)
        case Sent.UNSURE:
            return undo_unsure(run, settled)
        case _:
            return settled


def _to_undo(engine: Engine, run: Run, record: Record, playbook: Playbook) -> bool:
    if record.state is RecordState.UNDO_INTENDED:
        return True
    if run.kind == "rollback":
        return _wanted_back(run, record) and engine.action_of(record).undoes != "impossible"
    return record.state is RecordState.APPLIED and undoable(record, playbook)


def _wanted_back(run: Run, record: Record) -> bool:
    """Say whether a person's rollback has to do with a record: what was in doubt before it began is looked at anew."""
    if record.state in (RecordState.UNDO_FAILED, RecordState.APPLIED):
        return True
    return record.id in run.progress.look_anew and (record.state in IN_DOUBT or record.state is RecordState.DRIFTED)


def _undo_again(run: Run, record: Record, standing: Standing, wait: timedelta | None) -> Next:
    tries = run.progress.tries + 1
    at = later(standing.now, UNDO_BACK_OFF * tries, wait, None)
    if tries >= UNDO_TRIES or at is None:
        why = record.message if at is not None else too_long(record.message, wait)
        return _gave_up(run, f"step {record.step}: {why}")
    kept = replace(run, progress=run.progress.model_copy(update={"tries": tries}))
    return Next(kept, at=at)


async def undo_in_doubt(engine: Engine, run: Run, record: Record, standing: Standing) -> Next:
    """Look again, but not for ever: an undo has no deadline, and somebody must hear of it."""
    tries = run.progress.tries + 1
    if tries >= UNDO_TRIES:
        doubt = replace(record, state=RecordState.UNDO_UNCERTAIN)
        await engine.store.settle(run, doubt)
        return undo_unsure(run, doubt)
    reason = sentences(_why(run), undo_of(record))
    kept = replace(run, reason=reason, progress=run.progress.model_copy(update={"tries": tries}))
    return Next(kept, at=standing.now + LANDING_GRACE * tries)


def _why(run: Run) -> str:
    """Return why it is undone: what its ending found, else the words of the person who asked for it."""
    ending = run.progress.ending.sentence if run.progress.ending else quoted(run.context.reason)
    return run.progress.ending_reason or ending


def _gave_up(run: Run, reason: str) -> Next:
    page = f"{run.playbook}: {sentences(_why(run), Verdict.UNDO_FAILED.sentence, reason)}"
    ended = advance(run, "give_up", Verdict.UNDO_FAILED, sentences(_why(run), reason))
    return Next(ended, end=RunEnd(needs_person=page, quarantine=f"Run {run.id}: {Verdict.UNDO_FAILED.sentence}"))


def undo_unsure(run: Run, record: Record) -> Next:
    """End as unknown: nobody can tell whether a change was undone."""
    reason = f"step {record.step}: {record.message or Verdict.UNDO_UNCERTAIN.sentence}"
    ended = advance(run, "unsure", Verdict.UNDO_UNCERTAIN, sentences(_why(run), reason))
    page = f"{run.playbook}: {Verdict.UNDO_UNCERTAIN.sentence} {reason}"
    return Next(ended, end=RunEnd(needs_person=page, quarantine=f"Run {run.id}: {Verdict.UNDO_UNCERTAIN.sentence}"))


def _undo_result(run: Run, records: Sequence[Record], standing: Standing) -> Next:
    """Say how the undoing ended: everything, a part, or not."""
    stands = [record for record in records if record.state not in (RecordState.UNDONE, RecordState.NOT_APPLIED)]
    doubt = next((record for record in stands if record.state in IN_DOUBT), None)
    if doubt is not None:
        return undo_unsure(run, doubt)
    failed = [record for record in records if record.state is RecordState.UNDO_FAILED]
    if failed:
        return _gave_up(run, "; ".join(f"step {record.step}: {record.message}" for record in failed))
    if run.progress.goes_on and all(record.state is RecordState.APPLIED for record in stands):
        # Whatever stands is not to be undone by us, as the playbook says: the next step goes on from there.
        return next_step(run)
    ending = run.progress.ending or Verdict.UNDONE
    if stands:
        reason = "; ".join(f"step {record.step}: {_stands(record)}" for record in stands)
        ended = advance(run, "partly_undone", ending, sentences(_why(run), reason))
        none = all(record.state is not RecordState.UNDONE for record in records)
        left = f"{'Nothing' if none else 'Not everything'} was undone: {reason}"
        return Next(ended, end=RunEnd(needs_person=f"{run.playbook}: {sentences(_why(run), left)}"))
    # A stop that comes while it is undone anyway changes nothing of that, but nothing further is begun behind it.
    stopped = run.kind == "forward" and bool(run.stop_by) and ending not in _NO
    said = f"{run.stop_by} stopped the run." if stopped else ""
    ended = advance(run, "undone", ending, sentences(_why(run) or Verdict.UNDONE.sentence, said))
    if run.kind == "rollback" or stopped or ending in _NO:
        return Next(ended, end=RunEnd(clear_person=run.kind == "rollback"))
    return Next(ended, end=RunEnd(retry_at=standing.now, after=run.playbook))


def _stands(record: Record) -> str:
    usual = Verdict.DRIFTED if record.state is RecordState.DRIFTED else Verdict.NOT_UNDOABLE
    return record.message or usual.sentence
