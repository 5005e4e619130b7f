"""Another server has taken over (PostgreSQL): who held what no longer counts, and what it may have lost is in doubt.

A standby that follows asynchronously may lack the last commits. What this process remembers of them is written again;
of a run that was about to change something, and of which nobody remembers a record, nobody can tell: a person is asked.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.ids import new_id
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState, advance
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit, RunEnd
from responder.stores.core import rows
from responder.stores.core.database import Database, Patch, Rows, Write, upsert
from responder.stores.core.ending import Ending, EndingPart
from responder.stores.core.memory import Memory, Remembered, later
from responder.stores.core.part import audit_values, write_audit
from responder.stores.core.server import SERVER
from responder.stores.schema import audit, deliveries, ledger, meta, outbox, quarantines, records, runs, slots

_LEAP = 1000
"""More than the claims that can be lost with their commits: no turn that lives has an epoch that is given out anew."""
_LOST = "The store's server was replaced, and what was written last is lost"


class Takeover(EndingPart):
    """Meets a server: the same as before, or another one."""

    def __init__(self, db: Database, memory: Memory) -> None:
        """Work on ``db`` with what this process remembers."""
        super().__init__(db)
        self._memory = memory

    async def meet(self, tx: AsyncConnection, server: str, at: datetime | None) -> Mapping[str, int] | None:
        """Note which server it is; returns what was done when another one has taken over, None when it is the same.

        ``at`` is the store's time, None while the store is being opened.
        """
        await tx.execute(text("SET LOCAL statement_timeout = 0"))
        await self.db.lock(tx, [SERVER])
        kept = await tx.scalar(select(meta.c.value).where(meta.c.key == SERVER))
        if kept != server:
            await tx.execute(upsert(self.db, meta, "key"), {"key": SERVER, "value": server})
        now = datetime.now(UTC) if at is None else at
        done = Counter[str]()
        if kept is not None:
            # Also where another replica has met the server first: each remembers only its own commits.
            await self._write_again(tx, now, done)
        if kept in (None, server):
            return done if done.total() else None
        done["leases"] = await _void_leases(tx)
        done["in_doubt"] = await self._give_up_unrecorded(tx, now)
        await write_audit(tx, now, [Audit("store.server_changed", server, details={"before": kept, **done})])
        return done

    async def _write_again(self, tx: AsyncConnection, now: datetime, done: Counter[str]) -> None:
        recent = self._memory.recent()
        there = await _by_id(tx, records, [one.record.id for one in recent])
        known = await _by_id(tx, runs, [one.run.id for one in recent])
        for one in recent:
            row = there.get(one.record.id)
            if row is None:
                done["written_again"] += 1
                await self._restore(tx, now, one, known.get(one.run.id))
            elif later(one.record.state, RecordState(row.state)):
                done["written_again"] += 1
                await self.db.write_rows(tx, [Patch(records, [_changed(one)])])

    async def _restore(self, tx: AsyncConnection, now: datetime, one: Remembered, run: Row[Any] | None) -> None:
        """Write a record that was lost; its run goes on from there, or its target is in doubt where it cannot."""
        taken = await tx.scalar(select(slots.c.run_id).where(slots.c.target == one.run.target))
        goes_on = run is not None and run.finished_at is None and taken in (None, one.run.id)
        record = one.record
        if not goes_on and record.state is RecordState.INTENDED:
            record = replace(record, state=RecordState.UNCERTAIN, message=f"{_LOST}.")
        writes: list[Write] = [
            Rows(records, [rows.record_values(record)], ("id",)),
            Rows(audit, audit_values(now, [Audit("record.written_again", record.id, details={"run": one.run.id})])),
        ]
        if record.state is not RecordState.NOT_APPLIED:
            writes.append(Rows(ledger, [_counted(one)], ("id",)))
        if run is None or not goes_on:
            why = f"{_LOST}: run {one.run.id} may have changed this target."
            doubt = {"target": one.run.target, "reason": why, "run_id": one.run.id, "at": now}
            writes.append(Rows(quarantines, [doubt], ("target",)))
        else:
            begun = {"acted": True, "started_at": run.started_at or now}
            writes.append(Patch(runs, [{"id": one.run.id, **rows.run_changes(one.run), **begun}]))
            writes.append(Rows(slots, [_slot(one.run, now)], ("target",)))
        await self.db.write_rows(tx, writes)

    async def _give_up_unrecorded(self, tx: AsyncConnection, now: datetime) -> int:
        """End the runs that were about to change something and have no record of it: it may be lost."""
        open_record = select(records.c.run_id).where(
            records.c.run_id == runs.c.id, records.c.state.in_([RecordState.INTENDED, RecordState.UNCERTAIN])
        )
        applied = (
            select(func.count())
            .where(records.c.run_id == runs.c.id, records.c.state == RecordState.APPLIED.value)
            .scalar_subquery()
        )
        found = await tx.execute(
            select(runs, applied.label("done")).where(
                runs.c.state == RunState.ACTING.value, runs.c.finished_at.is_(None), ~open_record.exists()
            )
        )
        every = [(rows.run(row), row.done) for row in found]
        doubted = [run for run, made in every if made < max(1, len(run.progress.plan))]
        if doubted:
            await self.finish_in(tx, now, [_unsure(run) for run in doubted])
        return len(doubted)


async def _by_id(tx: AsyncConnection, table: Any, ids: Sequence[str]) -> Mapping[str, Row[Any]]:  # noqa: ANN401 - a table
    found = await tx.execute(select(table).where(table.c.id.in_(sorted(set(ids)))))
    return {row.id: row for row in found}


async def _void_leases(tx: AsyncConnection) -> int:
    """Free every row that somebody may hold, and make sure that whoever does cannot write it any more."""
    voided = 0
    for table, may_be_held in (
        (deliveries, deliveries.c.state == "waiting"),
        (runs, runs.c.finished_at.is_(None)),
        (outbox, (outbox.c.told_rev < outbox.c.want_rev) | outbox.c.lease_until.is_not(None)),
    ):
        changed = await tx.execute(
            update(table).where(may_be_held).values(lease_until=None, epoch=table.c.epoch + _LEAP)
        )
        voided += changed.rowcount
    return voided


def _changed(one: Remembered) -> dict[str, Any]:
    return {"id": one.record.id, **rows.record_changes(one.record)}


def _counted(one: Remembered) -> dict[str, Any]:
    return {
        "id": new_id(),
        "record_id": one.record.id,
        "run_id": one.run.id,
        "playbook": one.run.playbook,
        "target": one.run.target,
        "at": one.record.created_at,
    }


def _slot(run: Run, now: datetime) -> dict[str, Any]:
    target = {"target": run.target, "run_id": run.id, "playbook": run.playbook}
    return {**target, "epoch": run.epoch, "seq": 0, "taken_at": now}


def _unsure(run: Run) -> Ending:
    reason = f"{_LOST}: nobody can tell whether this run has changed {run.target}."
    end = RunEnd(needs_person=f"{run.playbook}: {reason}", quarantine=f"Run {run.id}: {reason}")
    return Ending(advance(run, "unsure", Verdict.UNCERTAIN, reason), end)
