"""The effect protocol: record, send once, recognise what landed, undo.

A record is committed as ``intended`` before anything is sent. Whatever happens after that is settled by looking at the
target (``landed``), never by sending again blindly.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from responder.act.engine import EFFECT_SECONDS, SEND_WITHIN_SECONDS, Engine
from responder.act.gate import Gated, Held, gate_of
from responder.act.witness import last_look
from responder.domain.errors import Drifted, Moved, Permanent, StepError, Temporary, Uncertain
from responder.domain.images import written
from responder.domain.limits import Refusal
from responder.domain.records import IN_DOUBT, Direction, Record, RecordState, lies_upon
from responder.domain.runs import Run, RunState
from responder.domain.sentences import sentences
from responder.domain.verdicts import Verdict
from responder.ports.action import Action, Landed
from responder.ports.store import Authority

LANDING_GRACE = timedelta(seconds=2)
"""How long after an uncertain send the target is looked at: an abandoned request may still be on its way."""


T = TypeVar("T")


class Sent(Enum):
    """What came of an effect."""

    LANDED = auto()
    NOT_YET = auto()  # certainly not applied, another try may succeed
    NEVER = auto()  # certainly not applied, and will not be
    IN_DOUBT = auto()  # look again before anything else
    UNDER_WAY = auto()  # it has begun and goes on by itself: look again until it has ended
    UNSURE = auto()  # looked, and still nobody knows
    DRIFTED = auto()
    STALE = auto()  # too slow between permission and send; ask again
    MOVED = auto()  # certainly not applied: the target has changed meanwhile; plan again


async def bounded(work: Awaitable[T], seconds: float) -> T:
    """Await ``work`` for at most ``seconds``; running out of time after a send is uncertain."""
    try:
        async with asyncio.timeout(min(seconds, EFFECT_SECONDS)):
            return await work
    except TimeoutError as error:
        msg = f"no answer within {min(seconds, EFFECT_SECONDS):g} s"
        raise Uncertain(msg) from error


class Outcome(NamedTuple):
    """What came of an effect, its record, and how long the target asks to be left alone."""

    sent: Sent
    record: Record
    wait: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One forward effect to be made: what, under which record and limits, and how long its send may take.

    ``again`` marks that the record was sent before.
    """

    action: Action
    record: Record
    authority: Authority
    seconds: float
    again: bool = False


async def send(engine: Engine, run: Run, attempt: Attempt) -> Outcome | Refusal:
    """Look, authorise, record and make one forward effect. A refusal means that nothing was recorded or sent."""
    asked_at = engine.clock.monotonic()
    look = await last_look(engine, run)
    if look.refusal is not None:
        return look.refusal
    read_at = engine.clock.monotonic()
    if read_at - asked_at > SEND_WITHIN_SECONDS and not attempt.again:
        return Outcome(Sent.STALE, attempt.record)  # not written yet; what was read of the target is too old by now
    refusal = await engine.store.intend(run, attempt.record, replace(attempt.authority, evidence_at=look.at))
    if refusal is not None:
        return refusal
    if engine.clock.monotonic() - read_at > SEND_WITHIN_SECONDS:
        if attempt.again:
            return Outcome(Sent.IN_DOUBT, attempt.record)
        message = "the permission was too old to be used"
        return Outcome(Sent.STALE, await _close(engine, run, attempt.record, RecordState.NOT_APPLIED, message))
    return await _apply(engine, run, attempt, read_at)


async def _apply(engine: Engine, run: Run, attempt: Attempt, read_at: float) -> Outcome | Refusal:
    action, record = attempt.action, attempt.record
    tools = Gated(engine.tools, gate_of(engine, run, record, "do", read_at))
    try:
        observed = await bounded(action.apply(run.target, record, tools), attempt.seconds)
    except Held as held:
        if not attempt.again:
            await _close(engine, run, record, RecordState.NOT_APPLIED, held.refusal.reason)
        return held.refusal
    except (Temporary, Permanent) as error:
        if attempt.again:
            # The refusal may come from the first send having landed meanwhile (a changed ETag, a used key): look again.
            engine.on_fact("effect_uncertain", run=run.id, step=record.step, error=str(error))
            return Outcome(Sent.IN_DOUBT, replace(record, message=str(error)))
        closed = await _close(engine, run, record, RecordState.NOT_APPLIED, str(error))
        return Outcome(_sent_of(error), closed, error.retry_after if isinstance(error, Temporary) else None)
    except StepError as error:
        engine.on_fact("effect_uncertain", run=run.id, step=record.step, error=str(error))
        return Outcome(Sent.IN_DOUBT, replace(record, message=str(error)))
    return Outcome(Sent.LANDED, await _applied(engine, run, action, record, observed))


def _sent_of(error: Temporary | Permanent) -> Sent:
    if isinstance(error, Permanent):
        return Sent.NEVER
    return Sent.MOVED if isinstance(error, Moved) else Sent.NOT_YET


async def _close(engine: Engine, run: Run, record: Record, state: RecordState, message: str) -> Record:
    closed = replace(record, state=state, message=message)
    await engine.store.settle(run, closed)
    engine.on_fact("effect", action=record.action, direction="do", state=state.value, run=run.id, step=record.step)
    return closed


async def _applied(engine: Engine, run: Run, action: Action, record: Record, observed: JsonValue) -> Record:
    done = replace(record, state=RecordState.APPLIED, observed=observed, evidence=action.evidence)
    await engine.store.settle(run, done)
    engine.on_fact("effect", action=record.action, direction="do", state="applied", run=run.id, step=record.step)
    return done


async def recover(engine: Engine, run: Run, attempt: Attempt) -> Outcome | Refusal:
    """Settle a record that was found ``intended``: a turn died, or its send was uncertain.

    There already: applied. Begun and not ended: looked at again. Not there, and no send of it can still land: closed,
    and planned again. Not there otherwise: the same record, key and fence are sent again if that is still allowed, and
    the target refuses what comes twice or late. Not to be told, or nothing that refuses it: unsure, a person decides.
    A target that cannot be asked now has told nothing: it is asked again, some times.
    """
    action, record = attempt.action, attempt.record
    landed = await _landed(engine, run, action, record, "do")
    if isinstance(landed, Outcome):
        return landed
    if landed is Landed.YES:
        snapshot = await _snapshot_or_planned(engine, run, action, record)
        return Outcome(Sent.LANDED, await _applied(engine, run, action, record, snapshot))
    if landed is Landed.RUNNING:
        return Outcome(Sent.UNDER_WAY, record)
    if landed is Landed.NEVER:
        message = sentences(record.message or run.reason, "It did not land, and no longer can.")
        return Outcome(Sent.MOVED, await _close(engine, run, record, RecordState.NOT_APPLIED, message))
    if landed is Landed.UNKNOWN or not action.repeatable(record, engine.tools):
        how = await _ending(engine, run, action, record, "do") or record.message or run.reason
        why = sentences(how, "Nobody can tell whether it landed.")
        doubt = replace(record, state=RecordState.UNCERTAIN, message=why)
        await engine.store.settle(run, doubt)
        return Outcome(Sent.UNSURE, doubt)
    return await send(engine, run, replace(attempt, again=True))


async def _landed(engine: Engine, run: Run, action: Action, record: Record, direction: Direction) -> Landed | Outcome:
    """Ask whether it is there; an outcome in doubt when the target could not be asked."""
    try:
        return await bounded(action.landed(run.target, record, direction, engine.tools), EFFECT_SECONDS)
    except StepError as error:
        engine.on_fact("read_back_failed", run=run.id, step=record.step, error=str(error))
        if isinstance(error, Permanent):
            return Landed.UNKNOWN
        first = record.message or run.reason if direction == "do" else answered(run, record)
        return Outcome(Sent.IN_DOUBT, replace(record, message=first or str(error)))


async def _ending(engine: Engine, run: Run, action: Action, record: Record, direction: Direction) -> str:
    """Return what the target says of how it ended; empty when that is not to be read."""
    try:
        return await bounded(action.ending(run.target, record, direction, engine.tools), EFFECT_SECONDS)
    except StepError:
        return ""


async def _snapshot_or_planned(engine: Engine, run: Run, action: Action, record: Record) -> JsonValue:
    try:
        return (await bounded(action.snapshot(run.target, engine.tools), EFFECT_SECONDS)).image
    except StepError:
        return record.planned


async def undo(engine: Engine, run: Run, action: Action, record: Record) -> Outcome | Refusal:
    """Undo one record under the same protocol; a refusal comes from a halt only.

    What is in doubt comes here only when a person wants it back: it is looked at anew before anything is sent.
    """
    if record.state is RecordState.UNDO_INTENDED:
        return await _resume_undo(engine, run, action, record)
    if record.state in IN_DOUBT:
        found = await _looked_anew(engine, run, action, record)
        return found if isinstance(found, Outcome) else await _undo_applied(engine, run, action, found)
    return await _undo_applied(engine, run, action, record)


async def _undo_applied(engine: Engine, run: Run, action: Action, record: Record) -> Outcome | Refusal:
    if upon := await changed_since(engine, run, record):
        settled = await _settle_undo(engine, run, record, RecordState.DRIFTED, f"{upon} Roll that back first.")
        return Outcome(Sent.DRIFTED, settled)
    intended = replace(record, state=RecordState.UNDO_INTENDED)
    try:
        if await bounded(action.drifted(run.target, record, engine.tools), EFFECT_SECONDS):
            if await _is_back(engine, run, action, record):
                return await _was_back(engine, run, intended)
            return Outcome(Sent.DRIFTED, await _drifted(engine, run, action, record))
    except StepError as error:
        return _look_failed(record, error)
    return await _send_undo(engine, run, action, intended, again=False)


def _look_failed(record: Record, error: StepError) -> Outcome:
    """Nothing was sent; whatever went wrong, the look can be repeated."""
    asked = error.retry_after if isinstance(error, Temporary) else None
    return Outcome(Sent.NOT_YET, replace(record, message=str(error)), asked)


async def _looked_anew(engine: Engine, run: Run, action: Action, record: Record) -> Record | Outcome:
    """Look at what was in doubt when its run ended: a record whose change is there, or what else came of the look."""
    direction: Direction = "undo" if record.state is RecordState.UNDO_UNCERTAIN else "do"
    try:
        landed = await bounded(action.landed(run.target, record, direction, engine.tools), EFFECT_SECONDS)
    except StepError as error:
        return _look_failed(record, error)
    if landed is Landed.RUNNING:
        return Outcome(Sent.UNDER_WAY, record)
    if landed is Landed.UNKNOWN:
        message = sentences(record.message, "It was looked at anew, and still nobody can tell.")
        return Outcome(Sent.NEVER, replace(record, message=message))
    if direction == "do":
        return await _came_of_it(engine, run, action, record, landed)
    if landed is Landed.YES:
        return Outcome(Sent.LANDED, await _settle_undo(engine, run, record, RecordState.UNDONE, ""))
    return record  # the undo has not arrived, and a person wants it


async def _came_of_it(engine: Engine, run: Run, action: Action, record: Record, landed: Landed) -> Record | Outcome:
    """Settle a change that was in doubt by what is there now; one that may still land stays in doubt."""
    if landed is Landed.YES:
        snapshot = await _snapshot_or_planned(engine, run, action, record)
        return await _applied(engine, run, action, record, snapshot)
    if landed is Landed.NEVER:
        message = "It did not land, and no longer can."
        return Outcome(Sent.NEVER, await _close(engine, run, record, RecordState.NOT_APPLIED, message))
    message = "It is not there now, so nothing is to be undone. Should it still land, roll back once more."
    return Outcome(Sent.NEVER, replace(record, message=message))


async def _is_back(engine: Engine, run: Run, action: Action, record: Record) -> bool:
    """Say whether a person wants back what is back already, by whomever.

    A run that undoes by itself does not take that for its own doing: who put it back, is at work there.
    """
    if run.kind != "rollback":
        return False
    return await bounded(action.landed(run.target, record, "undo", engine.tools), EFFECT_SECONDS) is Landed.YES


async def _was_back(engine: Engine, run: Run, intended: Record) -> Outcome | Refusal:
    refusal = await engine.store.intend_undo(run, intended)
    if refusal is not None:
        return refusal
    message = "Somebody else has put it back already."
    return Outcome(Sent.LANDED, await _settle_undo(engine, run, intended, RecordState.UNDONE, message))


def undo_of(record: Record) -> str:
    """Return how a run's reason says what was answered to the undo of a record, so that the next turn knows."""
    return f"{_undo_of(record)}{record.message}"


def answered(run: Run, record: Record) -> str:
    """Return what was answered to the undo of a record that is in doubt; empty where no turn came to note it."""
    return run.reason.partition(_undo_of(record))[2]


def _undo_of(record: Record) -> str:
    return f"undo of {record.step}: "


async def changed_since(engine: Engine, run: Run, record: Record) -> str:
    """Return which other run's change lies upon this one and may stand; empty for none (decision 39).

    By its values the target may look as this change has left it. A run that undoes what it has just done has held its
    target all the while.
    """
    if run.kind == "forward" and run.state is RunState.UNDOING:
        return ""
    later = await engine.store.later_changes(run, record)
    upon = next((one for one in reversed(later) if lies_upon(one, record)), None)
    return "" if upon is None else f"Run {upon.run_id} has changed it since, and that stands."


async def _resume_undo(engine: Engine, run: Run, action: Action, record: Record) -> Outcome | Refusal:
    landed = await _landed(engine, run, action, record, "undo")
    if isinstance(landed, Outcome):
        return landed
    if landed is Landed.YES:
        return Outcome(Sent.LANDED, await _settle_undo(engine, run, record, RecordState.UNDONE, ""))
    if landed is Landed.RUNNING:
        return Outcome(Sent.UNDER_WAY, record)
    if landed is Landed.UNKNOWN or not action.repeatable(record, engine.tools):
        how = await _ending(engine, run, action, record, "undo") or answered(run, record) or record.message
        message = sentences(how, "Nobody can tell whether the undo landed.")
        return Outcome(Sent.UNSURE, await _settle_undo(engine, run, record, RecordState.UNDO_UNCERTAIN, message))
    return await _send_undo(engine, run, action, record, again=True)


async def _send_undo(engine: Engine, run: Run, action: Action, record: Record, *, again: bool) -> Outcome | Refusal:
    read_at = engine.clock.monotonic()
    refusal = await engine.store.intend_undo(run, record)
    if refusal is not None:
        return refusal
    tools = Gated(engine.tools, gate_of(engine, run, record, "undo", read_at))
    try:
        await bounded(action.undo(run.target, record, tools), EFFECT_SECONDS)
    except Drifted:
        return Outcome(Sent.DRIFTED, await _drifted(engine, run, action, record))
    except (Temporary, Permanent) as error:
        return await _not_undone(engine, run, record, error, again=again)
    except StepError as error:
        engine.on_fact("effect_uncertain", run=run.id, step=record.step, error=str(error))
        return Outcome(Sent.IN_DOUBT, replace(record, message=str(error)))
    return Outcome(Sent.LANDED, await _settle_undo(engine, run, record, RecordState.UNDONE, ""))


async def _not_undone(
    engine: Engine, run: Run, record: Record, error: Temporary | Permanent, *, again: bool
) -> Outcome | Refusal:
    """Settle an undo that was certainly not carried out by this send."""
    held = error.refusal if isinstance(error, Held) else None
    if again:
        # The refusal may come from the first send having landed meanwhile: look again.
        return held or Outcome(Sent.IN_DOUBT, replace(record, message=str(error)))
    if isinstance(error, Permanent):
        return Outcome(Sent.NEVER, await _settle_undo(engine, run, record, RecordState.UNDO_FAILED, str(error)))
    # Certainly not sent: the record goes back to what is true, so that the next try judges drift afresh.
    back = await _settle_undo(engine, run, record, RecordState.APPLIED, str(error))
    return held or Outcome(Sent.NOT_YET, back, error.retry_after)


async def _drifted(engine: Engine, run: Run, action: Action, record: Record) -> Record:
    """Leave somebody else's edit alone, and say what it is where that can be seen and shown."""
    try:
        now = (await bounded(action.snapshot(run.target, engine.tools), EFFECT_SECONDS)).image
    except StepError:
        now = None
    shown = "" if now is None or engine.holds_secret(now) else f"Now: {written(now)}"
    return await _settle_undo(engine, run, record, RecordState.DRIFTED, sentences(Verdict.DRIFTED.sentence, shown))


async def _settle_undo(engine: Engine, run: Run, record: Record, state: RecordState, message: str) -> Record:
    settled = replace(record, state=state, message=message)
    await engine.store.settle(run, settled)
    engine.on_fact("effect", action=record.action, direction="undo", state=state.value, run=run.id, step=record.step)
    return settled
