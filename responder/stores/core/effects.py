"""The effect protocol's commits (engine.md): nothing is sent before its record stands here."""

import functools
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.errors import Conflict
from responder.domain.ids import new_id
from responder.domain.limits import Refusal, over_limit, paused
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit, Authority
from responder.stores.core import rows
from responder.stores.core.database import Insert, Order
from responder.stores.core.part import Part, one_row, pauses_in_force, write_audit
from responder.stores.core.prepared import ACTED, DEBIT, FREE_LEDGER, OWN_LEDGER, USE_LEDGER, WRITE_RECORD
from responder.stores.core.runs import held_row, situation, state_before
from responder.stores.core.usage import read_usage
from responder.stores.schema import records

_NOTHING_HAPPENED = frozenset({RecordState.INTENDED, RecordState.NOT_APPLIED})


class EffectsPart(Part):
    """Authorises effects and writes down what became of them."""

    @functools.cached_property
    def _keep_record(self) -> Insert:
        """Inserts a record; one that is still only intended is sent again, with another fence."""
        insert = self.db.insert(records)
        return insert.on_conflict_do_update(
            index_elements=["id"],
            set_={"fence": insert.excluded.fence},
            where=records.c.state == RecordState.INTENDED.value,
        )

    async def intend(self, run: Run, record: Record, authority: Authority) -> Refusal | None:
        """Authorise a forward effect and commit its record as ``intended``, in one transaction."""
        async with self.db.writing(Order.RECORD) as tx:
            await self.db.lock(tx, [f"limit/{run.playbook}", f"limit/{run.playbook}/{run.target}"])
            now = self.now()  # after the locks: what was committed before them lies before it
            refusal = await self._refused(tx, run, authority, now) or await self._debit(tx, run, record, authority, now)
            if refusal is not None:
                return refusal
            written = await tx.execute(self._keep_record, rows.record_values(record))
            if written.rowcount != 1:
                raise Conflict(f"record {record.id} was settled already")
            await write_audit(tx, now, [_entry("record.intended", run, record)])
        return None

    async def intend_undo(self, run: Run, record: Record) -> Refusal | None:
        """Commit ``undo_intended``; refused by a halt only."""
        async with self.db.writing(Order.RECORD) as tx:
            await state_before(tx, run)
            now = self.now()
            halts = [pause for pause in await pauses_in_force(tx, now) if pause.kind == "halt"]
            refusal = paused(halts, run.playbook, run.target, now)
            if refusal is not None:
                return refusal
            await self._write(tx, run, record)
            await write_audit(tx, now, [_entry("record.undo_intended", run, record)])
        return None

    async def settle(self, run: Run, record: Record) -> None:
        """Write the record's state, observed image, evidence and message."""
        async with self.db.writing(Order.RECORD) as tx:
            await state_before(tx, run)
            now = self.now()
            await self._write(tx, run, _dated(record, now))
            if record.state is RecordState.NOT_APPLIED:
                # What certainly did not happen does not count; the plan keeps its reservation for another try.
                await tx.execute(FREE_LEDGER, {"record": record.id})
            if record.state not in _NOTHING_HAPPENED:
                await tx.execute(ACTED, {"this_run": run.id})
            await write_audit(tx, now, [_entry(f"record.{record.state.value}", run, record)])

    async def _write(self, tx: AsyncConnection, run: Run, record: Record) -> None:
        which = {"of_record": record.id, "of_run_id": run.of_run or run.id}
        written = await tx.execute(WRITE_RECORD, {**rows.record_changes(record), **which})
        one_row(written, f"record {record.id}")

    async def _refused(self, tx: AsyncConnection, run: Run, authority: Authority, now: datetime) -> Refusal | None:
        row = await held_row(tx, run)
        if authority.protected:
            return Refusal(Verdict.PROTECTED, Verdict.PROTECTED.sentence)
        if row.stop_by:
            return Refusal(Verdict.STOPPED, f"{Verdict.STOPPED.sentence} {row.stop_by}")
        stop_sign = paused(await pauses_in_force(tx, now), run.playbook, run.target, now)
        if stop_sign is not None:
            return stop_sign
        around = await situation(tx, run)
        return _no_longer_wanted(around, authority, now) or _target_taken(around, run)

    async def _debit(
        self, tx: AsyncConnection, run: Run, record: Record, authority: Authority, now: datetime
    ) -> Refusal | None:
        """Count the effect: the run's first record reserves the whole plan, later ones use what was reserved."""
        own = (await tx.execute(OWN_LEDGER, {"this_run": run.id})).all()
        usable = next((row.id for row in own if row.record_id == record.id), None) or next(
            (row.id for row in own if not row.record_id), None
        )
        if usable is not None:
            await tx.execute(USE_LEDGER, {"ledger_id": usable, "record": record.id, "now": now})
            return None
        need = max(1, authority.effects, len(own) + 1)
        pair = (run.playbook, run.target)
        since = now - authority.limits.longest_window
        usage = (await read_usage(self.db, tx, [pair], since, now=now, own=run.id))[pair]
        refusal = over_limit(authority.limits, usage, need, now)
        if refusal is not None:
            return refusal
        row = {"run_id": run.id, "playbook": run.playbook, "target": run.target, "at": now}
        await tx.execute(
            DEBIT,
            [{**row, "id": new_id(), "record_id": record.id if place == 0 else ""} for place in range(need - len(own))],
        )
        return None


def _dated(record: Record, now: datetime) -> Record:
    """Return the record with the instants of what has just become of it."""
    settled_at = record.settled_at or (None if record.state is RecordState.INTENDED else now)
    undone_at = record.undone_at or (now if record.state is RecordState.UNDONE else None)
    return replace(record, settled_at=settled_at, undone_at=undone_at)


def _no_longer_wanted(around: Row[Any], authority: Authority, now: datetime) -> Refusal | None:
    if not around.open:
        return Refusal(Verdict.RESOLVED, Verdict.RESOLVED.sentence)
    if now - around.evidence_at > authority.limits.max_age:
        text = f"{Verdict.STALE.sentence} The last sign was {around.evidence_at:%Y-%m-%d %H:%M:%S} UTC."
        return Refusal(Verdict.STALE, text)
    return None


def _target_taken(around: Row[Any], run: Run) -> Refusal | None:
    if around.holder != run.id:
        return Refusal(Verdict.BUSY, f"{Verdict.BUSY.sentence} This run does not hold its slot.")
    if around.doubt:
        return Refusal(Verdict.QUARANTINED, f"{Verdict.QUARANTINED.sentence} {around.doubt}")
    return None


def _entry(action: str, run: Run, record: Record) -> Audit:
    details = {"run": run.id, "step": record.step, "action": record.action, "target": record.target}
    return Audit(action, record.id, details={**details, "message": record.message} if record.message else details)
