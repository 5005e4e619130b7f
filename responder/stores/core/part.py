"""The base of every port's part, and what several of them write."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    CursorResult,
    Table,
    Text,
    bindparam,
    literal,
    null,
    select,
    union,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from responder.domain.episodes import EpisodeState
from responder.domain.errors import Conflict
from responder.domain.limits import Pause
from responder.ports.store import LEASE, MAX_ATTEMPTS, Audit
from responder.stores.core import rows
from responder.stores.core.database import Database, Insert
from responder.stores.core.prepared import MARK_DIRTY, PAUSES, WRITE_AUDIT, due_when_marked
from responder.stores.core.types import Instant
from responder.stores.schema import episodes, incidents, outbox, pauses, quarantines, run_episodes, runs


class Part:
    """The statements of one port, over a database. A store is the sum of its parts."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        self.db = db

    def now(self) -> datetime:
        """Return the store's clock."""
        return self.db.now()


async def write_audit(tx: AsyncConnection, now: datetime, entries: Sequence[Audit]) -> None:
    """Insert audit entries, in the transition's own transaction."""
    if entries:
        await tx.execute(WRITE_AUDIT, audit_values(now, entries))


def audit_values(now: datetime, entries: Sequence[Audit]) -> list[dict[str, Any]]:
    """Write audit entries."""
    return [
        {"at": now, "actor": one.actor, "action": one.action, "subject": one.subject, "details": dict(one.details)}
        for one in entries
    ]


async def mark_dirty(tx: AsyncConnection, now: datetime, incident_ids: Collection[str]) -> None:
    """Raise what is wanted of every destination of these incidents."""
    ids = sorted({one for one in incident_ids if one})
    if ids:
        await tx.execute(MARK_DIRTY, {"incidents": ids, "now": now})


async def add_destinations(
    db: Database, tx: AsyncConnection, now: datetime, incident_ids: Collection[str], pairs: Iterable[tuple[str, str]]
) -> None:
    """Mark the incidents' outbox rows dirty and make those of ``pairs`` (incident, destination), in one statement."""
    await tx.execute(destinations_added(db), destination_parameters(db, now, incident_ids, pairs))


def destination_parameters(
    db: Database, now: datetime, incident_ids: Collection[str], pairs: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """Return the parameters of ``destinations_added``."""
    wanted = sorted(set(pairs))
    told = db.give("told", [incident for incident, _ in wanted], [destination for _, destination in wanted])
    return {"now": now, **told, **db.give("marked", sorted(incident_ids))}


def destinations_added(db: Database) -> Insert:
    """Return the statement that marks and makes outbox rows; ``destination_parameters`` says which."""
    now = bindparam("now", type_=Instant())
    given = db.given("told", (outbox.c.incident_id.type, outbox.c.destination.type))
    every = union(
        select(given.c.k0, given.c.k1),
        select(outbox.c.incident_id, outbox.c.destination).where(db.among(outbox.c.incident_id, "marked")),
    ).subquery()
    insert = db.insert(outbox).from_select(
        ["incident_id", "destination", "want_rev", "told_rev", "attempt", "urgency", "dead", "error",
         "changed_at", "due_at", "attempts", "epoch"],
        select(
            incidents.c.id, every.c.k1, literal(1), literal(0), literal(""), rows.urgency(incidents.c.severity),
            literal(value=False), literal(""), now, now, literal(0), literal(0),
        )
        .where(incidents.c.id == every.c.k0)
        .order_by(incidents.c.id, every.c.k1),
        include_defaults=False,
    )  # fmt: skip
    return insert.on_conflict_do_update(
        index_elements=["incident_id", "destination"],
        set_={
            "want_rev": outbox.c.want_rev + 1,
            "urgency": insert.excluded.urgency,
            "changed_at": now,
            "due_at": due_when_marked(now),
        },
    )


async def nudge_runs(tx: AsyncConnection, now: datetime, run_ids: Collection[str]) -> None:
    """Make runs due at once; one whose turn is under way becomes due when the turn ends."""
    if run_ids:
        await tx.execute(
            update(runs)
            .where(runs.c.id.in_(sorted(run_ids)), runs.c.finished_at.is_(None))
            .values(nudged=True, due_at=now, rank_at=rows.rank_now(runs.c.severity, now)),
        )


async def joined_episodes_due(tx: AsyncConnection, run_id: str, at: datetime, after: str) -> None:
    """Make the episodes that a run serves due at ``at``."""
    values: dict[str, Any] = {"reconsider_at": at}
    if after:
        values["after"] = after
    joined = select(run_episodes.c.episode_id).where(run_episodes.c.run_id == run_id)
    await tx.execute(
        update(episodes).where(episodes.c.id.in_(joined), episodes.c.state != EpisodeState.CLOSED.value).values(values),
    )


async def pauses_in_force(tx: AsyncConnection, now: datetime) -> list[Pause]:
    """Read the pauses and halts in force."""
    return [rows.pause(row) for row in await tx.execute(PAUSES, {"now": now})]


def _signs() -> CompoundSelect[Any]:
    none = literal("", Text)
    signs = select(
        literal("pause", Text).label("sign"), pauses.c.id, pauses.c.kind, pauses.c.scope, pauses.c.reason,
        pauses.c.actor, pauses.c.created_at, pauses.c.until,
    ).where(
        pauses.c.lifted_at.is_(None), pauses.c.until.is_(None) | (pauses.c.until > bindparam("now", type_=Instant()))
    )  # fmt: skip
    doubts = select(
        literal("quarantine", Text), quarantines.c.target, none, none, quarantines.c.reason, none, quarantines.c.at,
        null(),
    )  # fmt: skip
    return union_all(signs, doubts)


_SIGNS = _signs()


async def signs_in_force(tx: AsyncConnection, now: datetime) -> tuple[list[Pause], dict[str, str]]:
    """Read, in one statement, the pauses in force and the targets in doubt with why."""
    found = (await tx.execute(_SIGNS, {"now": now})).all()
    in_force = sorted((row for row in found if row.sign == "pause"), key=lambda row: (row.created_at, row.id))
    return [rows.pause(row) for row in in_force], {row.id: row.reason for row in found if row.sign == "quarantine"}


def claim_of(
    table: Table, due: ColumnElement[bool], order: Sequence[ColumnElement[Any]], now: datetime, limit: int
) -> ReturningUpdate[Any]:
    """Return the statement that leases the first ``limit`` rows for which ``due`` holds and no lease lives."""
    free = table.c.lease_until.is_(None) | (table.c.lease_until <= now)
    columns = list(table.primary_key)
    chosen = (
        select(*columns)
        .where(due, free, table.c.attempts < MAX_ATTEMPTS)
        .order_by(*order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    return (
        update(table)
        .where(*(column == chosen.c[column.name] for column in columns))
        .values(lease_until=now + LEASE, epoch=table.c.epoch + 1, attempts=table.c.attempts + 1)
        .returning(table)
    )


def one_row(result: CursorResult[Any], what: str) -> None:
    """Raise Conflict unless exactly one row was written: the lease was lost."""
    if result.rowcount != 1:
        raise Conflict(f"the lease of {what} was lost")
