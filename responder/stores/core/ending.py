"""How runs end: a final state and everything that follows from it, in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.episodes import EpisodeState
from responder.domain.errors import Conflict
from responder.domain.runs import HOLDS_SLOT, Run, RunState
from responder.domain.sentences import sentences
from responder.ports.store import Audit, RunEnd
from responder.stores.core import rows
from responder.stores.core.behind import Need, comes_in, families, graveness, still_behind
from responder.stores.core.database import Database, Dirty, Gone, Order, Patch, Rows, Write
from responder.stores.core.part import Part, audit_values, write_audit
from responder.stores.core.reopening import put_to_people
from responder.stores.core.sight import entered, held_rows, ids_given, is_ours, lost
from responder.stores.core.together import Together
from responder.stores.core.trips import counts_against, trip
from responder.stores.schema import audit, episodes, incidents, ledger, quarantines, runs, slots

_DOUBT = {name: f"excluded.{name}" for name in ("reason", "run_id", "at")}


@dataclass(frozen=True, slots=True)
class Ending:
    """One run's end."""

    run: Run
    end: RunEnd
    audit: Sequence[Audit] = ()


class EndingPart(Part):
    """Writes the ends of runs."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        super().__init__(db)
        self._finish = Together(self._finish_all)

    async def finish(self, run: Run, end: RunEnd, audit: Sequence[Audit] = ()) -> None:
        """Write a final state and everything that follows from it."""
        await self._finish(Ending(run, end, audit))

    async def keep(self, run: Run, end: RunEnd, audit: Sequence[Audit] = ()) -> None:
        """Write that a run has helped and is kept for a time: all that follows from an end but the end itself."""
        await self._finish(Ending(run, end, audit))

    async def _finish_all(self, asked: Sequence[Ending]) -> Sequence[Exception | None]:
        async with self.db.writing(Order.RECORD) as tx:
            return await self.finish_in(tx, self.now(), asked)

    async def finish_in(
        self, tx: AsyncConnection, now: datetime, asked: Sequence[Ending]
    ) -> Sequence[Exception | None]:
        """Write the ends in ``tx``; an error stands for a run whose lease was lost, or that was stopped meanwhile.

        The order of locks is that of everybody: episodes, incidents, runs, then what belongs to the runs, the outbox.
        """
        ids = ids_given(self.db, (one.run.id for one in asked))
        served = await self.db.fetch(tx, self.prepared.lock_episodes, ids)
        joined = await self._joined(tx, asked)
        clearing = await families(tx, [one.run for one in asked if one.end.clear_person])
        latches = await self._latches(tx, asked, joined, clearing)
        held = await held_rows(self.db, self.prepared, tx, [one.run for one in asked])
        stopped = {one.run.id for one in asked if _stopped_meanwhile(one.run, held)}
        ours = [
            one
            for one in asked
            if one.run.id not in stopped and is_ours(held, one.run) and held[one.run.id].finished_at is None
        ]
        if ours:
            # Who only calls a person goes on: its target and its budget stay its own.
            over = [one for one in ours if one.run.state not in HOLDS_SLOT]
            asking = [one.run.id for one in ours if one.run.progress.asked]
            if asking:
                await self.db.fetch(tx, self.prepared.void_approvals, ids_given(self.db, asking))
            due = await self._due(tx, ours, served)
            doubts = {one.run.target: _doubt(one, now) for one in ours if one.end.quarantine}
            entries = [*entered(held, [one.run for one in ours]), *map(_quarantined, doubts.values())]
            entries += [entry for one in ours for entry in one.audit]
            ended = {run_id for one in ours for run_id in clearing.get(one.run.id, ())}
            waiting = await still_behind(tx, [key for key, row in latches.items() if row.needs_person_run in ended])
            asks = any(one.end.needs_person for one in ours)
            shown = [row.needs_person_run for row in latches.values() if asks]
            grave = await graveness(tx, shown, [one.run for one in ours])
            latched, more = _latched(latches, ours, joined, clearing, waiting, grave=grave)
            seen = await put_to_people(tx, latched, latches)
            entries += [*more, *seen.audit]
            about = sorted({*(one.run.incident_id for one in ours), *(row["id"] for row in seen.latches), *seen.about})
            # A kept change that a person takes back has nothing left to wait for.
            await self.nudge_runs(tx, now, sorted({one.run.of_run for one in ours if one.run.of_run}))
            writes: list[Write] = [
                Patch(runs, [_final(one.run, now) for one in ours if one.run.state.final]),
                Patch(runs, [_kept(one.run, held[one.run.id], now) for one in ours if not one.run.state.final]),
                Patch(episodes, due),
                Patch(incidents, seen.latches),
                Gone(slots, [{"run_id": one.run.id} for one in over]),
                Gone(ledger, [{"run_id": one.run.id, "record_id": ""} for one in over]),  # reserved and not used
                Rows(quarantines, list(doubts.values()), ("target",), _DOUBT),
                Rows(audit, audit_values(now, entries)),
                Dirty(about, now),
            ]
            await self.db.write_rows(tx, writes)
            closed = await self.close_if_over(tx, now, about)
            await write_audit(tx, now, closed)
            failed = [one for one in ours if held[one.run.id].acted and counts_against(one.run)]
            allowed = {one.run.playbook: one.end.trip_after for one in failed if one.end.trip_after is not None}
            await trip(self.db, tx, now, allowed)
        return [None if one in ours else _why_not(one.run, stopped) for one in asked]

    async def _joined(self, tx: AsyncConnection, asked: Sequence[Ending]) -> Mapping[str, Sequence[str]]:
        """Return the incidents of the alerts that each run serves which leaves something to a person."""
        asking = [one.run.id for one in asked if one.end.needs_person]
        found: dict[str, list[str]] = {one: [] for one in asking}
        if asking:
            for row in await self.db.fetch(tx, self.prepared.incidents.joined, ids_given(self.db, asking)):
                found[row.run_id].append(row.incident_id)
        return found

    async def _latches(
        self,
        tx: AsyncConnection,
        asked: Sequence[Ending],
        joined: Mapping[str, Sequence[str]],
        clearing: Mapping[str, Collection[str]],
    ) -> Mapping[str, Row[Any]]:
        """Lock the incidents that may change: of two last runs that end at once, the second one closes the incident.

        They are those of the runs, those of the alerts that joined them, and those that wait for a person because of
        a run that has helped now after all.
        """
        ids = {one.run.incident_id for one in asked if one.run.incident_id}.union(*joined.values())
        given = self.db.give("incidents_given", key=sorted(ids))
        statement = self.prepared.incidents.lock
        if clearing:
            statement = self.prepared.incidents.lock_latched
            given |= self.db.give("latched_by", key=sorted({one for its in clearing.values() for one in its}))
        return {row.id: row for row in await self.db.fetch(tx, statement, given)}

    async def _due(
        self, tx: AsyncConnection, ours: Sequence[Ending], served: Sequence[Row[Any]]
    ) -> list[dict[str, Any]]:
        """Return the episodes to be looked at again, the earliest wish of each."""
        wishes = {one.run.id: one.end for one in ours if one.end.retry_at is not None}
        if not wishes:
            return []
        open_ = {row.id: row for row in served if row.state != EpisodeState.CLOSED.value}
        found: dict[str, dict[str, Any]] = {}
        for row in await self.db.fetch(tx, self.prepared.served, ids_given(self.db, wishes)):
            end = wishes[row.run_id]
            known = found.get(row.episode_id)
            if row.episode_id in open_ and (known is None or end.retry_at < known["reconsider_at"]):
                after = end.after or open_[row.episode_id].after
                found[row.episode_id] = {"id": row.episode_id, "reconsider_at": end.retry_at, "after": after}
        return sorted(found.values(), key=lambda value: str(value["id"]))


_HEEDS_A_STOP = frozenset(
    {
        RunState.VERIFIED,
        RunState.KEPT,
        RunState.FAILED,
        RunState.UNKNOWN,
        RunState.SKIPPED,
        RunState.EXPIRED,
        RunState.ROLLED_BACK,
    }
)
"""States that leave what was changed, or behind which a playbook may have its turn: not when a person said stop."""


def _stopped_meanwhile(run: Run, held: Mapping[str, Row[Any]]) -> bool:
    """Say whether a person stopped the run during the turn that ends it, which has not seen that.

    Whoever stops a run wants undone what it has changed, and nothing further begun. The turn is lost, and the next one
    sees it; of what is kept already nothing more comes of a stop.
    """
    if run.kind != "forward" or run.stop_by or run.kept_at is not None or run.state not in _HEEDS_A_STOP:
        return False
    return run.id in held and bool(held[run.id].stop_by)


def _why_not(run: Run, stopped: Collection[str]) -> Conflict:
    return Conflict(f"run {run.id} was stopped during its turn") if run.id in stopped else lost(run)


def _final(run: Run, now: datetime) -> dict[str, Any]:
    finished = replace(run, finished_at=run.finished_at or now)
    return {"id": run.id, **rows.run_changes(finished), "lease_until": None, "attempts": 0}


def _kept(run: Run, held: Row[Any], now: datetime) -> dict[str, Any]:
    kept_at = (run.kept_at or now) if run.state is RunState.KEPT else run.kept_at
    kept = replace(run, kept_at=kept_at, due_at=now if held.nudged else run.due_at)
    timing = {"due_at": kept.due_at, "rank_at": rows.rank_at(kept.due_at, kept.severity)}
    return {"id": run.id, **rows.run_changes(kept), **timing, "lease_until": None, "attempts": 0}


def _doubt(one: Ending, now: datetime) -> dict[str, Any]:
    return {"target": one.run.target, "reason": one.end.quarantine, "run_id": one.run.id, "at": now}


def _quarantined(doubt: Mapping[str, Any]) -> Audit:
    return Audit("target.quarantined", doubt["target"], details={"reason": doubt["reason"], "run": doubt["run_id"]})


def _latched(
    latches: Mapping[str, Row[Any]],
    ours: Sequence[Ending],
    joined: Mapping[str, Sequence[str]],
    clearing: Mapping[str, Collection[str]],
    waiting: Mapping[str, Sequence[Need]],
    *,
    grave: Mapping[str, int],
) -> tuple[list[dict[str, Any]], list[Audit]]:
    """Return the incidents whose latch changes, and what is behind it: a reason stands until a graver one or its end.

    Its own run clears it at most, and the next one that waits takes its place. Those of which only an alert joined the
    run are told which run it was: their messages do not show it.
    """
    needs = {
        key: [(row.needs_person, row.needs_person_run), *waiting.get(key, ())] if row.needs_person else []
        for key, row in latches.items()
    }
    more: list[Audit] = []
    for one in ours:
        if one.end.needs_person:
            home = one.run.incident_id
            elsewhere = [key for key in joined[one.run.id] if key != home and _open(latches.get(key))]
            there = sentences(one.end.needs_person, f"Run {one.run.id} served this alert, too.")
            for key, reason in [(home, one.end.needs_person), *((key, there) for key in elsewhere)]:
                if key in needs:
                    more += comes_in(key, needs[key], (reason, one.run.id), grave)
        elif one.end.clear_person:
            for key, its in needs.items():
                needs[key] = [need for need in its if need[1] not in clearing[one.run.id]]
    shown = {key: its[0] if its else ("", "") for key, its in needs.items()}
    return [
        {"id": key, "needs_person": reason, "needs_person_run": by}
        for key, (reason, by) in sorted(shown.items())
        if (reason, by) != (latches[key].needs_person, latches[key].needs_person_run)
    ], more


def _open(latch: Row[Any] | None) -> bool:
    return latch is not None and latch.resolved_at is None
