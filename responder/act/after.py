"""After something changed: does it help? Keep it, or undo it in reverse order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from responder.act.checkpoints import (
    OWN_RULE,
    did_not_help,
    fresh_checks,
    has_next,
    judged_after,
    next_step,
    not_needed,
)
from responder.act.effects import LANDING_GRACE, Sent, undo
from responder.act.ends import turn_back
from responder.act.engine import Engine, Next, soon
from responder.act.judge import note, poll_interval
from responder.act.look import look, own_rule
from responder.act.plan import names_for
from responder.domain.limits import Refusal
from responder.domain.records import Record, RecordState
from responder.domain.runs import SETTLES, Check, Run, Sample, advance
from responder.domain.sentences import quoted, sentences
from responder.domain.verdicts import Verdict
from responder.playbook.model import Condition, Playbook
from responder.ports.store import RunEnd, Standing

UNDO_TRIES = 5
UNDO_BACK_OFF = timedelta(seconds=2)


async def verifying(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Look once at every condition; verified, not helped, not to be told, or look again."""
    progress = run.progress
    if progress.verify_from is None or progress.verify_until is None:
        return turn_back(run, Verdict.VERIFY_FAILED, "nothing says when to judge")
    conditions = judged_after(playbook, progress.step)
    checks = progress.checks if len(progress.checks) == len(conditions) else fresh_checks(run, playbook)
    if standing.now < progress.verify_from:
        return Next(run, at=progress.verify_from)
    interval = poll_interval(conditions)
    jumped_at = standing.suspicion.since if standing.suspicion is not None else None
    checks = tuple(
        [
            check
            if check.done and not condition.hold
            else note(check, await _sample(engine, run, condition, check, standing), condition, interval, jumped_at)
            for condition, check in zip(conditions, checks, strict=True)
        ],
    )
    run = replace(run, progress=progress.model_copy(update={"checks": checks}))
    if all(check.done for check in checks):
        return _helped(run, playbook)
    until = _until(run, conditions, standing.now)
    run = replace(run, progress=run.progress.model_copy(update={"verify_until": until}))
    if standing.now < until:
        return Next(run, at=min(standing.now + interval, until))
    return _at_the_end(run, playbook, conditions, standing.now)


def _helped(run: Run, playbook: Playbook) -> Next:
    """Go on to the next step when only this one was judged; else that is the end."""
    if has_next(run, playbook) and not playbook.escalates:
        return next_step(run)
    reason = "; ".join(describe(check) for check in run.progress.checks)
    ended = advance(run, "verified", Verdict.VERIFIED, sentences(reason, not_needed(run, playbook)))
    return Next(ended, end=RunEnd(clear_person=True))


async def _sample(engine: Engine, run: Run, condition: Condition, check: Check, standing: Standing) -> Sample:
    names = names_for(run)
    changed_at = run.progress.changed_at or run.progress.verify_from
    since = standing.now - changed_at if changed_at is not None and not check.fresh else None
    if condition is OWN_RULE:
        return await own_rule(_claimed(run.context.generator_url), names, engine.tools, standing.now, since=since)
    return await look(condition, names, engine.tools, check.baseline, standing.now, since=since)


def _until(run: Run, conditions: Sequence[Condition], now: datetime) -> datetime:
    """Return when the checks are judged: ``within`` begins once they see what was measured after the change."""
    begins, until = run.progress.verify_from or now, run.progress.verify_until or now
    old = any(check.last is not None and check.last.data == "old" for check in run.progress.checks)
    if not old or now >= begins + SETTLES:
        return until
    return max(until, now + max(condition.within for condition in conditions))


def _claimed(generator_url: str) -> str:
    """Return the expression that a Prometheus generator URL names, empty when it names none."""
    return parse_qs(urlsplit(generator_url).query).get("g0.expr", [""])[0]


def describe(check: Check) -> str:
    """Write what one condition showed."""
    return f"{check.name}: {check.last.reason}" if check.last is not None else f"{check.name}: not looked at"


def _at_the_end(run: Run, playbook: Playbook, conditions: Sequence[Condition], now: datetime) -> Next:
    """Judge at ``within``: failing → failed; unknown → unknown; passing but not long enough → wait once more."""
    checks = run.progress.checks
    open_checks = [(check, condition) for check, condition in zip(checks, conditions, strict=True) if not check.done]
    reason = "; ".join(describe(check) for check, _ in open_checks)
    if any(check.last is not None and check.last.outcome == "fail" for check, _ in open_checks):
        return did_not_help(run, playbook, reason)
    if any(check.last is None or check.last.outcome == "unknown" for check, _ in open_checks):
        ended = advance(run, "unsure", Verdict.VERIFY_UNKNOWN, reason)
        return Next(ended, end=RunEnd(needs_person=f"{run.playbook}: {Verdict.VERIFY_UNKNOWN.sentence} {reason}"))
    if run.progress.extended:
        return did_not_help(run, playbook, f"{reason}, but not for long enough")
    hold = max(condition.hold for _, condition in open_checks)
    progress = run.progress.model_copy(update={"extended": True, "verify_until": now + hold})
    return Next(replace(run, progress=progress), at=now + poll_interval(conditions))


async def undoing(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Undo the applied records in reverse order, one by one."""
    records = sorted(standing.records, key=lambda record: record.index, reverse=True)
    left: list[Record] = [r for r in records if r.state is not RecordState.NOT_APPLIED]
    for record in left:
        if not _to_undo(record, playbook, by_person=run.kind == "rollback"):
            continue
        action = engine.action_of(record)
        result = await undo(engine, run, action, record)
        if isinstance(result, Refusal):
            return Next(
                advance(run, "halted", result.verdict, result.reason), at=soon(standing.now, None, timedelta(hours=1))
            )
        sent, settled = result
        left[left.index(record)] = settled
        if sent is Sent.NOT_YET:
            return _undo_again(run, settled, standing)
        if sent is Sent.IN_DOUBT:
            return await _undo_in_doubt(engine, run, settled, standing)
        if sent is Sent.UNSURE:
            return _undo_unsure(run, settled)
    return _undo_result(run, left, standing)


def _to_undo(record: Record, playbook: Playbook, *, by_person: bool) -> bool:
    if record.state is RecordState.UNDO_INTENDED:
        return True
    if by_person and record.state in (RecordState.UNDO_FAILED, RecordState.APPLIED):
        return True
    if record.state is not RecordState.APPLIED:
        return False
    step = next((step for step in playbook.steps if step.id == record.step), None)
    return step is not None and step.undo == "automatic" and step.action.undoes != "impossible"


def _undo_again(run: Run, record: Record, standing: Standing) -> Next:
    tries = run.progress.tries + 1
    if tries >= UNDO_TRIES:
        return _gave_up(run, f"step {record.step}: {record.message}")
    kept = replace(run, progress=run.progress.model_copy(update={"tries": tries}))
    return Next(kept, at=standing.now + UNDO_BACK_OFF * tries)


async def _undo_in_doubt(engine: Engine, run: Run, record: Record, standing: Standing) -> Next:
    """Look again, but not for ever: an undo has no deadline, and somebody must hear of it."""
    tries = run.progress.tries + 1
    if tries >= UNDO_TRIES:
        doubt = replace(record, state=RecordState.UNDO_UNCERTAIN)
        await engine.store.settle(run, doubt)
        return _undo_unsure(run, doubt)
    kept = replace(run, progress=run.progress.model_copy(update={"tries": tries}))
    return Next(kept, at=standing.now + LANDING_GRACE * tries)


def _why(run: Run) -> str:
    """Return why it is undone: what its ending found, else the words of the person who asked for it."""
    ending = run.progress.ending.sentence if run.progress.ending else quoted(run.context.reason)
    return run.progress.ending_reason or ending


def _gave_up(run: Run, reason: str) -> Next:
    page = f"{run.playbook}: {sentences(_why(run), Verdict.UNDO_FAILED.sentence, reason)}"
    ended = advance(run, "give_up", Verdict.UNDO_FAILED, sentences(_why(run), reason))
    return Next(ended, end=RunEnd(needs_person=page, quarantine=f"Run {run.id}: {Verdict.UNDO_FAILED.sentence}"))


def _undo_unsure(run: Run, record: Record) -> Next:
    reason = f"step {record.step}: {record.message or Verdict.UNDO_UNCERTAIN.sentence}"
    ended = advance(run, "unsure", Verdict.UNDO_UNCERTAIN, sentences(_why(run), reason))
    page = f"{run.playbook}: {Verdict.UNDO_UNCERTAIN.sentence} {reason}"
    return Next(ended, end=RunEnd(needs_person=page, quarantine=f"Run {run.id}: {Verdict.UNDO_UNCERTAIN.sentence}"))


def _undo_result(run: Run, records: Sequence[Record], standing: Standing) -> Next:
    """Say how the undoing ended: everything, a part, or not."""
    failed = [record for record in records if record.state is RecordState.UNDO_FAILED]
    if failed:
        return _gave_up(run, "; ".join(f"step {record.step}: {record.message}" for record in failed))
    stands = [record for record in records if record.state is not RecordState.UNDONE]
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
    ended = advance(run, "undone", ending, _why(run) or Verdict.UNDONE.sentence)
    if run.kind == "rollback" or ending is Verdict.STOPPED:
        return Next(ended, end=RunEnd())
    return Next(ended, end=RunEnd(retry_at=standing.now, after=run.playbook))


def _stands(record: Record) -> str:
    usual = Verdict.DRIFTED if record.state is RecordState.DRIFTED else Verdict.NOT_UNDOABLE
    return record.message or usual.sentence
