"""Keeping house: depths, retention, the playbooks' texts, and what is set aside."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, case, delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.episodes import EpisodeState
from responder.domain.verdicts import Verdict
from responder.ports.queues import PICTURES
from responder.ports.store import QueueDepth
from responder.stores.core.database import Order, upsert
from responder.stores.core.part import Part, episodes_decided
from responder.stores.core.rows import OVERDUE
from responder.stores.schema import (
    approvals,
    audit,
    audit_segments,
    decisions,
    deliveries,
    episodes,
    findings,
    holds,
    incidents,
    last_good,
    ledger,
    looks,
    meta,
    outbox,
    pauses,
    playbooks,
    records,
    run_episodes,
    runs,
)


class HousekeepingPart(Part):
    """What keeps the store healthy."""

    async def depths(self) -> Mapping[str, QueueDepth]:
        """Return the depth of each queue."""
        now = self.now()
        behind = (outbox.c.told_rev < outbox.c.want_rev) & ~outbox.c.dead
        current = episodes.c.state != EpisodeState.CLOSED.value
        async with self.db.reading() as tx:
            dead = await tx.scalar(select(func.count()).select_from(deliveries).where(deliveries.c.state == "dead"))
            lost = await tx.scalar(select(func.count()).select_from(outbox).where(outbox.c.dead))
            return {
                "deliveries": await _depth(tx, now, deliveries.c.due_at, deliveries.c.state == "waiting", dead or 0),
                "episodes": await _depth(
                    tx, now, episodes.c.reconsider_at, current & episodes.c.reconsider_at.is_not(None), 0
                ),
                "runs": await _depth(tx, now, runs.c.due_at, runs.c.finished_at.is_(None), 0),
                "outbox": await _depth(tx, now, outbox.c.due_at, behind, lost or 0),
            }

    async def untold(self) -> int:
        """Count incidents that need a person, or whose page is overdue, and have an outbox row that is behind."""
        late = exists(
            select(outbox.c.incident_id).where(
                outbox.c.incident_id == incidents.c.id,
                outbox.c.told_rev < outbox.c.want_rev,
                outbox.c.destination.not_like(f"%{PICTURES}:%"),  # a picture calls nobody
            )
        )
        async with self.db.reading() as tx:
            overdue = exists().where(holds.c.incident_id == incidents.c.id, holds.c.state == OVERDUE)
            asked = incidents.c.resolved_at.is_(None) & ((incidents.c.needs_person != "") | overdue)
            query = select(func.count()).select_from(incidents).where(asked, late)
            return await tx.scalar(query) or 0

    async def expire(self, retention: Mapping[str, timedelta], limit: int) -> int:
        """Delete what is past its retention (``deliveries``, ``history``, ``audit``), at most ``limit`` rows each."""
        now = self.now()
        deleted = 0
        for kind, age in retention.items():
            for table, old in _past(kind, now - age):
                keys = list(table.primary_key)
                batch = select(*keys).where(old).limit(limit)
                if table is audit_segments:
                    batch = batch.order_by(*keys)  # from the beginning: a chain has no holes
                chosen = keys[0].in_(batch) if len(keys) == 1 else _pair_in(keys, batch)
                async with self.db.writing(Order.HOUSEKEEPING) as tx:
                    deleted += (await tx.execute(delete(table).where(chosen))).rowcount
        return deleted

    async def keep_playbook(self, name: str, revision: str, file: str, text: str) -> None:
        """Keep a playbook's text under its revision and remember it as the last good one of ``file``."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            now = self.now()
            row = {"revision": revision, "name": name, "file": file, "text": text, "kept_at": now}
            await tx.execute(self.db.insert(playbooks).on_conflict_do_nothing(), row)
            await tx.execute(upsert(self.db, last_good, "file"), {"file": file, "revision": revision, "at": now})

    async def last_good(self) -> Mapping[str, tuple[str, str]]:
        """Return (revision, text) of the last good version of each playbook file."""
        query = select(last_good.c.file, playbooks.c.revision, playbooks.c.text).where(
            playbooks.c.revision == last_good.c.revision
        )
        async with self.db.reading() as tx:
            return {row.file: (row.revision, row.text) for row in await tx.execute(query)}

    async def kick(self, verdicts: Collection[Verdict]) -> int:
        """Make episodes due whose latest decision is one of ``verdicts``."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            return await episodes_decided(tx, self.now(), verdicts) if verdicts else 0

    async def ping(self) -> None:
        """Write and read something."""
        # A busy store is not a dead one: the question must not wait behind the work.
        async with self.db.writing(Order.CONTROL) as tx:
            await tx.execute(upsert(self.db, meta, "key"), {"key": "ping", "value": self.now().isoformat()})
            await tx.scalar(select(meta.c.value).where(meta.c.key == "ping"))


async def _depth(
    tx: AsyncConnection, now: datetime, due: ColumnElement[Any], waiting: ColumnElement[bool], dead: int
) -> QueueDepth:
    is_due = case((due <= now, due), else_=None)
    query = select(func.count().label("n"), func.min(is_due, type_=due.type).label("oldest")).where(waiting)
    row = (await tx.execute(query)).one()
    age = (now - row.oldest).total_seconds() if row.oldest is not None else 0.0
    return QueueDepth(row.n, age, dead)


def _past(kind: str, before: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return tables and what of them is past its time, owners before what hangs on them."""
    if kind == "deliveries":
        return [
            (deliveries, and_(deliveries.c.received_at < before, deliveries.c.state != "waiting")),
            (episodes, _never_seen_firing(before)),
        ]
    if kind == "audit":
        newest = select(func.max(audit_segments.c.number)).scalar_subquery()
        kept = select(func.min(audit_segments.c.first)).scalar_subquery()
        # A segment goes before its entries: one that has lost some would look as if somebody had taken them.
        return [
            (audit_segments, and_(audit_segments.c.sealed_at < before, audit_segments.c.number < newest)),
            (audit, and_(audit.c.at < before, or_(kept.is_(None), audit.c.seq < kept))),
        ]
    if kind != "history":
        msg = f"retention: there is no {kind!r}; there are deliveries, history, audit"
        raise ValueError(msg)
    return [
        (runs, and_(runs.c.finished_at < before, runs.c.id.not_in(_of_unfinished(runs.c.of_run)))),
        (episodes, and_(episodes.c.closed_at < before, episodes.c.state == EpisodeState.CLOSED.value)),
        (incidents, and_(incidents.c.resolved_at < before, incidents.c.id.not_in(_of_unfinished(runs.c.incident_id)))),
        (findings, and_(findings.c.at < before, _gone(findings.c.incident_id, incidents))),
        (looks, _gone(looks.c.incident_id, incidents)),
        # What is reserved goes with its run: until then it is part of what the run was given.
        (ledger, and_(ledger.c.at < before, or_(ledger.c.record_id != "", _gone(ledger.c.run_id, runs)))),
        (pauses, or_(pauses.c.lifted_at < before, pauses.c.until < before)),
        (records, and_(records.c.created_at < before, _gone(records.c.run_id, runs))),
        (approvals, and_(approvals.c.asked_at < before, _gone(approvals.c.run_id, runs))),
        (run_episodes, _gone(run_episodes.c.run_id, runs)),
        (decisions, and_(decisions.c.at < before, _gone(decisions.c.episode_id, episodes))),
        (
            outbox,
            and_(outbox.c.changed_at < before, _gone(outbox.c.incident_id, incidents)),
        ),
        (holds, _gone(holds.c.incident_id, incidents)),
        (playbooks, and_(playbooks.c.kept_at < before, _unused())),
    ]


def _of_unfinished(column: ColumnElement[str]) -> Select[Any]:
    """What runs under way need: a halt may hold a rollback of what is long over for as long as it likes."""
    return select(column).where(runs.c.finished_at.is_(None))


def _gone(column: ColumnElement[str], owner: Table) -> ColumnElement[bool]:
    return ~exists(select(owner.c.id).where(owner.c.id == column))


def _never_seen_firing(before: datetime) -> ColumnElement[bool]:
    """Episodes of which only the end was heard: they answer a delivery that comes late, and go when those do."""
    closed = and_(episodes.c.state == EpisodeState.CLOSED.value, episodes.c.closed_at < before)
    return and_(episodes.c.incident_id == "", closed, episodes.c.evidence_at < before)


def _unused() -> ColumnElement[bool]:
    pinned = exists(select(runs.c.id).where(runs.c.revision == playbooks.c.revision))
    latest = exists(select(last_good.c.file).where(last_good.c.revision == playbooks.c.revision))
    return ~pinned & ~latest


def _pair_in(keys: Sequence[ColumnElement[Any]], batch: Select[Any]) -> ColumnElement[bool]:
    chosen = batch.subquery()
    return exists(select(chosen.c[0]).where(chosen.c[0] == keys[0], chosen.c[1] == keys[1]))
