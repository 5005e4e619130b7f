"""The runs' queue: claims, what a turn starts from, and what it leaves behind."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, case, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.errors import Conflict
from responder.domain.limits import Refusal
from responder.domain.notification import Approval
from responder.domain.records import Record
from responder.domain.runs import Run
from responder.domain.targets import ancestors
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit, RunEnd, Standing
from responder.stores.core import rows
from responder.stores.core.database import Database, Order, upsert
from responder.stores.core.ending import close_if_over, hold, latch, unlatch
from responder.stores.core.part import (
    Part,
    claim_of,
    joined_episodes_due,
    mark_dirty,
    one_row,
    pauses_in_force,
    write_audit,
)
from responder.stores.core.prepared import (
    ASKED,
    DOUBT_NEAR,
    FINISH_RUN,
    FREE_BUDGET,
    FREE_SLOT,
    HELD,
    LATEST_SLOT,
    LOCK_EPISODES,
    RECORDS,
    SITUATION,
    SLOTS_NEAR,
    START_RUN,
    VOID_APPROVALS,
    near,
)
from responder.stores.core.types import Instant
from responder.stores.core.usage import read_usage
from responder.stores.schema import (
    approvals,
    playbooks,
    quarantines,
    runs,
    slots,
)


class RunsPart(Part):
    """The runs' queue."""

    async def claim_runs(self, limit: int) -> Sequence[Run]:
        """Lease due runs, the most severe first with ageing."""
        now = self.now()
        claim = claim_of(
            runs,
            runs.c.finished_at.is_(None) & (runs.c.due_at <= now) & (runs.c.rank_at <= now),
            [runs.c.rank_at],
            now,
            limit,
        )
        async with self.db.writing(Order.CLAIM) as tx:
            found = (await tx.execute(claim.values(nudged=False))).all()
        return [rows.run(row) for row in sorted(found, key=lambda row: (row.rank_at, row.id))]

    async def standing(self, run: Run, since: datetime) -> Standing:
        """Read what a turn starts from."""
        now = self.now()
        async with self.db.reading() as tx:
            joined = await situation(tx, run)
            asked = (await tx.execute(ASKED, {"this_run": run.id})).one_or_none()
            usage = await read_usage(self.db, tx, [(run.playbook, run.target)], since, now=now, own=run.id)
            return Standing(
                firing=bool(joined.open),
                evidence_at=joined.evidence_at,
                pauses=await pauses_in_force(tx, now),
                approval=None if asked is None else rows.approval(asked),
                records=await records_of(tx, run.of_run or run.id),
                busy=joined.busy or "",
                quarantined=joined.doubt or "",
                usage=usage[run.playbook, run.target],
                now=now,
                last_closed_at=joined.closed_at,
            )

    async def playbook_text(self, revision: str) -> tuple[str, str] | None:
        """Return (file name, text) of a pinned playbook."""
        async with self.db.reading() as tx:
            query = select(playbooks.c.file, playbooks.c.text).where(playbooks.c.revision == revision)
            row = (await tx.execute(query)).one_or_none()
        return None if row is None else (row.file, row.text)

    async def save(self, run: Run, audit: Sequence[Audit] = (), ask: Approval | None = None) -> None:
        """Write the run as it is now and give the lease back."""
        now = self.now()
        async with self.db.writing(Order.RECORD) as tx:
            before = await state_before(tx, run)
            # Whatever happened while the turn was under way (a stop, a pause, an answer) makes it due at once.
            written = await tx.execute(
                update(runs)
                .where(runs.c.id == run.id, runs.c.epoch == run.epoch)
                .values(
                    **rows.run_changes(run),
                    due_at=case((runs.c.nudged, literal(now, Instant)), else_=literal(run.due_at, Instant)),
                    rank_at=case(
                        (runs.c.nudged, literal(rows.rank_at(now, run.severity), Instant)),
                        else_=literal(rows.rank_at(run.due_at, run.severity), Instant),
                    ),
                    attempts=0,
                    lease_until=None,
                ),
            )
            one_row(written, f"run {run.id}")
            if ask is not None:
                await void_approvals(tx, run.id)
                await tx.execute(approvals.insert(), rows.approval_values(ask))
            if before != run.state.value or ask is not None:
                await mark_dirty(tx, now, [run.incident_id])
            await write_audit(tx, now, [*transition(before, run), *audit])

    async def take_slot(self, run: Run) -> Refusal | None:
        """Take the target's slot for ``run`` and write it as given; busy or quarantined refuses."""
        now = self.now()
        async with self.db.writing(Order.RECORD) as tx:
            # The playbook's lock makes the order of the slots the order of their commits (see usage.py).
            # Shared locks above the target keep whoever takes one of those out, and let its neighbours in.
            above = [f"slot/{name}" for name in ancestors(run.target)]
            await self.db.lock(tx, [f"slot/{run.target}", f"limit/{run.playbook}"], shared=above)
            before = await state_before(tx, run)
            held = (await tx.execute(SLOTS_NEAR, near(run.target))).all()
            other = next((row.run_id for row in held if row.run_id != run.id), None)
            if other is not None:
                return Refusal(Verdict.BUSY, f"{Verdict.BUSY.sentence} It is run {other}.")
            doubt = await quarantine_of(tx, run.target)
            if doubt and run.kind != "rollback":
                return Refusal(Verdict.QUARANTINED, f"{Verdict.QUARANTINED.sentence} {doubt}")
            latest = await tx.scalar(LATEST_SLOT, {"playbook": run.playbook})
            await tx.execute(
                upsert(self.db, slots, "target"),
                {
                    "target": run.target,
                    "run_id": run.id,
                    "playbook": run.playbook,
                    "epoch": run.epoch,
                    "seq": held[0].seq if held else (latest or 0) + 1,
                    "taken_at": now,
                },
            )
            written = await tx.execute(START_RUN, {**rows.run_changes(run), **_lease_of(run), "now": now})
            one_row(written, f"run {run.id}")
            if before != run.state.value:
                await mark_dirty(tx, now, [run.incident_id])
            taken = Audit("slot.taken", run.id, details={"target": run.target})
            await write_audit(tx, now, [*transition(before, run), taken])
        return None

    async def finish(self, run: Run, end: RunEnd, audit: Sequence[Audit] = ()) -> None:
        """Write a final state and everything that follows from it."""
        now = self.now()
        async with self.db.writing(Order.RECORD) as tx:
            await finish_in(tx, self.db, now, run, end)
            await write_audit(tx, now, audit)

    async def use_approval(self, run: Run, approval: Approval) -> bool:
        """Spend an approval, once."""
        now = self.now()
        async with self.db.writing(Order.RECORD) as tx:
            await state_before(tx, run)
            spent = await tx.execute(
                update(approvals)
                .where(
                    approvals.c.id == approval.id,
                    approvals.c.run_id == run.id,
                    approvals.c.state == "approved",
                    approvals.c.plan_hash == approval.plan_hash,
                    approvals.c.expires_at > now,
                )
                .values(state="spent"),
            )
            if spent.rowcount != 1:
                return False
            await write_audit(tx, now, [Audit("approval.spent", run.id, details={"approval": approval.id})])
        return True


async def finish_in(tx: AsyncConnection, db: Database, now: datetime, run: Run, end: RunEnd) -> None:
    """Write a run's end in ``tx``, in the lock order: episodes, incident, slot, ledger, run, outbox."""
    await tx.execute(LOCK_EPISODES, {"this_run": run.id})
    await hold(tx, run.incident_id)
    if end.needs_person:
        await latch(tx, run.incident_id, run.id, end.needs_person)
    if end.clear_person:
        await unlatch(tx, run.incident_id, [run.id, run.of_run])
    await tx.execute(FREE_SLOT, {"this_run": run.id})
    if end.quarantine:
        doubt = {"target": run.target, "reason": end.quarantine, "run_id": run.id, "at": now}
        await tx.execute(upsert(db, quarantines, "target"), doubt)
        details = {"reason": end.quarantine, "run": run.id}
        await write_audit(tx, now, [Audit("target.quarantined", run.target, details=details)])
    await tx.execute(FREE_BUDGET, {"this_run": run.id})
    before = await state_before(tx, run)
    finished = replace(run, finished_at=run.finished_at or now)
    written = await tx.execute(FINISH_RUN, {**rows.run_changes(finished), **_lease_of(run)})
    one_row(written, f"run {run.id}")
    await void_approvals(tx, run.id)
    if end.retry_at is not None:
        await joined_episodes_due(tx, run.id, end.retry_at, end.after)
    await close_if_over(tx, now, run.incident_id)
    await mark_dirty(tx, now, [run.incident_id])
    await write_audit(tx, now, transition(before, run))


async def state_before(tx: AsyncConnection, run: Run) -> str:
    """Hold the run's row and return its state; raises Conflict when its lease was lost."""
    return str((await held_row(tx, run)).state)


async def held_row(tx: AsyncConnection, run: Run) -> Row[Any]:
    """Hold the run's row and return its state and who asked to stop it; raises Conflict when its lease was lost."""
    row: Row[Any] | None = (await tx.execute(HELD, {"this_run": run.id})).one_or_none()
    if row is None or row.epoch != run.epoch:
        raise Conflict(f"the lease of run {run.id} was lost")
    return row


def _lease_of(run: Run) -> dict[str, Any]:
    return {"this_run": run.id, "run_epoch": run.epoch}


def transition(before: str, run: Run) -> list[Audit]:
    """Return the audit entry of a run that left the state ``before``, none when it did not."""
    if before == run.state.value:
        return []
    details = {"from": before, "verdict": run.verdict.value if run.verdict else "", "reason": run.reason}
    return [Audit(f"run.{run.state.value}", run.id, details=dict(details))]


async def situation(tx: AsyncConnection, run: Run) -> Row[Any]:
    """Return what is so around a run: whether its alert fires, and who or what is near its target."""
    parameters = {"this_run": run.id, "target": run.target, **near(run.target)}
    around: Row[Any] = (await tx.execute(SITUATION, parameters)).one()
    return around


async def records_of(tx: AsyncConnection, run_id: str) -> tuple[Record, ...]:
    """Return a run's records, in the order in which they were made."""
    return tuple(rows.record(row) for row in await tx.execute(RECORDS, {"this_run": run_id}))


async def quarantine_of(tx: AsyncConnection, target: str) -> str:
    """Return why the target (or one above or below) is in doubt, empty when it is not."""
    return str(await tx.scalar(DOUBT_NEAR, near(target)) or "")


async def void_approvals(tx: AsyncConnection, run_id: str) -> None:
    """Take back what is still open or unspent."""
    await tx.execute(VOID_APPROVALS, {"this_run": run_id})
