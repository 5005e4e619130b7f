"""Findings, and the queue of incidents that are to be looked at."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.findings import KEPT, Finding, bounded
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.ports.audit import CHANGE, CHANGES
from responder.ports.findings import YOUNG, Announced, Nearby, PastRun, Touched
from responder.ports.queues import LEASE
from responder.stores.core import rows
from responder.stores.core.database import Order, upsert
from responder.stores.core.part import Part
from responder.stores.schema import audit, episodes, findings, incidents, looks, records, runs

RUNS, NEARBY = 1000, 200
"""So many runs and so many incidents or changes are read: in a storm the latest."""
_CHANGED = (RecordState.APPLIED.value, RecordState.UNDONE.value, RecordState.DRIFTED.value)


class FindingsPart(Part):
    """Keeps what was found, and who is still to be looked at."""

    async def claim_looks(self, limit: int) -> Sequence[str]:
        """Take incidents that are to be looked at, the most severe first."""
        now = self.now()
        async with self.db.reading() as tx:
            fresh = [row.id for row in await tx.execute(_fresh(now, limit))]
            if not fresh and not (await tx.execute(_due(now, 1))).first():
                return []
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            if fresh:
                given = [{"incident_id": one, "due_at": now, "times": 0} for one in fresh]
                await tx.execute(self.db.insert(looks).on_conflict_do_nothing(), given)
            due = _due(now, limit).with_for_update(skip_locked=True)
            taken = update(looks).where(looks.c.incident_id.in_(due))
            written = taken.values(due_at=now + LEASE, times=looks.c.times + 1).returning(looks.c.incident_id)
            return [row.incident_id for row in await tx.execute(written)]

    async def looked(self, incident_id: str, found: Sequence[Finding], again: timedelta | None) -> bool:
        """Keep what was found and look again after ``again``; says whether anything is new."""
        now = self.now()
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            due = None if again is None else now + again
            await tx.execute(update(looks).where(looks.c.incident_id == incident_id).values(due_at=due))
            return await self._keep(tx, now, incident_id, found)

    async def found(self, incident_id: str, found: Sequence[Finding]) -> bool:
        """Keep what was found elsewhere; says whether anything is new."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            return await self._keep(tx, self.now(), incident_id, found)

    async def past(self, playbook: str, since: datetime) -> Sequence[PastRun]:
        """Return the runs of a playbook that changed something and ended after ``since``."""
        ended = runs.c.acted & (runs.c.finished_at > since) & (runs.c.playbook == playbook) & (runs.c.kind == "forward")
        query = select(runs.c.state, runs.c.created_at, runs.c.kept_at, runs.c.finished_at).where(ended)
        async with self.db.reading() as tx:
            found = await tx.execute(query.order_by(runs.c.finished_at.desc()).limit(RUNS))
            return [PastRun(RunState(row.state), (row.kept_at or row.finished_at) - row.created_at) for row in found]

    async def nearby(self, incident_id: str, since: datetime) -> Sequence[Nearby]:
        """Return the other incidents that were opened after ``since``, each with the labels of one alert."""
        others = (incidents.c.opened_at > since) & (incidents.c.id != incident_id)
        columns = (incidents.c.id, incidents.c.opened_at, incidents.c.resolved_at)
        latest = select(*columns).where(others).order_by(incidents.c.opened_at.desc()).limit(NEARBY).subquery()
        # Joined, each incident of the window would have its alert looked for. And of the bare id PostgreSQL would look
        # for the least by reading all episodes in the order of their ids.
        first = select(func.min(episodes.c.id.concat(""))).where(episodes.c.incident_id == latest.c.id)
        labels = select(episodes.c.labels).where(episodes.c.id == first.correlate(latest).scalar_subquery())
        query = select(latest, labels.correlate(latest).scalar_subquery().label("labels"))
        async with self.db.reading() as tx:
            found = await tx.execute(query.order_by(latest.c.opened_at.desc()))
            return [
                Nearby(row.id, row.opened_at, row.resolved_at is None, row.labels)
                for row in found
                if row.labels is not None
            ]

    async def announced(self, since: datetime, until: datetime) -> Sequence[Announced]:
        """Return the changes of others that were announced in between."""
        query = (
            select(audit.c.seq, audit.c.at, audit.c.actor, audit.c.details)
            .where(audit.c.subject == CHANGES, audit.c.action == CHANGE, audit.c.at > since, audit.c.at <= until)
            .order_by(audit.c.seq.desc())
            .limit(NEARBY)
        )
        async with self.db.reading() as tx:
            return [_announced(row) for row in await tx.execute(query)]

    async def touched(self, since: datetime, until: datetime) -> Sequence[Touched]:
        """Return what was changed in between."""
        query = (
            select(records, runs.c.playbook)
            .join(runs, runs.c.id == records.c.run_id)
            .where(records.c.created_at > since, records.c.created_at <= until, records.c.state.in_(_CHANGED))
            .order_by(records.c.created_at.desc())
            .limit(NEARBY)
        )
        async with self.db.reading() as tx:
            return [_touched(row) for row in await tx.execute(query)]

    async def _keep(self, tx: AsyncConnection, now: datetime, incident_id: str, found: Sequence[Finding]) -> bool:
        held = {
            row.name: (row.text, row.body, row.data)
            for row in await tx.execute(select(findings).where(findings.c.incident_id == incident_id))
        }
        known = await tx.scalar(select(exists().where(incidents.c.id == incident_id)))
        fits = [one for one in map(bounded, found) if one.name in held or len(held) < KEPT]
        new = [one for one in fits if held.get(one.name) != (one.text, one.body, one.data)]
        if not new or not known:
            return False
        await tx.execute(upsert(self.db, findings, "incident_id", "name"), [_values(incident_id, one) for one in new])
        await self.mark_dirty(tx, now, [incident_id])
        return True


def _touched(row: Any) -> Touched:  # noqa: ANN401 - a row
    after = row.planned if row.observed is None else row.observed
    return Touched(
        row.id, row.run_id, row.playbook, row.target, row.step, row.created_at, row.before, after, row.undone_at
    )


def _announced(row: Any) -> Announced:  # noqa: ANN401 - a row
    said = row.details
    return Announced(row.seq, row.at, row.actor, said["summary"], said["target"], said["labels"])


def _fresh(now: datetime, limit: int) -> Select[Any]:
    """Return the open incidents that nobody has looked at yet."""
    seen = exists().where(looks.c.incident_id == incidents.c.id)
    open_ = incidents.c.resolved_at.is_(None) & (incidents.c.opened_at > now - YOUNG)
    order = (rows.urgency(incidents.c.severity), incidents.c.opened_at.desc())
    return select(incidents.c.id).where(open_, ~seen).order_by(*order).limit(limit)


def _due(now: datetime, limit: int) -> Select[Any]:
    return select(looks.c.incident_id).where(looks.c.due_at <= now).order_by(looks.c.due_at).limit(limit)


def _values(incident_id: str, one: Finding) -> dict[str, Any]:
    return {
        "incident_id": incident_id, "name": one.name, "at": one.at, "text": one.text, "body": one.body,
        "data": one.data,
    }  # fmt: skip
