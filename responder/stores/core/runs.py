"""The runs' queue: claims, what a turn starts from, and what it leaves behind.

What many runs ask for at the same time is done for all of them in one transaction (``together.py``).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.limits import Limits, Refusal
from responder.domain.notification import Approval
from responder.domain.runs import Run
from responder.domain.targets import ancestors
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit, Standing
from responder.stores.core import rows
from responder.stores.core.database import Database, Order, Patch, Rows
from responder.stores.core.held import Around, Slot, entered, held_rows, ids_given, is_ours, look_around, lost
from responder.stores.core.overlap import conflicting
from responder.stores.core.part import Part, audit_values, claim_of, claiming, signs_in_force, write_audit
from responder.stores.core.prepared import NOW
from responder.stores.core.together import Together
from responder.stores.core.usage import Facts, read_facts
from responder.stores.schema import approvals, audit, playbooks, runs, slots

_CLAIM = claim_of(
    runs,
    runs.c.finished_at.is_(None) & (runs.c.due_at <= NOW) & (runs.c.rank_at <= NOW),
    [runs.c.rank_at],
    nudged=False,
)
_SLOT_TAKEN = {name: f"excluded.{name}" for name in ("run_id", "playbook", "epoch", "seq", "taken_at")}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call of ``save``."""

    run: Run
    audit: Sequence[Audit]
    ask: Approval | None


class RunsPart(Part):
    """The runs' queue."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        super().__init__(db)
        self._standing = Together(self._stand_all)
        self._save = Together(self._save_all)
        self._slot = Together(self._take_slots)

    async def claim_runs(self, limit: int) -> Sequence[Run]:
        """Lease due runs, the most severe first with ageing."""
        async with self.db.alone(Order.CLAIM) as tx:
            found = (await tx.execute(_CLAIM, claiming(self.now(), limit))).all()
        return [rows.run(row) for row in sorted(found, key=lambda row: (row.rank_at, row.id))]

    async def standing(self, run: Run, limits: Limits) -> Standing:
        """Read what a turn starts from."""
        return await self._standing((run, limits))

    async def _stand_all(self, asked: Sequence[tuple[Run, Limits]]) -> Sequence[Standing | Exception]:
        every = [run for run, _ in asked]
        async with self.db.reading() as tx:
            now = self.now()
            around = await look_around(self.db, self.prepared, tx, every)
            pauses, doubts = await signs_in_force(tx, now)
            questions = await self._questions(tx, every)
            records = defaultdict(list)
            of_runs = ids_given(self.db, (run.of_run or run.id for run in every))
            for row in await tx.execute(self.prepared.records, of_runs):
                records[row.run_id].append(rows.record(row))
            facts = await facts_for(self, tx, asked, now)
        return [
            Standing(
                firing=around.firing(run),
                evidence_at=around.evidence_at(run),
                pauses=pauses,
                approval=questions.get(run.id),
                records=tuple(records[run.of_run or run.id]),
                busy=around.busy(run),
                quarantined=next(conflicting(doubts, run.target), ""),
                usage=facts.usage((run.playbook, run.target), now, run.id),
                now=now,
                last_closed_at=around.closed_at(run),
            )
            for run in every
        ]

    async def _questions(self, tx: AsyncConnection, asked: Sequence[Run]) -> Mapping[str, Approval]:
        latest: dict[str, Approval] = {}
        for row in await tx.execute(self.prepared.asked, ids_given(self.db, (run.id for run in asked))):
            latest.setdefault(row.run_id, rows.approval(row))
        return latest

    async def playbook_text(self, revision: str) -> tuple[str, str] | None:
        """Return (file name, text) of a pinned playbook."""
        async with self.db.reading() as tx:
            query = select(playbooks.c.file, playbooks.c.text).where(playbooks.c.revision == revision)
            row = (await tx.execute(query)).one_or_none()
        return None if row is None else (row.file, row.text)

    async def save(self, run: Run, audit: Sequence[Audit] = (), ask: Approval | None = None) -> None:
        """Write the run as it is now and give the lease back."""
        await self._save(_Asked(run, audit, ask))

    async def _save_all(self, asked: Sequence[_Asked]) -> Sequence[Exception | None]:
        async with self.db.writing(Order.RECORD) as tx:
            now = self.now()
            held = await held_rows(self.db, self.prepared, tx, [one.run for one in asked])
            ours = [one for one in asked if is_ours(held, one.run)]
            asking = [one.ask for one in ours if one.ask is not None]
            if asking:
                await tx.execute(self.prepared.void_approvals, ids_given(self.db, (ask.run_id for ask in asking)))
            entries = [*entered(held, [one.run for one in ours]), *(entry for one in ours for entry in one.audit)]
            writes: list[Rows | Patch] = [
                Patch(runs, [_saved(one.run, held[one.run.id], now) for one in ours]),
                Rows(approvals, [rows.approval_values(ask) for ask in asking]),
                Rows(audit, audit_values(now, entries)),
            ]
            await self.db.write_rows(tx, writes)
            changed = (one.run.incident_id for one in ours if one.ask or held[one.run.id].state != one.run.state.value)
            await self.mark_dirty(tx, now, changed)
        return [None if one in ours else lost(one.run) for one in asked]

    async def take_slot(self, run: Run) -> Refusal | None:
        """Take the target's slot for ``run`` and write it as given; busy or quarantined refuses."""
        return await self._slot(run)

    async def _take_slots(self, asked: Sequence[Run]) -> Sequence[Refusal | Exception | None]:
        # The playbook's lock makes the order of the slots the order of their commits (see usage.py).
        # Shared locks above a target keep whoever takes one of those out, and let its neighbours in.
        alone = {name for run in asked for name in (f"slot/{run.target}", f"limit/{run.playbook}")}
        above = {f"slot/{name}" for run in asked for name in ancestors(run.target)}
        async with self.db.writing(Order.RECORD) as tx:
            await self.db.lock(tx, sorted(alone), shared=sorted(above))
            now = self.now()
            held = await held_rows(self.db, self.prepared, tx, asked)
            around = await look_around(self.db, self.prepared, tx, asked)
            _, doubts = await signs_in_force(tx, now)
            latest = await self._latest(tx, {run.playbook for run in asked})
            answers: list[Refusal | Exception | None] = []
            taken: list[Run] = []
            for run in asked:
                answer = _no_slot(run, held, around, doubts)
                answers.append(answer)
                if answer is None:
                    taken.append(run)
                    if not around.holds(run):
                        latest[run.playbook] += 1
                        around.slots[run.target] = Slot(run.id, latest[run.playbook])
            entries = [Audit("slot.taken", run.id, details={"target": run.target}) for run in taken]
            writes: list[Rows | Patch] = [
                Rows(slots, [_slot_values(run, around, now) for run in taken], ("target",), _SLOT_TAKEN),
                Patch(runs, [_begun(run, held[run.id], now) for run in taken]),
                Rows(audit, audit_values(now, [*entered(held, taken), *entries])),
            ]
            await self.db.write_rows(tx, writes)
            changed = (run.incident_id for run in taken if held[run.id].state != run.state.value)
            await self.mark_dirty(tx, now, changed)
        return answers

    async def _latest(self, tx: AsyncConnection, names: set[str]) -> dict[str, int]:
        given = {"playbooks_given": self.db.packed({"name": name} for name in sorted(names))}
        found = {row.playbook: row.seq for row in await tx.execute(self.prepared.latest_slots, given)}
        return {name: found.get(name, 0) for name in names}

    async def use_approval(self, run: Run, approval: Approval) -> bool:
        """Spend an approval, once."""
        now = self.now()
        async with self.db.writing(Order.RECORD) as tx:
            held = await held_rows(self.db, self.prepared, tx, [run])
            if not is_ours(held, run):
                raise lost(run)
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


async def facts_for(part: Part, tx: AsyncConnection, asked: Sequence[tuple[Run, Limits]], now: datetime) -> Facts:
    """Read what the limits of these runs go by, each as far back as it looks."""
    used: dict[str, datetime] = {}
    ended: dict[str, datetime] = {}
    for run, limits in asked:
        used[run.playbook] = min(used.get(run.playbook, now), now - limits.rate_window)
        ended[run.target] = min(ended.get(run.target, now), now - limits.end_window)
    return await read_facts(part.db, part.prepared, tx, used, ended)


def _saved(run: Run, held: Row[Any], now: datetime) -> dict[str, Any]:
    """Whatever happened while the turn was under way (a stop, a pause, an answer) makes the run due at once."""
    due = now if held.nudged else run.due_at
    timing = {"due_at": due, "rank_at": rows.rank_at(due, run.severity), "attempts": 0, "lease_until": None}
    return {"id": run.id, **rows.run_changes(run), **timing}


def _begun(run: Run, held: Row[Any], now: datetime) -> dict[str, Any]:
    return {"id": run.id, **rows.run_changes(run), "started_at": held.started_at or now}


def _slot_values(run: Run, around: Around, now: datetime) -> dict[str, Any]:
    return {
        "target": run.target,
        "run_id": run.id,
        "playbook": run.playbook,
        "epoch": run.epoch,
        "seq": around.slots[run.target].seq,
        "taken_at": now,
    }


def _no_slot(
    run: Run, held: Mapping[str, Row[Any]], around: Around, doubts: Mapping[str, str]
) -> Refusal | Exception | None:
    if not is_ours(held, run):
        return lost(run)
    other = around.busy(run)
    if other:
        return Refusal(Verdict.BUSY, f"{Verdict.BUSY.sentence} It is run {other}.")
    doubt = next(conflicting(doubts, run.target), "")
    if doubt and run.kind != "rollback":
        return Refusal(Verdict.QUARANTINED, f"{Verdict.QUARANTINED.sentence} {doubt}")
    return None
