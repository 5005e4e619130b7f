"""Decide's transactions: a fixed number of set-based statements, however many alerts a slice holds."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.alerts import Severity
from responder.domain.episodes import Decision, Episode, EpisodeState, Group, Incident
from responder.domain.errors import Conflict
from responder.domain.ids import new_id
from responder.domain.limits import Limits, Pause, Usage
from responder.domain.runs import FINAL
from responder.domain.suspicion import Suspicion
from responder.domain.targets import ancestors
from responder.ports.store import LEASE, DeliveryProgress, RunFact, Slice, SliceChanges
from responder.stores.core import rows
from responder.stores.core.database import Database, Order, Patch, Rows
from responder.stores.core.heirs import hand_over
from responder.stores.core.overlap import near_given
from responder.stores.core.paging import hand_page
from responder.stores.core.part import (
    Part,
    Signs,
    audit_values,
    destinations_given,
    nudge_runs,
    signs_in_force,
    signs_of,
)
from responder.stores.core.prepared import Prepared
from responder.stores.core.slice_statements import TOUCHED, SliceStatements
from responder.stores.core.usage import Pair, Reach, usage_given, usage_of
from responder.stores.schema import audit, decisions, episodes, holds, incidents, run_episodes, runs, truncated

COUNTING = {
    **{name: f"excluded.{name}" for name in ("reason", "target", "run_id", "retry_at", "at")},
    "times": "decisions.times + 1",
}
"""What becomes of a decision that was taken before: it counts."""
_AGAIN = {name: f"excluded.{name}" for name in ("group_labels", "external_url", "at")}
_BY_RANK = {severity.rank: severity for severity in Severity}
_FINAL = frozenset(state.value for state in FINAL)


_KEPT = attrgetter(*(one.name for one in fields(Episode) if one.name not in TOUCHED))
"""What an episode's whole row is written for."""


class SlicesPart(Part):
    """Opens slices."""

    def __init__(self, db: Database) -> None:
        """Build the statements."""
        super().__init__(db)
        self._statements = SliceStatements(db)

    @asynccontextmanager
    async def slice(self) -> AsyncIterator[Slice]:
        """Begin a decide transaction; leaving the block normally commits."""
        async with self.db.writing(Order.DECIDE) as tx:
            yield SqlSlice(self.db, self.prepared, self._statements, tx)


class SqlSlice:
    """One decide transaction."""

    def __init__(self, db: Database, prepared: Prepared, statements: SliceStatements, tx: AsyncConnection) -> None:
        """Read and write in ``tx``."""
        self._db = db
        self._prepared = prepared
        self._tx = tx
        self._statements = statements
        self._now = db.now()
        self._locked: dict[str, Episode] = {}
        """The episodes read so far. They are locked, so the store has them like this until ``write``."""
        self._unfinished: dict[str, int] = {}
        self._signs: Signs | None = None

    @property
    def now(self) -> datetime:
        """The store's clock when the transaction began."""
        return self._now

    def suspicion(self) -> Suspicion | None:
        """Return why the store's clock is doubted, None when it is trusted."""
        return self._db.suspicion()

    async def episodes_by_key(self, keys: Collection[tuple[str, str]]) -> Sequence[Episode]:
        """Return for each (source, fingerprint) the open or late episode, else the one closed last.

        Of two slices about one alert the second waits here until the first has ended, and sees what that wrote. The
        rows alone do not see to it: there may be none yet, and of an alert that fires again there is a new one. So the
        alerts themselves are locked, by statements of their own: a statement sees what was committed when it began.

        No deadlock can come of it. These are the first locks of a slice, taken in one order; whoever waits for one
        holds nothing else, and nobody but slices takes them. ``due_episodes`` does without: it only ends or judges
        episodes that are there, and skips those that another slice has locked. They are no more than the alerts of a
        slice (``decider.SLICE``) in each process, however large a delivery is: they do not use up the server's table of
        locks, which all sessions share (6,400 by default).
        """
        if not keys:
            return []
        wanted = sorted(set(keys))
        await self._db.lock(self._tx, [f"alert/{source}/{fingerprint}" for source, fingerprint in wanted])
        given = self._db.give("keys", source=[one for one, _ in wanted], fingerprint=[one for _, one in wanted])
        return await self._episodes(self._statements.episodes_by_key, given)

    async def due_episodes(self, limit: int) -> Sequence[Episode]:
        """Return open or late episodes whose time has come, skipping those another slice holds."""
        return await self._episodes(self._statements.due_episodes, {"now": self._now, "most": limit})

    async def incidents(self, groups: Collection[tuple[str, str, str]], ids: Collection[str]) -> Sequence[Incident]:
        """Return the open incidents of these groups and those with these ids."""
        if not groups and not ids:
            return []
        hashes = sorted({rows.group_hash(*group) for group in groups})
        given = {**self._db.give("hashes", key=hashes), **self._db.give("ids", key=sorted(set(ids)))}
        return [rows.incident(row) for row in await self._db.fetch(self._tx, self._statements.incidents, given)]

    async def others_of(self, incidents: Collection[str]) -> Mapping[str, Severity | None]:
        """Return the worst severity of the open episodes not read yet, and count unfinished runs in the same go."""
        result: dict[str, Severity | None] = dict.fromkeys(incidents)
        if result:
            known = [one.id for one in self._locked.values() if one.incident_id in result]
            given = self._db.give("incidents", key=sorted(result)) | self._db.give("known", key=sorted(known))
            for row in await self._db.fetch(self._tx, self._statements.others, given):
                self._unfinished[row.about] = row.working
                result[row.about] = None if row.rank is None else _BY_RANK[row.rank]
        return result

    async def unfinished_runs_of(self, incidents: Collection[str]) -> Mapping[str, int]:
        """Count the runs that are not final, by incident."""
        counts = {one: self._unfinished.get(one, 0) for one in incidents}
        unread = sorted(counts.keys() - self._unfinished.keys())  # reading their episodes counted them
        if unread:
            found = await self._db.fetch(self._tx, self._statements.unfinished, self._db.give("incidents", key=unread))
            counts.update((row[0], row[1]) for row in found)
        return counts

    async def runs_near(
        self, targets: Collection[str], episodes: Collection[str], since: datetime
    ) -> Sequence[RunFact]:
        """Return the runs near the targets that are unfinished or changed something lately, and all of the episodes."""
        if not targets and not episodes:
            return []
        given = self._db.give("episodes", key=sorted(set(episodes)))
        if targets:
            given |= near_given(self._db, targets) | {"touched_since": since}
        found = await self._db.fetch(
            self._tx, self._statements.runs_near if targets else self._statements.runs_of_episodes, given
        )
        grouped: dict[str, list[Any]] = defaultdict(list)
        for row in found:
            grouped[row.id].append(row)
        return [_fact(group) for group in grouped.values()]

    async def usage(self, asked: Mapping[Pair, Limits]) -> Mapping[Pair, Usage]:
        """Return what the limits of each (playbook, target) go by: as far back as these limits look, no farther."""
        if not asked:
            return {}
        reach = Reach.of(asked.items(), self._now)
        counted = {("", playbook) for (playbook, _), limits in asked.items() if limits.concurrent is not None}
        query = self._prepared.capped_usage if reach.caps else self._prepared.usage
        found = await self._db.fetch(self._tx, query, {**usage_given(self._db, reach, counted), "now": self._now})
        self._signs = await signs_of(self._db, found)  # whoever asks for the one asks for the other
        return usage_of(found, asked, self._now, reach.caps)

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

    async def _signs_now(self) -> Signs:
        """Return pauses in force and quarantines; both are few, and one statement reads them."""
        if self._signs is None:
            self._signs = await signs_in_force(self._db, self._tx, self._now)
        return self._signs

    async def write(self, changes: SliceChanges) -> None:
        """Write all; raises Conflict when a delivery's lease was lost or another slice was first."""
        self._unfinished.clear()
        if changes.joins:
            await self._still_open({run_id for run_id, _ in changes.joins})
        await self._db.write_rows(self._tx, [*self._episode_rows(changes.episodes), *self._new_rows(changes)])
        await self._ask_no_more([one.id for one in changes.episodes if one.state is EpisodeState.CLOSED])
        if changes.tell:
            pairs = [(one, destination) for one, destinations in changes.tell.items() for destination in destinations]
            given = destinations_given(self._db, self._now, changes.tell.keys(), pairs)
            await self._db.fetch(self._tx, self._prepared.tell, given)
        await hand_over(self._db, self._tx, changes.heirs)
        await hand_page(self._db, self._tx, changes.heirs)
        await self._write_progress(changes.progress)

    def _episode_rows(self, changed: Sequence[Episode]) -> tuple[Rows, Patch]:
        """Return whole rows only where there is more to say than that an alert was heard of again."""
        whole: list[Episode] = []
        touched: list[Episode] = []
        for one in changed:
            before = self._locked.pop(one.id, None)
            (touched if before is not None and _KEPT(before) == _KEPT(one) else whole).append(one)
        heard = [{name: getattr(one, name) for name in ("id", *TOUCHED)} for one in touched]
        return Rows.replacing(episodes, map(rows.episode_values, whole), _ends_first), Patch(episodes, heard)

    def _new_rows(self, changes: SliceChanges) -> list[Rows]:
        pairs = {(run.id, episode) for run, served in changes.runs for episode in served} | set(changes.joins)
        joined = [{"run_id": run_id, "episode_id": episode} for run_id, episode in sorted(pairs)]
        held = [{"incident_id": one, "state": rows.HELD, "due_at": at} for one, at in sorted(changes.hold.items())]
        first = new_id()  # one for all: a slice may write hundreds
        decided = [decision_values(f"{first}{place:03x}", one) for place, one in enumerate(_latest(changes.decisions))]
        return [
            Rows.replacing(incidents, map(rows.incident_values, changes.incidents)),
            Rows(runs, [rows.run_values(run) for run, _ in changes.runs]),
            Rows(run_episodes, joined, ("run_id", "episode_id")),
            Rows(holds, held, ("incident_id",)),
            Rows(decisions, decided, ("episode_id", "playbook", "verdict"), COUNTING),
            Rows(audit, audit_values(self._now, changes.audit)),
            Rows(truncated, _truncated(changes.truncated, self._now), ("group_hash",), _AGAIN),
        ]

    async def _episodes(self, query: Select[Any], given: Mapping[str, Any]) -> list[Episode]:
        found = [rows.episode(row) for row in await self._db.fetch(self._tx, query, given)]
        self._locked.update({one.id: one for one in found})
        return found

    async def _ask_no_more(self, ended: Sequence[str]) -> None:
        """Let the runs of alerts that ended look again when they ask people, or are about to."""
        if ended:
            given = self._db.give("ended", key=sorted(ended))
            asking = await self._db.fetch(self._tx, self._statements.about_to_ask, given)
            await nudge_runs(self._tx, self._now, [row.id for row in asking])

    async def _still_open(self, run_ids: set[str]) -> None:
        """Hold runs that are joined: one that ended meanwhile would never make the episode due again."""
        found = await self._db.fetch(
            self._tx, self._statements.joined_runs, self._db.give("joined", key=sorted(run_ids))
        )
        if {row.id for row in found if row.state not in _FINAL} != run_ids:
            raise Conflict("a run ended before an alert could join it")

    async def _write_progress(self, progress: Sequence[DeliveryProgress]) -> None:
        if not progress:
            return
        given = self._db.give(
            "progress",
            id=[one.id for one in progress],
            epoch=[one.epoch for one in progress],
            cursor=[one.cursor for one in progress],
            state=[_delivery_state(one) for one in progress],
            error=[one.dead or one.note for one in progress],
        )
        written = await self._db.fetch(
            self._tx, self._statements.progress, {"leased_until": self._now + LEASE, **given}
        )
        if len(written) != len(progress):
            raise Conflict("the lease of a delivery was lost")


def _ends_first(episode: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Order episodes so that an alert's old one ends before its new one begins: it has one at a time.

    Ids do not tell which is the old one: they are made by the wall clock, which may be set back. Those that are there
    were locked when they were read, in the order of ids; of new ones, slices that meet wait in the order of keys.
    """
    return episode["state"] != EpisodeState.CLOSED.value, episode["source"], episode["fingerprint"]


def _latest(taken: Sequence[Decision]) -> Iterable[Decision]:
    """Return one decision of each kind: a statement may not write a row twice."""
    return {(one.episode_id, one.playbook, str(one.verdict)): one for one in taken}.values()


def _delivery_state(progress: DeliveryProgress) -> str:
    if progress.dead:
        return "dead"
    return "done" if progress.done else "waiting"


def decision_values(row_id: str, one: Decision) -> dict[str, Any]:
    """Write a decision."""
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


def _truncated(groups: Sequence[Group], now: datetime) -> list[dict[str, Any]]:
    """Write the groups in one order, as everybody does."""
    return sorted((_truncated_values(one, now) for one in groups), key=lambda values: str(values["group_hash"]))


def _truncated_values(group: Group, now: datetime) -> dict[str, Any]:
    return {
        "group_hash": rows.group_hash(group.source, group.receiver, group.group_key),
        "source": group.source,
        "receiver": group.receiver,
        "group_key": group.group_key,
        "group_labels": dict(group.labels),
        "external_url": group.external_url,
        "at": now,
    }


def _fact(group: Sequence[Any]) -> RunFact:
    first = group[0]
    return RunFact(
        id=first.id,
        playbook=first.playbook,
        target=first.target,
        state=rows.state(first.state, over=first.finished_at is not None),
        created_at=first.created_at,
        finished_at=first.finished_at,
        kept_at=first.kept_at,
        effects=max(first.effects, int(first.acted)),
        episodes=frozenset(row.episode_id for row in group if row.episode_id is not None),
        began_at=first.started_at if first.acted or first.finished_at is None else None,
        depth=first.depth,
        left_alone_until=datetime.fromisoformat(first.left_alone_until) if first.left_alone_until else None,
        declined=bool(first.declined),
    )
