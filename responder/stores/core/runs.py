"""The runs' queue: claims, what a turn starts from, and what it leaves behind.

What many runs ask for at the same time is done for all of them in one transaction (``together.py``).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.limits import NO_LIMITS, Limits, Refusal
from responder.domain.notification import Approval
from responder.domain.records import Record
from responder.domain.runs import HOLDS_SLOT, Run, RunState
from responder.ports.queues import NO_REST
from responder.ports.store import Audit, Standing
from responder.stores.core import rows
from responder.stores.core.database import Database, Dirty, Gone, Order, Patch, Rows, Write
from responder.stores.core.lives import end_leases
from responder.stores.core.overlap import ranges_below
from responder.stores.core.part import Part, audit_values, claiming, held_by, write_audit
from responder.stores.core.sight import entered, held_rows, ids_given, is_ours, look, lost
from responder.stores.core.targets import begun, lock_targets, target_taken
from responder.stores.core.together import Together
from responder.stores.schema import approvals, audit, ledger, playbooks, runs, slots

_PAST_STEPS = frozenset({RunState.VERIFYING, RunState.UNDOING})


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
        self._alerts = Together(self._alerts_of_all)
        self._save = Together(self._save_all)
        self._slot = Together(self._take_slots)

    async def claim_runs(self, limit: int, skip: Collection[str] = ()) -> Sequence[Run]:
        """Lease due runs, the most severe first with ageing."""
        left = sorted(skip)
        given = {**claiming(self.db, limit), **held_by(self.db)}
        given |= self.db.give("skipped", target=left, **ranges_below(left))
        async with self.db.alone(Order.CLAIM) as tx:
            found = await self.db.fetch(tx, self.prepared.claim_runs, given)
        return [rows.run(row) for row in sorted(found, key=lambda row: (row.rank_at, row.id))]

    async def give_back(self, under_way: Collection[str], settles: timedelta, rest: timedelta = NO_REST) -> int:
        """End the leases of what this process has claimed and does not work on any more; that counts as no attempt."""
        left = (runs.c.holder == self.db.life) & runs.c.id.not_in(sorted(under_way))
        async with self.db.writing(Order.CLAIM) as tx:
            ended = await end_leases(self.db, tx, left, settles, rest)
        return ended.free + ended.in_doubt

    async def standing(self, run: Run, limits: Limits) -> Standing:
        """Read what a turn starts from."""
        return await self._standing((run, limits))

    async def _stand_all(self, asked: Sequence[tuple[Run, Limits]]) -> Sequence[Standing | Exception]:
        every = [run for run, _ in asked]
        async with self.db.reading() as tx:
            sight = await look(self.db, self.prepared, tx, asked)
            questions = await self._questions(tx, every)
            records = await self._records(tx, every)
        return [
            Standing(
                firing=sight.firing(run),
                evidence_at=sight.evidence_at(run),
                pauses=sight.pauses,
                approval=questions.get(run.id),
                records=tuple(records.get(run.of_run or run.id, ())),
                busy=sight.busy(run),
                quarantined=sight.doubt(run),
                usage=sight.facts.usage(
                    (run.playbook, run.target), sight.now, run.id, [cap.key for cap in limits.caps]
                ),
                now=sight.now,
                suspicion=sight.suspicion,
                last_closed_at=sight.closed_at(run),
            )
            for run, limits in asked
        ]

    async def _records(self, tx: AsyncConnection, asked: Sequence[Run]) -> Mapping[str, list[Record]]:
        """Return the records by run; a run that never began has none."""
        found: dict[str, list[Record]] = defaultdict(list)
        begun = [run.of_run or run.id for run in asked if run.of_run or run.started_at is not None]
        if begun:
            for row in await self.db.fetch(tx, self.prepared.records, ids_given(self.db, begun)):
                found[row.run_id].append(rows.record(row))
        return found

    async def _questions(self, tx: AsyncConnection, asked: Sequence[Run]) -> Mapping[str, Approval]:
        latest: dict[str, Approval] = {}
        asking = [run for run in asked if run.progress.asked]
        if not asking:
            return latest
        for row in await self.db.fetch(tx, self.prepared.asked, ids_given(self.db, (run.id for run in asking))):
            latest.setdefault(row.run_id, rows.approval(row))
        return latest

    async def alerts_of(self, run: Run) -> Sequence[tuple[str, str]]:
        """Return (source, fingerprint) of the open episodes that the run serves."""
        return await self._alerts(run)

    async def _alerts_of_all(self, asked: Sequence[Run]) -> Sequence[Sequence[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {run.id: [] for run in asked}
        async with self.db.reading() as tx:
            for row in await self.db.fetch(tx, self.prepared.alerts, ids_given(self.db, found)):
                found[row.run_id].append((row.source, row.fingerprint))
        return [found[run.id] for run in asked]

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
            asked_no_more = [one.run.id for one in ours if _asks_no_more(one.run, held)]
            # Who asks anew for a plan that has changed holds nothing meanwhile.
            free = [one.run.id for one in ours if _gives_back(one.run, held)]
            if asking or asked_no_more:
                closed = {*asked_no_more, *(ask.run_id for ask in asking)}
                await self.db.fetch(tx, self.prepared.void_approvals, ids_given(self.db, closed))
            entries = [*entered(held, [one.run for one in ours]), *(entry for one in ours for entry in one.audit)]
            writes: list[Write] = [
                Patch(runs, [_saved(one.run, held[one.run.id], now) for one in ours]),
                Rows(approvals, [rows.approval_values(ask) for ask in asking]),
                Gone(slots, [{"run_id": one} for one in free]),
                Gone(ledger, [{"run_id": one, "record_id": ""} for one in free]),
                Rows(audit, audit_values(now, entries)),
                Dirty([one.run.incident_id for one in ours if one.ask or _moved(one.run, held)], now),
            ]
            await self.db.write_rows(tx, writes)
        return [None if one in ours else lost(one.run) for one in asked]

    async def take_slot(self, run: Run) -> Refusal | None:
        """Take the target's slot for ``run`` and write it as given; busy or quarantined refuses."""
        return await self._slot(run)

    async def _take_slots(self, asked: Sequence[Run]) -> Sequence[Refusal | Exception | None]:
        async with self.db.writing(Order.RECORD) as tx:
            await lock_targets(self.db, tx, asked)
            held = await held_rows(self.db, self.prepared, tx, asked)
            sight = await look(self.db, self.prepared, tx, [(run, NO_LIMITS) for run in asked])
            answers: list[Refusal | Exception | None] = []
            for run in asked:
                seen = is_ours(held, run) and held[run.id].stop_by == run.stop_by  # a stop may have come since
                answers.append(target_taken(run, sight) if seen else lost(run))
                if answers[-1] is None:
                    sight.take(run)
            taken = [run for run, answer in zip(asked, answers, strict=True) if answer is None]
            await self.db.write_rows(tx, begun(taken, held, sight))
        return answers

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


def _gives_back(run: Run, held: Mapping[str, Row[Any]]) -> bool:
    return held[run.id].state in HOLDS_SLOT and run.state not in HOLDS_SLOT


def _asks_no_more(run: Run, held: Mapping[str, Row[Any]]) -> bool:
    """Say whether a run left its steps, maybe at a question: with its alert, or because a person stopped it."""
    return bool(run.progress.asked) and held[run.id].state == RunState.ACTING.value and run.state in _PAST_STEPS


def _moved(run: Run, held: Mapping[str, Row[Any]]) -> bool:
    """Say whether there is news of a run: where it stands, or why it does not get on."""
    return bool((held[run.id].state, held[run.id].reason) != (run.state.value, run.reason))


def _saved(run: Run, held: Row[Any], now: datetime) -> dict[str, Any]:
    """Whatever happened while the turn was under way (a stop, a pause, an answer) makes the run due at once."""
    due = now if held.nudged else run.due_at
    timing = {"due_at": due, "rank_at": rows.rank_at(due, run.severity), "attempts": 0, "lease_until": None}
    return {"id": run.id, **rows.run_changes(run), **timing}
