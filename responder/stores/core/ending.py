"""What keeps an incident open, and the latch that says that a person is needed."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.ports.store import Audit
from responder.stores.core.part import write_audit
from responder.stores.core.prepared import CLOSE_IF_OVER, UNLATCH
from responder.stores.schema import incidents


async def hold(tx: AsyncConnection, incident_id: str) -> None:
    """Hold the incident's row until the transaction ends.

    Two that each see the other's run or episode as unfinished would both leave the incident open, for good.
    """
    await tx.execute(select(incidents.c.id).where(incidents.c.id == incident_id).with_for_update())


async def latch(tx: AsyncConnection, incident_id: str, run_id: str, reason: str) -> None:
    """Say that a person is needed. The first reason stands until somebody clears it."""
    await tx.execute(
        update(incidents)
        .where(incidents.c.id == incident_id, incidents.c.needs_person == "")
        .values(needs_person=reason, needs_person_run=run_id),
    )


async def unlatch(tx: AsyncConnection, incident_id: str, run_ids: Collection[str]) -> None:
    """Clear the latch that one of these runs set."""
    await tx.execute(UNLATCH, {"incident": incident_id, "set_by": [one for one in run_ids if one]})


async def close_if_over(tx: AsyncConnection, now: datetime, incident_id: str) -> None:
    """Close the incident, which the caller holds, when no episode is open, every run is final and nobody is needed."""
    closed = await tx.execute(CLOSE_IF_OVER, {"incident": incident_id, "now": now})
    if closed.rowcount == 1:
        await write_audit(tx, now, [Audit("incident.closed", incident_id, details={"reason": "resolved"})])
