"""What keeps an incident open, and the latch that says that a person is needed."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.episodes import EpisodeState
from responder.ports.store import Audit
from responder.stores.core.part import write_audit
from responder.stores.schema import episodes, incidents, runs


async def latch(tx: AsyncConnection, incident_id: str, run_id: str, reason: str) -> None:
    """Say that a person is needed. The first reason stands until somebody clears it."""
    await tx.execute(
        update(incidents)
        .where(incidents.c.id == incident_id, incidents.c.needs_person == "")
        .values(needs_person=reason, needs_person_run=run_id),
    )


async def unlatch(tx: AsyncConnection, incident_id: str, run_ids: Collection[str]) -> None:
    """Clear the latch that one of these runs set."""
    ids = sorted({one for one in run_ids if one})
    await tx.execute(
        update(incidents)
        .where(incidents.c.id == incident_id, incidents.c.needs_person_run.in_(ids))
        .values(needs_person="", needs_person_run=""),
    )


async def close_if_over(tx: AsyncConnection, now: datetime, incident_id: str) -> None:
    """Close the incident when no episode is open, every run is final and nobody is needed."""
    firing = exists(
        select(episodes.c.id).where(
            episodes.c.incident_id == incident_id, episodes.c.state != EpisodeState.CLOSED.value
        )
    )
    working = exists(select(runs.c.id).where(runs.c.incident_id == incident_id, runs.c.finished_at.is_(None)))
    closed = await tx.execute(
        update(incidents)
        .where(
            incidents.c.id == incident_id,
            incidents.c.resolved_at.is_(None),
            incidents.c.needs_person == "",
            ~firing,
            ~working,
        )
        .values(resolved_at=now, closed_reason="resolved"),
    )
    if closed.rowcount == 1:
        await write_audit(tx, now, [Audit("incident.closed", incident_id, details={"reason": "resolved"})])
