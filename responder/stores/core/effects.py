"""The effect protocol's commits (engine.md): nothing is sent before its record stands here.

Many runs are authorised in one transaction: the locks of all their limits are held, and each counts what those before
it were given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.errors import Conflict
from responder.domain.ids import new_id
from responder.domain.limits import Refusal, halted, over_limit, paused, subject_of, tripped
from responder.domain.records import OVER, Direction, Record, RecordState
from responder.domain.runs import Run
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit, Authority
from responder.stores.core import rows
from responder.stores.core.database import Database, Order, Patch, Rows, Write
from responder.stores.core.memory import Memory
from responder.stores.core.part import Part, audit_values, signs_in_force
from responder.stores.core.sight import Sight, held_rows, is_ours, look, lost
from responder.stores.core.targets import begun, lock_targets, target_taken
from responder.stores.core.together import Together
from responder.stores.core.usage import Effect
from responder.stores.schema import audit, ledger, records, runs

_NOTHING_HAPPENED = frozenset({RecordState.INTENDED, RecordState.NOT_APPLIED})
_USED = {name: f"excluded.{name}" for name in ("record_id", "at")}


@dataclass(frozen=True, slots=True)
class _Wish:
    """One call of ``intend``."""

    run: Run
    record: Record
    authority: Authority


class EffectsPart(Part):
    """Authorises effects and writes down what became of them."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        super().__init__(db)
        self.memory = Memory()
        self._intend = Together(self._intend_all)
        self._intend_undo = Together(self._intend_undo_all)
        self._settle = Together(self._settle_all)

    async def intend(self, run: Run, record: Record, authority: Authority) -> Refusal | None:
        """Authorise a forward effect and commit its record as ``intended``, in one transaction."""
        return await self._intend(_Wish(run, record, authority))

    async def _intend_all(self, wishes: Sequence[_Wish]) -> Sequence[Refusal | Exception | None]:
        every = [wish.run for wish in wishes]
        async with self.db.writing(Order.RECORD) as tx:
            await lock_targets(self.db, tx, every, [cap for one in wishes for cap in one.authority.limits.caps])
            held = await held_rows(self.db, self.prepared, tx, every)
            # After the locks: what was committed before them is seen.
            asked = [(wish.run, wish.authority.limits) for wish in wishes]
            sight = await look(self.db, self.prepared, tx, asked, [wish.record.id for wish in wishes])
            had = {run.id for run in every if sight.holds(run)}
            booked: list[dict[str, Any]] = []
            answers = [_answer(wish, held, sight, booked) for wish in wishes]
            given = [wish for wish, answer in zip(wishes, answers, strict=True) if answer is None]
            intended = [rows.record_values(wish.record) for wish in given]
            writes: list[Write] = [
                *begun([wish.run for wish in given if wish.run.id not in had], held, sight),
                Rows(ledger, booked, ("id",), _USED),
                Rows(records, intended, ("id",), {"fence": "excluded.fence"}),  # one sent again has another fence
                Rows(audit, audit_values(sight.now, [_entry("intended", one.run, one.record) for one in given])),
            ]
            await self.db.write_rows(tx, writes)
        self.memory.keep((wish.run, wish.record) for wish in given)
        return answers

    async def later_changes(self, run: Run, record: Record) -> Sequence[Record]:
        """Return the changes of other runs on the run's target that are later than the record and may stand."""
        here = runs.c.target == run.target
        ended = here & runs.c.acted & (runs.c.finished_at >= record.created_at)
        others = union_all(select(runs.c.id).where(ended), select(runs.c.id).where(here, runs.c.finished_at.is_(None)))
        # Of what came at the same moment, ids tell: a clock that stands still must not hide what lies upon it.
        tied = (records.c.created_at == record.created_at) & (records.c.id > record.id)
        later = (
            self.db.within(records.c.run_id, others)
            & (records.c.run_id != record.run_id)
            & ((records.c.created_at > record.created_at) | tied)
            & records.c.state.not_in([state.value for state in OVER])
        )
        async with self.db.reading() as tx:
            found = await tx.execute(select(records).where(later).order_by(records.c.created_at, records.c.id))
            return [rows.record(row) for row in found]

    async def intend_undo(self, run: Run, record: Record) -> Refusal | None:
        """Commit ``undo_intended``; refused by a halt only."""
        return await self._intend_undo((run, record))

    async def _intend_undo_all(self, asked: Sequence[tuple[Run, Record]]) -> Sequence[Refusal | Exception | None]:
        async with self.db.writing(Order.RECORD) as tx:
            held = await held_rows(self.db, self.prepared, tx, [run for run, _ in asked])
            now = self.now()
            pauses, _ = await signs_in_force(self.db, tx, now)
            answers: list[Refusal | Exception | None] = [
                halted(pauses, subject_of(run, [record.action]), now) if is_ours(held, run) else lost(run)
                for run, record in asked
            ]
            going = [one for one, answer in zip(asked, answers, strict=True) if answer is None]
            await self._write(tx, now, going)
        self.memory.keep(going)
        return answers

    async def braked(self, run: Run, action: str, direction: Direction) -> Refusal | None:
        """Say which brake refuses an effect now that was permitted; raises Conflict when the run's lease was lost."""
        async with self.db.reading() as tx:
            now = self.now()
            pauses, _ = await signs_in_force(self.db, tx, now)
            epoch = await tx.scalar(select(runs.c.epoch).where(runs.c.id == run.id))
        if epoch != run.epoch:
            raise lost(run)
        judge = paused if direction == "do" else halted
        return judge(pauses, subject_of(run, [action]), now)

    async def settle(self, run: Run, record: Record) -> None:
        """Write the record's state, observed image, evidence and message."""
        await self._settle((run, record))

    async def _settle_all(self, asked: Sequence[tuple[Run, Record]]) -> Sequence[Exception | None]:
        async with self.db.writing(Order.RECORD) as tx:
            held = await held_rows(self.db, self.prepared, tx, [run for run, _ in asked])
            now = self.now()
            ours = [(run, _dated(record, now)) for run, record in asked if is_ours(held, run)]
            acted = {run.id for run, record in ours if record.state not in _NOTHING_HAPPENED}
            # What certainly did not happen does not count; the plan keeps its reservation for another try.
            free = sorted(record.id for _, record in ours if record.state is RecordState.NOT_APPLIED)
            if free:
                await self.db.fetch(tx, self.prepared.unbook, self.db.give("records_given", key=free))
            await self._write(tx, now, ours, sorted(acted))
        self.memory.keep(ours)
        return [None if is_ours(held, run) else lost(run) for run, _ in asked]

    async def _write(
        self, tx: AsyncConnection, now: datetime, changed: Sequence[tuple[Run, Record]], acted: Sequence[str] = ()
    ) -> None:
        """Write records as they are now, and which runs have acted."""
        writes: list[Write] = [
            Patch(records, [{"id": record.id, **rows.record_changes(record)} for _, record in changed]),
            Patch(runs, [{"id": one, "acted": True} for one in acted]),
            Rows(audit, audit_values(now, [_entry(record.state.value, run, record) for run, record in changed])),
        ]
        await self.db.write_rows(tx, writes)


def _answer(
    wish: _Wish, held: Mapping[str, Row[Any]], sight: Sight, booked: list[dict[str, Any]]
) -> Refusal | Exception | None:
    """Say whether an effect is allowed, and book it at once when it is: those after it count it."""
    run, record = wish.run, wish.record
    if not is_ours(held, run):
        return lost(run)
    refusal = _refused(run, wish, held[run.id].stop_by, sight)
    if refusal is not None:
        return refusal
    if sight.record_states.get(record.id, RecordState.INTENDED.value) != RecordState.INTENDED.value:
        return Conflict(f"record {record.id} was settled already")
    refusal = _debited(wish, sight, booked)
    if refusal is None:
        sight.take(run)
    return refusal


def _refused(run: Run, wish: _Wish, stop_by: str, sight: Sight) -> Refusal | None:
    authority = wish.authority
    if authority.protected:
        return Refusal(Verdict.PROTECTED, Verdict.PROTECTED.sentence)
    if stop_by:
        return Refusal(Verdict.STOPPED, f"{Verdict.STOPPED.sentence} {stop_by}")
    if sight.suspicion is not None:
        return sight.suspicion.refusal()
    subject = subject_of(run, [wish.record.action, *authority.actions])
    stop_sign = paused(sight.pauses, subject, sight.now)
    if not run.progress.asked and not sight.entries[run.id, run.playbook]:
        # A run that has begun goes on; what was approved was approved for this.
        stop_sign = stop_sign or tripped(sight.pauses, subject, sight.now)
    return stop_sign or _no_longer_wanted(run, authority, sight) or target_taken(run, sight)


def _no_longer_wanted(run: Run, authority: Authority, sight: Sight) -> Refusal | None:
    evidence_at = sight.evidence_at(run)
    if evidence_at is None or not sight.firing(run):
        return Refusal(Verdict.RESOLVED, Verdict.RESOLVED.sentence)
    if authority.evidence_at is not None:
        evidence_at = max(evidence_at, authority.evidence_at)
    if sight.now - evidence_at > authority.limits.max_age:
        text = f"{Verdict.STALE.sentence} The last sign was {evidence_at:%Y-%m-%d %H:%M:%S} UTC."
        return Refusal(Verdict.STALE, text)
    return None


def _debited(wish: _Wish, sight: Sight, booked: list[dict[str, Any]]) -> Refusal | None:
    """Count the effect: the run's first record reserves the whole plan, later ones use what was reserved."""
    run, limits = wish.run, wish.authority.limits
    own = sight.entries[run.id, run.playbook]
    if _usable(own, wish.record) is None:
        refusal = over_limit(limits, sight.usage(run, limits), _wanted(wish, own), sight.now)
        if refusal is not None:
            return refusal
    # What caps count are entries of their own: they are reserved, used and given back as the playbook's are.
    for key in dict.fromkeys((run.playbook, *(cap.key for cap in limits.caps))):
        booked += _book(wish, sight, key)
    return None


def _usable(own: Mapping[str, str], record: Record) -> str | None:
    """Return the record's own entry, else one that is reserved and free."""
    return next((key for key, of in own.items() if of == record.id), None) or next(
        (key for key, of in own.items() if not of), None
    )


def _wanted(wish: _Wish, own: Mapping[str, str]) -> int:
    return max(1, wish.authority.effects, len(own) + 1)


def _book(wish: _Wish, sight: Sight, under: str) -> list[dict[str, Any]]:
    """Return the rows by which the effect counts ``under`` a playbook or cap, and count them for those after it."""
    run = wish.run
    own = sight.entries[run.id, under]
    usable = _usable(own, wish.record)
    new: list[str] = []
    if usable is None:
        new = [new_id() for _ in range(_wanted(wish, own) - len(own))]
        usable = new[0]
        for key in new:
            own[key] = ""
            sight.facts.book(under, Effect(run.target, sight.now, run.id))
    own[usable] = wish.record.id
    sight.facts.hold(under, run.id, run.target)
    shared = {"run_id": run.id, "playbook": under, "target": run.target, "at": sight.now}
    return [{"id": key, "record_id": own[key], **shared} for key in dict.fromkeys([usable, *new])]


def _dated(record: Record, now: datetime) -> Record:
    """Return the record with the instants of what has just become of it."""
    settled_at = record.settled_at or (None if record.state is RecordState.INTENDED else now)
    undone_at = record.undone_at or (now if record.state is RecordState.UNDONE else None)
    return replace(record, settled_at=settled_at, undone_at=undone_at)


def _entry(what: str, run: Run, record: Record) -> Audit:
    details = {"run": run.id, "step": record.step, "action": record.action, "target": record.target}
    if record.message:
        details["message"] = record.message
    return Audit(f"record.{what}", record.id, details=details)
