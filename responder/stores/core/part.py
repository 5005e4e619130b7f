"""The base of every port's part, and what several of them write."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.episodes import EpisodeState
from responder.domain.errors import Conflict
from responder.domain.limits import Pause
from responder.domain.suspicion import Suspicion
from responder.ports.store import LEASE, Audit
from responder.stores.core import rows
from responder.stores.core.database import Database, Dirty
from responder.stores.core.prepared import SIGNS, WRITE_AUDIT, Prepared
from responder.stores.schema import decisions, episodes, run_episodes, runs

Signs = tuple[list[Pause], dict[str, str]]
"""The brakes in force, and the targets in doubt with why."""
LINGER = timedelta(seconds=0.25)
"""Before a first telling: a fix that takes a moment is told once, with its outcome."""


class Part:
    """The statements of one port, over a database. A store is the sum of its parts."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        self.db = db
        self.prepared = Prepared(db)

    def now(self) -> datetime:
        """Return the store's clock."""
        return self.db.now()

    def suspicion(self) -> Suspicion | None:
        """Return why the store's clock is doubted, None when it is trusted."""
        return self.db.suspicion()

    async def mark_dirty(self, tx: AsyncConnection, now: datetime, incident_ids: Iterable[str]) -> None:
        """Raise what is wanted of every destination of these incidents."""
        await self.db.write_rows(tx, [Dirty(list(incident_ids), now)])

    async def close_if_over(self, tx: AsyncConnection, now: datetime, incident_ids: Iterable[str]) -> list[Audit]:
        """Close those incidents of which nothing is open; their rows must be locked. Returns what to audit."""
        given = self.db.give("incidents_given", key=sorted({one for one in incident_ids if one}))
        closed = await self.db.fetch(tx, self.prepared.incidents.close_if_over, {**given, "now": now})
        return [Audit("incident.closed", row.id, details={"reason": "resolved"}) for row in closed]

    async def nudge_runs(self, tx: AsyncConnection, now: datetime, run_ids: Collection[str]) -> None:
        """Make runs due at once, however many; one whose turn is under way becomes due when the turn ends."""
        if not run_ids:
            return
        wanted = self.db.among(runs.c.id, "runs_given")
        open_ones = select(runs.c.id).where(wanted, runs.c.finished_at.is_(None))
        locked = open_ones.order_by(runs.c.id).with_for_update().subquery("locked")
        due = {"nudged": True, "due_at": now, "rank_at": rows.rank_now(runs.c.severity, now)}
        given = self.db.give("runs_given", key=sorted(run_ids))
        await tx.execute(update(runs).where(runs.c.id == locked.c.id).values(**due), given)

    async def add_destinations(
        self, tx: AsyncConnection, now: datetime, incident_ids: Collection[str], pairs: Iterable[tuple[str, str]]
    ) -> None:
        """Mark the incidents' outbox rows dirty and make those of ``pairs`` (incident, destination)."""
        await self.db.fetch(tx, self.prepared.tell, destinations_given(self.db, now, incident_ids, pairs))


async def write_audit(tx: AsyncConnection, now: datetime, entries: Sequence[Audit]) -> None:
    """Insert audit entries, in the transition's own transaction."""
    if entries:
        await tx.execute(WRITE_AUDIT, audit_values(now, entries))


def audit_values(now: datetime, entries: Iterable[Audit]) -> list[dict[str, Any]]:
    """Write audit entries."""
    return [
        {"at": now, "actor": one.actor, "action": one.action, "subject": one.subject, "details": dict(one.details)}
        for one in entries
    ]


def begun_entry(pause: Pause) -> Audit:
    """Return the audit entry of a brake that is put on."""
    until = "" if pause.until is None else pause.until.isoformat()
    details = {"id": pause.id, "reason": pause.reason, "until": until, "source": pause.source}
    return Audit(f"{pause.kind}.begun", pause.scope, pause.actor, details)


def destinations_given(
    db: Database, now: datetime, incident_ids: Collection[str], pairs: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """Return the parameters of ``Prepared.tell``."""
    wanted = sorted(set(pairs))
    told = db.give("told", incident=[one for one, _ in wanted], destination=[one for _, one in wanted])
    return {"now": now, "first_told": now + LINGER, **told, **db.give("marked", key=sorted(incident_ids))}


async def nudge_runs(tx: AsyncConnection, now: datetime, run_ids: Collection[str]) -> None:
    """Make runs due at once; one whose turn is under way becomes due when the turn ends.

    Their rows are locked in the order of ids, as everybody does: a pause must not meet a deadlock.
    """
    if run_ids:
        meant = select(runs.c.id).where(runs.c.id.in_(sorted(run_ids)), runs.c.finished_at.is_(None))
        await tx.execute(
            update(runs)
            .where(runs.c.id.in_(meant.order_by(runs.c.id).with_for_update()))
            .values(nudged=True, due_at=now, rank_at=rows.rank_now(runs.c.severity, now)),
        )


async def episodes_decided(tx: AsyncConnection, now: datetime, verdicts: Collection[str]) -> int:
    """Make open and late episodes due whose latest decision is one of ``verdicts``; returns how many.

    Those that wait because a run of theirs was not begun or broken off for one of them are, too.
    """
    named = sorted(str(verdict) for verdict in verdicts)
    later = decisions.alias()
    latest = ~exists(
        select(later.c.id).where(later.c.episode_id == decisions.c.episode_id, later.c.at > decisions.c.at)
    )
    # From the open episodes to their decisions: there are far more decisions than that.
    so_decided = exists().where(
        decisions.c.episode_id == episodes.c.id,
        decisions.c.verdict.in_(named),
        latest,
    )
    so_ended = (episodes.c.reconsider_at > now) & exists().where(
        run_episodes.c.episode_id == episodes.c.id,
        runs.c.id == run_episodes.c.run_id,
        runs.c.finished_at.is_not(None),
        runs.c.verdict.in_(named),
    )
    kicked = await tx.execute(
        update(episodes)
        .where(episodes.c.state != literal_column(f"'{EpisodeState.CLOSED.value}'"), so_decided | so_ended)
        .values(reconsider_at=now),
    )
    return kicked.rowcount


async def signs_in_force(db: Database, tx: AsyncConnection, now: datetime) -> Signs:
    """Read the brakes in force and the targets in doubt."""
    return await signs_of(db, await db.fetch(tx, SIGNS, {"now": now}))


async def signs_of(db: Database, found: Iterable[Any]) -> Signs:
    """Return the brakes in force, this process's own too, and the targets in doubt with why."""
    seen = [row for row in found if row.what in ("pause", "doubt")]
    in_force = sorted((row for row in seen if row.what == "pause"), key=lambda row: (row.at, row.a))
    pauses = [*(rows.pause(row) for row in in_force), *await db.brakes.in_force()]
    return pauses, {row.a: row.b for row in seen if row.what == "doubt"}


def claiming(db: Database, limit: int) -> dict[str, Any]:
    """Return the parameters of a claim of at most ``limit`` rows."""
    now = db.now()
    return {"now": now, "leased_until": now + LEASE, "most": limit, "lapsed": lapsed(db, now)}


def held_by(db: Database) -> dict[str, str]:
    """Return the parameter by which a claim says who made it: nobody, while others could not tell that it ended."""
    return {"held_by": db.life if db.alive else ""}


def lapsed(db: Database, now: datetime) -> datetime:
    """Return when a lease must have run out for its row to be free: before the clock was doubted, when it is."""
    suspicion = db.suspicion()
    return now if suspicion is None else min(now, suspicion.since)


def one_row(written: Sequence[Any], what: str) -> None:
    """Raise Conflict unless exactly one row was written: the lease was lost."""
    if len(written) != 1:
        raise Conflict(f"the lease of {what} was lost")
