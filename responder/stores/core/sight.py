"""What a transaction of several runs holds and sees: locked rows, their alerts, the slots around their targets."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.errors import Conflict
from responder.domain.limits import Limits, Pause, Usage
from responder.domain.runs import Run
from responder.domain.suspicion import Suspicion
from responder.ports.store import Audit
from responder.stores.core import rows
from responder.stores.core.database import Database
from responder.stores.core.overlap import conflicting, near_given
from responder.stores.core.prepared import Prepared
from responder.stores.core.usage import Facts, Reach, usage_given


def ids_given(db: Database, run_ids: Iterable[str]) -> dict[str, Any]:
    """Return the parameter of the statements that are about runs."""
    return db.give("runs_given", key=sorted(set(run_ids)))


async def held_rows(
    db: Database, prepared: Prepared, tx: AsyncConnection, asked: Iterable[Run]
) -> Mapping[str, Row[Any]]:
    """Lock the runs' rows and return them by id."""
    return {row.id: row for row in await db.fetch(tx, prepared.held, ids_given(db, (run.id for run in asked)))}


def is_ours(held: Mapping[str, Row[Any]], run: Run) -> bool:
    """Say whether the lease under which ``run`` was claimed still lives."""
    row = held.get(run.id)
    return row is not None and row.epoch == run.epoch


def lost(run: Run) -> Conflict:
    """Return what is raised when the lease was lost."""
    return Conflict(f"the lease of run {run.id} was lost")


def entered(held: Mapping[str, Row[Any]], asked: Iterable[Run]) -> list[Audit]:
    """Return the audit entries of the runs that left the states in which they were held."""
    return [
        Audit(
            f"run.{run.state.value}",
            run.id,
            details={
                "from": held[run.id].state,
                "verdict": run.verdict.value if run.verdict else "",
                "reason": run.reason,
            },
        )
        for run in asked
        if held[run.id].state != run.state.value
    ]


@dataclass(frozen=True, slots=True)
class Slot:
    """Who holds a target; ``seq`` orders the slots of a playbook."""

    run: str
    seq: int


class Sight:
    """What is so around some runs at ``now``. What a transaction gives away it adds, so that the next run sees it."""

    def __init__(self, now: datetime, found: Iterable[Row[Any]], suspicion: Suspicion | None = None) -> None:
        """Sort the rows of ``Prepared.sight``."""
        self.now = now
        self.suspicion = suspicion
        self.slots: dict[str, Slot] = {}
        self.pauses: list[Pause] = []
        self.doubts: dict[str, str] = {}
        self.facts = Facts()
        self.entries: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        """What each run has in the ledger, by the playbook or cap under which it is counted: entry to record."""
        self.record_states: dict[str, str] = {}
        self._joined: dict[str, Row[Any]] = {}
        self._begun: Counter[str] = Counter()
        for row in found:
            self._add(row)
        self.pauses.sort(key=lambda one: (one.created_at, one.id))

    def _add(self, row: Row[Any]) -> None:
        match row.what:
            case "joined":
                self._joined[row.a] = row
            case "slot":
                self.slots[row.a] = Slot(row.b, row.number)
            case "pause":
                self.pauses.append(rows.pause(row))
            case "doubt":
                self.doubts[row.a] = row.b
            case "entry":
                self.entries[row.b, row.d][row.a] = row.c
            case "record":
                self.record_states[row.a] = row.b
            case _:
                self.facts.add(row)

    def firing(self, run: Run) -> bool:
        """Say whether an episode that the run serves is open."""
        row = self._joined.get(run.id)
        return row is not None and bool(row.number)

    def evidence_at(self, run: Run) -> datetime | None:
        """Return the last sign that it fires."""
        row = self._joined.get(run.id)
        return None if row is None else row.at

    def closed_at(self, run: Run) -> datetime | None:
        """Return when the last of them closed."""
        row = self._joined.get(run.id)
        return None if row is None else row.at2

    def busy(self, run: Run) -> str:
        """Return another run that is in the way, empty when none is."""
        return next((slot.run for slot in conflicting(self.slots, run.target) if slot.run != run.id), "")

    def holds(self, run: Run) -> bool:
        """Say whether the run holds its target."""
        slot = self.slots.get(run.target)
        return slot is not None and slot.run == run.id

    def take(self, run: Run) -> None:
        """Give the run its target, unless it has it: those after it find it taken, and count it."""
        if not self.holds(run):
            self.facts.latest[run.playbook] += 1
            self.slots[run.target] = Slot(run.id, self.facts.latest[run.playbook])
            self._begun[run.playbook] += 1

    def usage(self, run: Run, limits: Limits) -> Usage:
        """Return what the run's limits go by; whoever was given its target before the run was, counts."""
        usage = self.facts.usage((run.playbook, run.target), self.now, run.id, [cap.key for cap in limits.caps])
        return usage if self.holds(run) else replace(usage, running=usage.running + self._begun[run.playbook])

    def doubt(self, run: Run) -> str:
        """Return why nobody knows what is at the run's target, empty when it is not in doubt."""
        return next(conflicting(self.doubts, run.target), "")


async def look(
    db: Database,
    prepared: Prepared,
    tx: AsyncConnection,
    asked: Sequence[tuple[Run, Limits]],
    record_ids: Collection[str] = (),
) -> Sight:
    """Read, in one statement, what is so around the runs and what their limits go by."""
    now = db.now()
    reach = Reach.of((((run.playbook, run.target), limits) for run, limits in asked), now)
    counted = {(run.id, run.playbook) for run, limits in asked if limits.concurrent is not None}
    given = {
        **ids_given(db, (run.id for run, _ in asked)),
        **near_given(db, [run.target for run, _ in asked]),
        **usage_given(db, reach, counted),
        **db.give("records_given", key=sorted(record_ids)),
        "now": now,
    }
    query = prepared.capped_sight if reach.caps else prepared.sight
    sight = Sight(now, await db.fetch(tx, query, given), db.suspicion())
    sight.pauses += await db.brakes.in_force()
    return sight
