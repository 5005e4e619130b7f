"""Giving back what was kept for a time: the last change first, and each judged before the next.

What fails without a change is not put back: whether it is needed again is for the alert to say, within the playbook's
limits, and for a person. What is still there stays there.
"""

from dataclasses import replace

from responder.act.after import UNDO_BACK_OFF, UNDO_TRIES, undo_in_doubt, undo_unsure
from responder.act.checkpoints import whole_checks
from responder.act.effects import Sent, undo
from responder.act.ends import parked, under_way
from responder.act.engine import Engine, Next
from responder.act.judging import judgement
from responder.act.kept import in_the_way, not_given_back, stays, to_give_back, wait, what_must_hold
from responder.act.later import later, too_long
from responder.domain.limits import Refusal
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run
from responder.domain.sentences import sentences
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook
from responder.ports.store import Standing


async def reverting(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Judge what was given back last, or give back the next change."""
    judged = _unjudged(run, standing)
    if judged is not None:
        return await _judging(engine, run, playbook, judged, standing)
    left = to_give_back(playbook, standing.records)
    ended = _stopped(run, standing) or (None if left else _done(run, standing))
    if ended is not None:
        return ended
    if left[0].state is RecordState.APPLIED:
        if run.stop_by:
            return stays(run, f"{run.stop_by} stopped it from being given back.")
        why = in_the_way(run, playbook, standing)
        if standing.now >= run.deadline:
            return not_given_back(run, why or Verdict.DEADLINE.sentence, left)
        if why:
            return wait(run, playbook, why, standing)
    return await _give_back(engine, run, left[0], standing)


def _unjudged(run: Run, standing: Standing) -> Record | None:
    """Return the change that is given back and of which nobody knows yet whether it is missed.

    The records say it, not the run: a turn that died behind the undo is judged all the same.
    """
    known = run.progress.given_back
    return next((one for one in standing.records if one.state is RecordState.UNDONE and one.id not in known), None)


def _stopped(run: Run, standing: Standing) -> Next | None:
    """Return the end that an undo in doubt or failed means; the turn that found it may have died before saying so."""
    for record in standing.records:
        if record.state is RecordState.UNDO_UNCERTAIN:
            return undo_unsure(run, record)
        if record.state is RecordState.UNDO_FAILED:
            return _failed(run, record)
    return None


def _failed(run: Run, record: Record) -> Next:
    why = sentences(f"{record.step} could not be given back", record.message)
    return not_given_back(run, why, [record], quarantine=f"Run {run.id}: {Verdict.UNDO_FAILED.sentence}")


async def _judging(engine: Engine, run: Run, playbook: Playbook, judged: Record, standing: Standing) -> Next:
    conditions = what_must_hold(playbook)
    if run.progress.giving != judged.id:
        window = max(one.window for one in conditions)
        update = {
            "giving": judged.id,
            "checks": whole_checks(run, playbook),
            "changed_at": standing.now,
            "verify_from": standing.now + window,
            "verify_until": standing.now + window + max(one.within for one in conditions),
            "extended": False,
            "tries": 0,
        }
        run = replace(run, progress=run.progress.model_copy(update=update))
    found = await judgement(engine, run, conditions, standing)
    if isinstance(found, Next):
        return found
    if found.outcome == "pass":
        progress = found.run.progress.model_copy(update={"given_back": (*found.run.progress.given_back, judged.id)})
        return Next(replace(found.run, progress=progress), at=run.due_at)
    seen = "it does not hold" if found.outcome == "fail" else "nobody can tell whether it holds"
    left = to_give_back(playbook, standing.records)
    return not_given_back(found.run, f"Without {judged.step} {seen}: {found.reason}.", left)


async def _give_back(engine: Engine, run: Run, record: Record, standing: Standing) -> Next:
    result = await undo(engine, run, engine.action_of(record), record)
    if isinstance(result, Refusal):
        return parked(run, result, standing)
    sent, settled, asked = result
    match sent:
        case Sent.LANDED | Sent.DRIFTED:
            # What somebody else has changed since is theirs: the next change has its turn.
            records = tuple(settled if one.id == settled.id else one for one in standing.records)
            fresh = run.progress.model_copy(update={"tries": 0})
            now = engine.clock.now()
            return Next(replace(run, progress=fresh), standing=replace(standing, records=records, now=now))
        case Sent.UNDER_WAY | Sent.IN_DOUBT:
            going_on = sent is Sent.UNDER_WAY
            return under_way(run, standing) if going_on else await undo_in_doubt(engine, run, settled, standing)
        case Sent.NOT_YET:
            tries = run.progress.tries + 1
            at = later(standing.now, UNDO_BACK_OFF * tries, asked, None)
            if tries < UNDO_TRIES and at is not None:
                return Next(replace(run, progress=run.progress.model_copy(update={"tries": tries})), at=at)
            if at is None:
                settled = replace(settled, message=too_long(settled.message, asked))
        case Sent.UNSURE:
            return undo_unsure(run, settled)
        case _:
            pass
    return _failed(run, settled)


def _done(run: Run, standing: Standing) -> Next:
    given = [one.step for one in standing.records if one.id in run.progress.given_back]
    theirs = [f"{one.step}: {one.message}" for one in standing.records if one.state is RecordState.DRIFTED]
    parts = [f"Given back: {', '.join(reversed(given))}." if given else "", *theirs]
    return stays(run, sentences(*parts))
