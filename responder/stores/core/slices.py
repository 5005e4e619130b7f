"""Decide's transactions: a fixed number of set-based statements, however many alerts a slice holds."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Select, Text, case, func, literal, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.episodes import Decision, Episode, EpisodeState, Incident
from responder.domain.errors import Conflict
from responder.domain.ids import new_id
from responder.domain.limits import Pause, Usage
from responder.domain.runs import FINAL, RunState
from responder.domain.targets import ancestors
from responder.ports.store import LEASE, DeliveryProgress, RunFact, Slice, SliceChanges
from responder.stores.core import rows
from responder.stores.core.database import Database, Order, Rows
from responder.stores.core.heirs import hand_over
from responder.stores.core.overlap import ids_near
from responder.stores.core.paging import hand_page
from responder.stores.core.part import Part, add_destinations, audit_values, signs_in_force
from responder.stores.core.prepared import Prepared
from responder.stores.core.types import Instant
from responder.stores.core.usage import Pair, read_usage
from responder.stores.schema import audit, decisions, deliveries, episodes, holds, incidents, run_episodes, runs

_COUNTING = {
    **{name: f"excluded.{name}" for name in ("reason", "target", "run_id", "retry_at", "at")},
    "times": "decisions.times + 1",
}
_FINAL = frozenset(state.value for state in FINAL)


class SlicesPart(Part):
    """Opens slices."""

    @asynccontextmanager
    async def slice(self) -> AsyncIterator[Slice]:
        """Begin a decide transaction; leaving the block normally commits."""
        async with self.db.writing(Order.DECIDE) as tx:
            yield SqlSlice(self.db, self.prepared, tx)


class SqlSlice:
    """One decide transaction."""

    def __init__(self, db: Database, prepared: Prepared, tx: AsyncConnection) -> None:
        """Read and write in ``tx``."""
        self._db = db
        self._prepared = prepared
        self._tx = tx
        self._now = db.now()
        self._unfinished: dict[str, int] = {}
        self._signs: tuple[list[Pause], dict[str, str]] | None = None

    @property
    def now(self) -> datetime:
        """The store's clock when the transaction began."""
        return self._now

    async def episodes_by_key(self, keys: Collection[tuple[str, str]]) -> Sequence[Episode]:
        """Return for each (source, fingerprint) the open or late episode, else the one closed last."""
        if not keys:
            return []
        wanted = self._db.keys(sorted(set(keys)), (Text(), Text()))
        other = episodes.alias()
        latest = (
            select(other.c.id)
            .where(other.c.source == wanted.c.k0, other.c.fingerprint == wanted.c.k1)
            .order_by(other.c.closed_at.desc().nulls_first())
            .limit(1)
            .correlate(wanted)
            .scalar_subquery()
        )
        return await self._episodes(
            select(episodes).select_from(wanted.join(episodes, episodes.c.id == latest)).with_for_update(of=episodes)
        )

    async def due_episodes(self, limit: int) -> Sequence[Episode]:
        """Return open or late episodes whose time has come, skipping those another slice holds."""
        found = await self._tx.execute(
            select(episodes)
            .where(episodes.c.state != EpisodeState.CLOSED.value, episodes.c.reconsider_at <= self._now)
            .order_by(episodes.c.reconsider_at)
            .limit(limit)
            .with_for_update(skip_locked=True),
        )
        return [rows.episode(row) for row in found]

    async def incidents(self, groups: Collection[tuple[str, str, str]], ids: Collection[str]) -> Sequence[Incident]:
        """Return the open incidents of these groups and those with these ids."""
        if not groups and not ids:
            return []
        hashes = self._db.keys([(one,) for one in sorted({rows.group_hash(*group) for group in groups})])
        given = self._db.keys([(one,) for one in sorted(set(ids))])
        wanted = union(
            select(incidents.c.id).where(incidents.c.group_hash == hashes.c.k0, incidents.c.resolved_at.is_(None)),
            select(given.c.k0),
        ).subquery()
        found = await self._tx.execute(
            select(incidents)
            .where(incidents.c.id.in_(select(wanted.c.id)))
            .order_by(incidents.c.id)
            .with_for_update(of=incidents),
        )
        return [rows.incident(row) for row in found]

    async def episodes_of(self, incidents: Collection[str]) -> Mapping[str, Sequence[Episode]]:
        """Return the open and late episodes of each incident, and count its unfinished runs in the same statement.

        The count must not be older than the hold on the incidents: a run that ended while ``incidents`` waited for it
        would count as unfinished, and nobody would close the incident.
        """
        result: dict[str, list[Episode]] = {one: [] for one in incidents}
        if result:
            given = self._db.keys([(one,) for one in sorted(result)])
            current = (
                select(episodes)
                .where(episodes.c.incident_id.in_(select(given.c.k0)), episodes.c.state != EpisodeState.CLOSED.value)
                .order_by(episodes.c.id)
                .with_for_update()
                .cte("current_episodes")
            )
            working = (
                select(func.count())
                .where(runs.c.incident_id == given.c.k0, runs.c.finished_at.is_(None))
                .scalar_subquery()
            )
            found = await self._tx.execute(
                select(given.c.k0.label("about"), working.label("working"), current)
                .select_from(given.outerjoin(current, current.c.incident_id == given.c.k0))
                .order_by(current.c.id),
            )
            for row in found:
                self._unfinished[row.about] = row.working
                if row.id is not None:
                    result[row.about].append(rows.episode(row))
        return result

    async def unfinished_runs_of(self, incidents: Collection[str]) -> Mapping[str, int]:
        """Count the runs that are not final, by incident."""
        counts = {one: self._unfinished.get(one, 0) for one in incidents}
        unread = sorted(counts.keys() - self._unfinished.keys())  # reading their episodes counted them
        if unread:
            given = self._db.keys([(one,) for one in unread])
            found = await self._tx.execute(
                select(runs.c.incident_id, func.count())
                .where(runs.c.incident_id.in_(select(given.c.k0)), runs.c.finished_at.is_(None))
                .group_by(runs.c.incident_id),
            )
            counts.update((row[0], row[1]) for row in found)
        return counts

    async def runs_near(self, targets: Collection[str], episodes: Collection[str]) -> Sequence[RunFact]:
        """Return unfinished runs near the targets, and every run of these episodes."""
        if not targets and not episodes:
            return []
        parts = ids_near(self._db, runs, runs.c.id, targets, runs.c.finished_at.is_(None)) if targets else []
        given = self._db.keys([(one,) for one in sorted(set(episodes))])
        parts.append(select(run_episodes.c.run_id).where(run_episodes.c.episode_id == given.c.k0))
        near = union(*parts).subquery()
        found = await self._tx.execute(
            select(
                runs.c.id, runs.c.playbook, runs.c.target, runs.c.state, runs.c.created_at, runs.c.finished_at,
                runs.c.effects, runs.c.acted, run_episodes.c.episode_id,
            )
            .select_from(runs.outerjoin(run_episodes, run_episodes.c.run_id == runs.c.id))
            .where(runs.c.id.in_(select(*near.c)))
            .order_by(runs.c.created_at, runs.c.id),
        )  # fmt: skip
        grouped: dict[str, list[Any]] = defaultdict(list)
        for row in found:
            grouped[row.id].append(row)
        return [_fact(group) for group in grouped.values()]

    async def usage(self, pairs: Collection[Pair], since: datetime) -> Mapping[Pair, Usage]:
        """Return the usage of each (playbook, target)."""
        return await read_usage(self._db, self._prepared, self._tx, pairs, since)

    async def quarantined(self, targets: Collection[str]) -> Mapping[str, str]:
        """Return the targets in doubt, with why."""
        _, doubts = await self._signs_now() if targets else ([], {})
        above = {name: why for target, why in doubts.items() for name in (target, *ancestors(target))}
        found = {}
        for target in targets:
            reason = above.get(target) or next((doubts[name] for name in ancestors(target) if name in doubts), None)
            if reason is not None:
                found[target] = reason
        return found

    async def pauses(self) -> Sequence[Pause]:
        """Return the pauses and halts in force."""
        in_force, _ = await self._signs_now()
        return in_force

    async def _signs_now(self) -> tuple[list[Pause], dict[str, str]]:
        """Return pauses in force and quarantines; both are few, and one statement reads them."""
        if self._signs is None:
            self._signs = await signs_in_force(self._tx, self._now)
        return self._signs

    async def write(self, changes: SliceChanges) -> None:
        """Write all; raises Conflict when a delivery's lease was lost or another slice was first."""
        self._unfinished.clear()
        write_rows = self._db.write_rows
        await write_rows(self._tx, [Rows.replacing(episodes, map(rows.episode_values, changes.episodes))])
        await write_rows(self._tx, [Rows.replacing(incidents, map(rows.incident_values, changes.incidents))])
        if changes.joins:
            await self._still_open({run_id for run_id, _ in changes.joins})
        await write_rows(self._tx, self._new_rows(changes))
        if changes.tell:
            pairs = [(one, destination) for one, destinations in changes.tell.items() for destination in destinations]
            await add_destinations(self._db, self._tx, self._now, changes.tell.keys(), pairs)
        await hand_over(self._db, self._tx, changes.heirs)
        await hand_page(self._db, self._tx, changes.heirs)
        await self._write_progress(changes.progress)

    def _new_rows(self, changes: SliceChanges) -> list[Rows]:
        pairs = {(run.id, episode) for run, served in changes.runs for episode in served} | set(changes.joins)
        joined = [{"run_id": run_id, "episode_id": episode} for run_id, episode in sorted(pairs)]
        held = [{"incident_id": one, "state": rows.HELD, "due_at": at} for one, at in sorted(changes.hold.items())]
        first = new_id()  # one for all: a slice may write hundreds
        decided = [_decision_values(f"{first}{place:03x}", one) for place, one in enumerate(_latest(changes.decisions))]
        return [
            Rows(runs, [rows.run_values(run) for run, _ in changes.runs]),
            Rows(run_episodes, joined, ("run_id", "episode_id")),
            Rows(decisions, decided, ("episode_id", "playbook", "verdict"), _COUNTING),
            Rows(audit, audit_values(self._now, changes.audit)),
            Rows(holds, held, ("incident_id",)),
        ]

    async def _episodes(self, query: Select[Any]) -> list[Episode]:
        return [rows.episode(row) for row in await self._tx.execute(query.order_by(episodes.c.id))]

    async def _still_open(self, run_ids: set[str]) -> None:
        """Hold runs that are joined: one that ended meanwhile would never make the episode due again."""
        given = self._db.keys([(one,) for one in sorted(run_ids)])
        found = await self._tx.execute(
            select(runs.c.id, runs.c.state)
            .where(runs.c.id.in_(select(given.c.k0)))
            .order_by(runs.c.id)
            .with_for_update(),
        )
        if {row.id for row in found if RunState(row.state).value not in _FINAL} != run_ids:
            raise Conflict("a run ended before an alert could join it")

    async def _write_progress(self, progress: Sequence[DeliveryProgress]) -> None:
        if not progress:
            return
        values = [(one.id, one.epoch, one.cursor, _delivery_state(one), one.dead) for one in progress]
        given = self._db.keys(values, (Text(), Integer(), Integer(), Text(), Text()))
        written = await self._tx.execute(
            update(deliveries)
            .where(deliveries.c.id == given.c.k0, deliveries.c.epoch == given.c.k1)
            .values(
                cursor=given.c.k2,
                state=given.c.k3,
                error=given.c.k4,
                attempts=0,
                lease_until=case((given.c.k3 == "waiting", literal(self._now + LEASE, Instant)), else_=None),
            )
            .returning(deliveries.c.id),
        )
        if len(written.all()) != len(progress):
            raise Conflict("the lease of a delivery was lost")


def _latest(taken: Sequence[Decision]) -> Iterable[Decision]:
    """Return one decision of each kind: a statement may not write a row twice."""
    return {(one.episode_id, one.playbook, str(one.verdict)): one for one in taken}.values()


def _delivery_state(progress: DeliveryProgress) -> str:
    if progress.dead:
        return "dead"
    return "done" if progress.done else "waiting"


def _decision_values(row_id: str, one: Decision) -> dict[str, Any]:
    return {
        "id": row_id,
        "episode_id": one.episode_id,
        "playbook": one.playbook,
        "verdict": str(one.verdict),
        "reason": one.reason,
        "target": one.target,
        "run_id": one.run_id,
        "retry_at": one.retry_at,
        "first_at": one.at,
        "at": one.at,
        "times": 1,
    }


def _fact(group: Sequence[Any]) -> RunFact:
    first = group[0]
    return RunFact(
        id=first.id,
        playbook=first.playbook,
        target=first.target,
        state=RunState(first.state),
        created_at=first.created_at,
        finished_at=first.finished_at,
        effects=max(first.effects, int(first.acted)),
        episodes=frozenset(row.episode_id for row in group if row.episode_id is not None),
    )
