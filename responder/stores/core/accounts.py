"""Everything about one incident, in one go."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, ScalarSelect, Select, Text, bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.notification import Account, Acknowledgement
from responder.stores.core import rows
from responder.stores.schema import approvals, audit, decisions, episodes, holds, incidents, records, runs

T = TypeVar("T")
ACKNOWLEDGED = "incident.acknowledged"


def latest_acknowledgement(column: ColumnElement[T]) -> ScalarSelect[T]:
    """Return a column of the latest entry in the audit log by which a person took the incident over."""
    entry = audit.alias()
    return (
        select(entry.c[str(column.key)])
        .where(entry.c.subject == incidents.c.id, entry.c.action == ACKNOWLEDGED)
        .order_by(entry.c.seq.desc())
        .limit(1)
        .correlate(incidents)
        .scalar_subquery()
    )


_ID = bindparam("incident", type_=Text())
_ITS_RUNS = select(runs.c.id).where(runs.c.incident_id == _ID)
_ITS_EPISODES = select(episodes.c.id).where(episodes.c.incident_id == _ID)
_OVERDUE = exists().where(holds.c.incident_id == incidents.c.id, holds.c.state == rows.OVERDUE)
_INCIDENT = (
    select(
        incidents,
        _OVERDUE.label("overdue"),
        audit.c.actor.label("acknowledged_by"),
        audit.c.at.label("acknowledged_at"),
    )
    .select_from(incidents.outerjoin(audit, audit.c.seq == latest_acknowledgement(audit.c.seq)))
    .where(incidents.c.id == _ID)
)
_EPISODES: Select[Any] = (
    select(episodes).where(episodes.c.incident_id == _ID).order_by(episodes.c.opened_at, episodes.c.id)
)
_RUNS: Select[Any] = select(runs).where(runs.c.incident_id == _ID).order_by(runs.c.created_at, runs.c.id)
_RECORDS: Select[Any] = (
    select(records).where(records.c.run_id.in_(_ITS_RUNS)).order_by(records.c.created_at, records.c.place, records.c.id)
)
_DECISIONS: Select[Any] = (
    select(decisions).where(decisions.c.episode_id.in_(_ITS_EPISODES)).order_by(decisions.c.first_at, decisions.c.id)
)
_APPROVALS: Select[Any] = (
    select(approvals).where(approvals.c.run_id.in_(_ITS_RUNS)).order_by(approvals.c.asked_at, approvals.c.id)
)


async def read_account(tx: AsyncConnection, incident_id: str) -> Account | None:
    """Return the incident with its episodes, runs, records, decisions, approvals and page; None when there is none."""
    given = {"incident": incident_id}
    row = (await tx.execute(_INCIDENT, given)).one_or_none()
    if row is None:
        return None
    its_runs = tuple([rows.run(one) for one in await tx.execute(_RUNS, given)])
    asked = any(run.progress.asked for run in its_runs)
    return Account(
        incident=rows.incident(row),
        episodes=tuple([rows.episode(one) for one in await tx.execute(_EPISODES, given)]),
        runs=its_runs,
        records=tuple([rows.record(one) for one in await tx.execute(_RECORDS, given)]) if its_runs else (),
        decisions=tuple([rows.decision(one) for one in await tx.execute(_DECISIONS, given)]),
        approvals=tuple([rows.approval(one) for one in await tx.execute(_APPROVALS, given)]) if asked else (),
        overdue=row.overdue,
        acknowledged=row.acknowledged_at and Acknowledgement(row.acknowledged_by, row.acknowledged_at),
    )
