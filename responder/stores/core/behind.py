"""Who asks for a person while somebody else does already: an incident shows one reason, and forgets no other.

The gravest is shown, of those that are equally grave the one that came first. The others stand in the audit log,
written in the transaction in which they came, or another came before them. A person who takes the incident over
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
_GRAVE: Mapping[str, int] = {
    RunState.UNKNOWN.value: 3,
    RunState.PARTLY_ROLLED_BACK.value: 2,
    RunState.FAILED.value: 1,
}
"""Ends that may leave something at the target; whatever else asks for a person comes behind them."""


def behind(incident_id: str, need: Need) -> Audit:
    """Return the entry of a need that came behind another one."""
    reason, run_id = need
    return Audit(_BEHIND, incident_id, details={"reason": reason, "run": run_id})


async def graveness(tx: AsyncConnection, run_ids: Collection[str], ending: Collection[Run]) -> Mapping[str, int]:
    """Return how grave it is that each of the runs asks for a person; those that are ``ending`` now say so themselves.

    What was asked because of no run, or of one that is no longer there, is not grave.
    """
    found = {run.id: _GRAVE.get(run.state.value, 0) for run in ending}
    others = sorted(set(run_ids) - found.keys() - {""})
    if others:
        states = await tx.execute(select(runs.c.id, runs.c.state).where(runs.c.id.in_(others)))
        found |= {row.id: _GRAVE.get(row.state, 0) for row in states}
    return found


def comes_in(key: str, needs: list[Need], need: Need, grave: Mapping[str, int]) -> Sequence[Audit]:
    """Put a new need among those of an incident, of which the first is shown; returns the entry of what is behind.

    A run that has called before has one more reason only where its end is grave: that is the news then.
    """
    if not needs:
        needs.append(need)
        return ()
    shown = needs[0]
    own, more = grave.get(need[1], 0), grave.get(need[1], 0) > grave.get(shown[1], 0)
    if shown[1] == need[1]:
        needs[0] = need if own else shown
        return ()
    needs.insert(0 if more else len(needs), need)
    return [behind(key, shown if more else need)]


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
    """Return what is behind the needs that these incidents show, neither answered nor settled.

    The gravest comes first, then the oldest.
    """
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
    every = {run_id for needs in found.values() for run_id in needs}
    settled, grave = await _settled(tx, every), await graveness(tx, every, ())
    return {
        key: sorted(
            ((reason, run_id) for run_id, reason in needs.items() if run_id not in settled),
            key=lambda need: -grave.get(need[1], 0),
        )
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
