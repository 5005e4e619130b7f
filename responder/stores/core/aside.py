"""Setting aside what was claimed too often: visibly, with a person asked, and never lost."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.alerts import Severity
from responder.domain.episodes import Incident
from responder.domain.ids import new_id
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import MAX_ATTEMPTS, UNCLAIMED_AFTER, Audit, RunEnd
from responder.stores.core import rows
from responder.stores.core.database import Order
from responder.stores.core.ending import Ending, EndingPart
from responder.stores.core.part import lapsed, write_audit
from responder.stores.core.prepared import READABLE
from responder.stores.schema import deliveries, incidents, outbox, records, runs

_BATCH = 50


class AsidePart(EndingPart):
    """Looks for rows whose claims led nowhere."""

    async def set_aside(self, tell: Collection[str] = ()) -> Sequence[str]:
        """Set aside what has been claimed too often; the destinations ``tell`` hear of unreadable deliveries."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            now = self.now()
            free_by = lapsed(self.db, now)
            unfinished = runs.c.finished_at.is_(None) & READABLE
            return [
                *[await self._run(tx, now, row) for row in await _stuck(tx, runs, unfinished, free_by)],
                *[
                    await self._delivery(tx, now, row, tell)
                    for row in await _stuck(tx, deliveries, deliveries.c.state == "waiting", free_by)
                ],
                *[await self._item(tx, now, row) for row in await _stuck(tx, outbox, ~outbox.c.dead, free_by)],
            ]

    async def _run(self, tx: AsyncConnection, now: datetime, row: Row[Any]) -> str:
        run = rows.run(row)
        owner = run.of_run or run.id
        for found, unsure in (
            (RecordState.INTENDED, RecordState.UNCERTAIN),
            (RecordState.UNDO_INTENDED, RecordState.UNDO_UNCERTAIN),
        ):
            await tx.execute(
                update(records)
                .where(records.c.run_id == owner, records.c.state == found.value)
                .values(state=unsure.value, settled_at=now, message=Verdict.UNREADABLE.sentence),
            )
        end = replace(run, state=RunState.UNKNOWN, verdict=Verdict.UNREADABLE, reason=Verdict.UNREADABLE.sentence)
        why = f"Run {run.id} was taken up {run.attempts} times and never came to an end."
        made = await tx.scalar(select(func.count()).select_from(records).where(records.c.run_id == owner))
        # A run that never wrote a record never touched its target.
        ending = RunEnd(needs_person=why, quarantine=why if made else "")
        aside = Audit("run.set_aside", run.id, details={"attempts": run.attempts})
        await self.finish_in(tx, now, [Ending(end, ending, [aside])])
        return f"run {run.id}"

    async def _delivery(self, tx: AsyncConnection, now: datetime, row: Row[Any], tell: Collection[str]) -> str:
        why = f"It was taken up {row.attempts} times and never decided."
        await tx.execute(
            update(deliveries).where(deliveries.c.id == row.id).values(state="dead", error=why, lease_until=None)
        )
        incident = _own_incident(
            row.source, f"delivery/{row.id}", {"delivery": row.id}, now,
            f"A delivery could not be read: {row.id} from {row.source}. {why}",
        )  # fmt: skip
        await self._open(tx, now, incident, tell)
        details = {"attempts": row.attempts, "incident": incident.id}
        await write_audit(tx, now, [Audit("delivery.set_aside", row.id, details=details)])
        return f"delivery {row.id}"

    async def report_unclaimed(self, tell: Collection[str] = ()) -> int:
        """Ask a person when runs that only a newer version can read have waited for too long; returns how many."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            now = self.now()
            free = runs.c.lease_until.is_(None) | (runs.c.lease_until <= lapsed(self.db, now))
            late = runs.c.finished_at.is_(None) & (runs.c.due_at <= now - UNCLAIMED_AFTER) & free & ~READABLE
            count = await tx.scalar(select(func.count()).select_from(runs).where(late)) or 0
            if count:
                why = (
                    f"{count} runs were written by a newer version of the responder, and none that can read them has"
                    f" taken them up for {UNCLAIMED_AFTER.total_seconds() / 60:.0f} minutes: start the newer version."
                )
                await self._open(tx, now, _own_incident("", "unclaimed", {"runs": "newer"}, now, why), tell)
        return count

    async def _open(self, tx: AsyncConnection, now: datetime, incident: Incident, tell: Collection[str]) -> None:
        """Open an incident of our own and tell of it, unless it is open already."""
        insert = self.db.insert(incidents).on_conflict_do_nothing().returning(incidents.c.id)
        if (await tx.execute(insert, rows.incident_values(incident))).all():
            await self.add_destinations(tx, now, [incident.id], [(incident.id, one) for one in tell])

    async def _item(self, tx: AsyncConnection, now: datetime, row: Row[Any]) -> str:
        name = f"{row.incident_id}|{row.destination}"
        why = row.error or f"taken up {row.attempts} times and never told"
        await tx.execute(
            update(outbox)
            .where(outbox.c.incident_id == row.incident_id, outbox.c.destination == row.destination)
            .values(dead=True, error=why, lease_until=None),
        )
        await write_audit(tx, now, [Audit("outbox.dead", name, details={"error": why})])
        return f"outbox {name}"


def _own_incident(source: str, key: str, labels: dict[str, str], now: datetime, needs_person: str) -> Incident:
    return Incident(
        id=new_id(),
        source=source,
        receiver="",
        group_key=key,
        group_labels=labels,
        external_url="",
        severity=Severity.HIGH,
        opened_at=now,
        needs_person=needs_person,
    )


async def _stuck(
    tx: AsyncConnection, table: Table, open_: ColumnElement[bool], free_by: datetime
) -> Sequence[Row[Any]]:
    free = table.c.lease_until.is_(None) | (table.c.lease_until <= free_by)
    found = await tx.execute(
        select(table)
        .where(open_, free, table.c.attempts >= MAX_ATTEMPTS)
        .limit(_BATCH)
        .with_for_update(skip_locked=True),
    )
    return found.all()
