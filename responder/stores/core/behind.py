"""Who asks for a person while somebody else does already: an incident shows one reason, and forgets no other.

They stand in the audit log, written in the transaction in which they came. A person who takes the incident over
answers all of them; a run that has helped, or was undone, its own only, and then the next one is shown.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.runs import HELPED, Run, RunState
from responder.ports.store import Audit
from responder.stores.core.accounts import ACKNOWLEDGED
from responder.stores.schema import audit, runs

Need = tuple[str, str]
"""Why a person is needed, and because of which run."""
_BEHIND = "incident.needs_person_too"


def behind(incident_id: str, need: Need) -> Audit:
    """Return the entry of a need that came behind another one."""
    reason, run_id = need
    return Audit(_BEHIND, incident_id, details={"reason": reason, "run": run_id})


async def families(tx: AsyncConnection, clearing: Sequence[Run]) -> Mapping[str, Collection[str]]:
    """Return the runs whose needs end with each: itself, the one that it undoes, and who tried that before."""
    found = {run.id: {run.id, run.of_run} - {""} for run in clearing}
    undoing = [run for run in clearing if run.of_run]
    if undoing:
        beside = select(runs.c.id, runs.c.of_run).where(runs.c.of_run.in_(sorted({run.of_run for run in undoing})))
        for row in await tx.execute(beside):
            for run in undoing:
                found[run.id] |= {row.id} if row.of_run == run.of_run else set()
    return found


async def still_behind(tx: AsyncConnection, incident_ids: Collection[str]) -> Mapping[str, Sequence[Need]]:
    """Return what came behind the needs that these incidents show, is not answered and not settled, oldest first."""
    if not incident_ids:
        return {}
    query = (
        select(audit.c.subject, audit.c.action, audit.c.details)
        .where(audit.c.subject.in_(sorted(incident_ids)), audit.c.action.in_((ACKNOWLEDGED, _BEHIND)))
        .order_by(audit.c.seq)
    )
    found: dict[str, dict[str, str]] = {}
    for row in await tx.execute(query):
        needs = found.setdefault(row.subject, {})
        if row.action == ACKNOWLEDGED:
            needs.clear()
        else:
            needs[str(row.details["run"])] = str(row.details["reason"])
    settled = await _settled(tx, {run_id for needs in found.values() for run_id in needs})
    return {
        key: [(reason, run_id) for run_id, reason in needs.items() if run_id not in settled]
        for key, needs in found.items()
    }


async def _settled(tx: AsyncConnection, run_ids: Collection[str]) -> Collection[str]:
    """Return those of the runs that have helped after all, or of which everything is undone."""
    if not run_ids:
        return ()
    theirs = select(runs.c.id, runs.c.state, runs.c.of_run).where(runs.c.id.in_(sorted(run_ids)))
    known = {row.id: row for row in await tx.execute(theirs)}
    begun_by = {row.id: row.of_run or row.id for row in known.values()}
    back = select(runs.c.of_run).where(
        runs.c.of_run.in_(sorted(set(begun_by.values()))), runs.c.state == RunState.ROLLED_BACK.value
    )
    undone = set((await tx.execute(back)).scalars())
    return {one for one, first in begun_by.items() if first in undone or known[one].state in HELPED}
