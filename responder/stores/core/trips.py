"""Tripping: a playbook of which too many runs in a row did not help asks, until a person resets it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, exists, func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.ids import new_id
from responder.domain.limits import TRIP, Pause
from responder.domain.runs import HELPED, Run, RunState
from responder.domain.verdicts import Verdict
from responder.stores.core import rows
from responder.stores.core.database import Database
from responder.stores.core.part import begun_entry, write_audit
from responder.stores.core.types import Instant
from responder.stores.schema import pauses, runs

_FAILURES = frozenset({RunState.FAILED, RunState.ROLLED_BACK, RunState.PARTLY_ROLLED_BACK, RunState.UNKNOWN})
_HELPED = frozenset(state.value for state in HELPED)
_OF_PLAYBOOK = (pauses.c.kind == TRIP) & (pauses.c.scope == bindparam("scope", type_=Text()))
_RESET_AT = func.coalesce(
    select(func.max(pauses.c.lifted_at, type_=Instant)).where(_OF_PLAYBOOK).scalar_subquery(),
    literal(datetime(1970, 1, 1, tzinfo=UTC), Instant),
)
_MOST = bindparam("most", type_=Integer())


def _latest(at: ColumnElement[datetime], *which: ColumnElement[bool]) -> Select[tuple[str, str, datetime]]:
    """Return the latest by ``at`` of those runs; an index holds each of them in this order."""
    found = (
        select(runs.c.id, runs.c.state, at.label("at"))
        .where(
            runs.c.playbook == bindparam("playbook", type_=Text()),
            runs.c.kind == "forward",
            runs.c.acted,
            func.coalesce(runs.c.verdict, "") != Verdict.STOPPED.value,
            ~exists(select(pauses.c.id).where(_OF_PLAYBOOK, pauses.c.lifted_at.is_(None))),
            *which,
        )
        .order_by(at.desc())
        .limit(_MOST)
        .subquery()
    )
    return select(found.c.id, found.c.state, found.c.at)


_STILL_KEPT = runs.c.finished_at.is_(None) & (runs.c.kept_at > _RESET_AT)
_EITHER = union_all(
    _latest(runs.c.finished_at, runs.c.finished_at > _RESET_AT, runs.c.kept_at.is_(None)),
    # A change that is kept for a time, or was, has helped when that was found.
    _latest(runs.c.kept_at, runs.c.kept_at.is_not(None), or_(runs.c.finished_at > _RESET_AT, _STILL_KEPT)),
).subquery()
_LATEST_ENDS = select(_EITHER.c.id, _EITHER.c.state).order_by(_EITHER.c.at.desc(), _EITHER.c.id.desc()).limit(_MOST)
"""The latest runs of a playbook that acted and that nobody stopped, since it was reset; none while it is tripped."""


def counts_against(run: Run) -> bool:
    """Say whether an end is a failure of the playbook: a run that a person stopped is none."""
    return run.kind == "forward" and run.state in _FAILURES and run.verdict is not Verdict.STOPPED


async def trip(db: Database, tx: AsyncConnection, now: datetime, allowed: Mapping[str, int]) -> None:
    """Trip those of the playbooks of which as many runs in a row as ``allowed`` says did not help.

    It comes last in the transaction that ends a run: of two that fail at once on two replicas, the second one waits
    here and counts the first.
    """
    if not allowed:
        return
    await db.lock(tx, sorted(f"trip/{name}" for name in allowed))
    trips = []
    for name, most in sorted(allowed.items()):
        scope = f"playbook:{name}"
        ends = (await tx.execute(_LATEST_ENDS, {"playbook": name, "scope": scope, "most": most})).all()
        if len(ends) == most and all(row.state not in _HELPED for row in ends):
            reason = f"{most} runs in a row did not help, the last was run {ends[0].id}."
            trips.append(Pause(new_id(), TRIP, scope, reason, "responder", now))
    if trips:
        await tx.execute(pauses.insert(), [rows.pause_values(one) for one in trips])
        await write_audit(tx, now, [begun_entry(one) for one in trips])
