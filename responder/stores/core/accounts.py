"""Everything about one incident, in one go."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.notification import Account
from responder.stores.core import rows
from responder.stores.schema import approvals, decisions, episodes, incidents, records, runs


async def read_account(tx: AsyncConnection, incident_id: str) -> Account | None:
    """Return the incident with its episodes, runs, records, decisions and approvals; None when there is none."""
    row = (await tx.execute(select(incidents).where(incidents.c.id == incident_id))).one_or_none()
    if row is None:
        return None
    of_incident = select(runs.c.id).where(runs.c.incident_id == incident_id)
    its_episodes = select(episodes.c.id).where(episodes.c.incident_id == incident_id)
    return Account(
        incident=rows.incident(row),
        episodes=tuple(
            rows.episode(one)
            for one in await tx.execute(
                select(episodes)
                .where(episodes.c.incident_id == incident_id)
                .order_by(episodes.c.opened_at, episodes.c.id)
            )
        ),
        runs=tuple(
            rows.run(one)
            for one in await tx.execute(
                select(runs).where(runs.c.incident_id == incident_id).order_by(runs.c.created_at, runs.c.id)
            )
        ),
        records=tuple(
            rows.record(one)
            for one in await tx.execute(
                select(records)
                .where(records.c.run_id.in_(of_incident))
                .order_by(records.c.created_at, records.c.place, records.c.id)
            )
        ),
        decisions=tuple(
            rows.decision(one)
            for one in await tx.execute(
                select(decisions)
                .where(decisions.c.episode_id.in_(its_episodes))
                .order_by(decisions.c.first_at, decisions.c.id)
            )
        ),
        approvals=tuple(
            rows.approval(one)
            for one in await tx.execute(
                select(approvals)
                .where(approvals.c.run_id.in_(of_incident))
                .order_by(approvals.c.asked_at, approvals.c.id)
            )
        ),
    )
