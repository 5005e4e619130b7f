"""What a transaction of several runs holds and sees: locked rows, their alerts, the slots around their targets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.errors import Conflict
from responder.domain.runs import Run
from responder.ports.store import Audit
from responder.stores.core.database import Database
from responder.stores.core.overlap import conflicting, near_given
from responder.stores.core.prepared import Prepared


def ids_given(db: Database, run_ids: Iterable[str]) -> dict[str, str]:
    """Return the parameter of the statements that are about runs."""
    return {"runs_given": db.packed({"id": one} for one in sorted(set(run_ids)))}


async def held_rows(
    db: Database, prepared: Prepared, tx: AsyncConnection, asked: Iterable[Run]
) -> Mapping[str, Row[Any]]:
    """Lock the runs' rows and return them by id."""
    return {row.id: row for row in await tx.execute(prepared.held, ids_given(db, (run.id for run in asked)))}


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


class Around:
    """What is so around some runs."""

    def __init__(self, joined: Mapping[str, Row[Any]], slots: dict[str, Slot]) -> None:
        """``joined`` tells by run of its episodes, ``slots`` by target who holds it."""
        self._joined = joined
        self.slots = slots

    def firing(self, run: Run) -> bool:
        """Say whether an episode that the run serves is open."""
        row = self._joined.get(run.id)
        return row is not None and bool(row.open)

    def evidence_at(self, run: Run) -> datetime | None:
        """Return the last sign that it fires."""
        row = self._joined.get(run.id)
        return None if row is None else row.evidence_at

    def closed_at(self, run: Run) -> datetime | None:
        """Return when the last of them closed."""
        row = self._joined.get(run.id)
        return None if row is None else row.closed_at

    def busy(self, run: Run) -> str:
        """Return another run that is in the way, empty when none is."""
        return next((slot.run for slot in conflicting(self.slots, run.target) if slot.run != run.id), "")

    def holds(self, run: Run) -> bool:
        """Say whether the run holds its target."""
        slot = self.slots.get(run.target)
        return slot is not None and slot.run == run.id


async def look_around(db: Database, prepared: Prepared, tx: AsyncConnection, asked: Sequence[Run]) -> Around:
    """Read what is so around the runs, now."""
    joined = await tx.execute(prepared.joined, ids_given(db, (run.id for run in asked)))
    by_run = {row.run_id: row for row in joined}
    near = await tx.execute(prepared.slots_near, near_given(db, [run.target for run in asked]))
    return Around(by_run, {row.target: Slot(row.run_id, row.seq) for row in near})
