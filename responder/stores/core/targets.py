"""Taking a target: one run at a time holds it, from before its first effect until it has ended."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.limits import Cap, Refusal
from responder.domain.runs import Run
from responder.domain.targets import ancestors
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit
from responder.stores.core import rows
from responder.stores.core.database import Database, Dirty, Patch, Rows, Write
from responder.stores.core.part import audit_values
from responder.stores.core.sight import Sight, entered
from responder.stores.schema import audit, runs, slots

_TAKEN = {name: f"excluded.{name}" for name in ("run_id", "playbook", "epoch", "seq", "taken_at")}


async def lock_targets(db: Database, tx: AsyncConnection, asked: Sequence[Run], caps: Iterable[Cap] = ()) -> None:
    """Keep others from the runs' targets and limits, and from ``caps``, until the transaction ends.

    The playbook's lock makes the order of the slots the order of their commits (see usage.py). Shared locks above a
    target keep whoever takes one of those out, and let its neighbours in.
    """
    alone = {name for run in asked for name in (f"slot/{run.target}", f"limit/{run.playbook}")}
    alone |= {f"limit/{cap.key}" for cap in caps}
    above = {f"slot/{name}" for run in asked for name in ancestors(run.target)}
    await db.lock(tx, sorted(alone), shared=sorted(above))


def target_taken(run: Run, sight: Sight) -> Refusal | None:
    """Say why the run cannot have its target. What is in doubt, a person may put right."""
    other = sight.busy(run)
    if other:
        return Refusal(Verdict.BUSY, f"{Verdict.BUSY.sentence} It is run {other}.")
    doubt = sight.doubt(run)
    if doubt and run.kind != "rollback":
        return Refusal(Verdict.QUARANTINED, f"{Verdict.QUARANTINED.sentence} {doubt}")
    return None


def begun(taken: Sequence[Run], held: Mapping[str, Row[Any]], sight: Sight) -> list[Write]:
    """Return what is written of runs that begin: their slots, their states, and that there is something to tell."""
    entries = [Audit("slot.taken", run.id, details={"target": run.target}) for run in taken]
    return [
        Rows(slots, [_slot(run, sight) for run in taken], ("target",), _TAKEN),
        Patch(runs, [_begun(run, held[run.id], sight) for run in taken]),
        Rows(audit, audit_values(sight.now, [*entered(held, taken), *entries])),
        Dirty([run.incident_id for run in taken if held[run.id].state != run.state.value], sight.now),
    ]


def _slot(run: Run, sight: Sight) -> dict[str, Any]:
    return {
        "target": run.target,
        "run_id": run.id,
        "playbook": run.playbook,
        "epoch": run.epoch,
        "seq": sight.slots[run.target].seq,
        "taken_at": sight.now,
    }


def _begun(run: Run, held: Row[Any], sight: Sight) -> dict[str, Any]:
    return {"id": run.id, **rows.run_changes(run), "started_at": held.started_at or sight.now}
