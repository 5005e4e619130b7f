"""What people ask for: answers, stops, rollbacks and the way back from each; brakes are in brakes.py."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Select, case, delete, exists, literal, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.approvals import answered
from responder.domain.episodes import Episode, EpisodeState
from responder.domain.errors import Unavailable
from responder.domain.ids import new_id
from responder.domain.limits import Refusal
from responder.domain.modes import Mode
from responder.domain.records import RecordState
from responder.domain.runs import FORMAT, Progress, Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.audit import CHANGE, CHANGES
from responder.ports.store import Audit, Page
from responder.stores.core import rows
from responder.stores.core.accounts import ACKNOWLEDGED
from responder.stores.core.database import Order
from responder.stores.core.pages import read_page
from responder.stores.core.paging import take_page
from responder.stores.core.part import Part, episodes_decided, write_audit
from responder.stores.schema import (
    approvals,
    deliveries,
    episodes,
    incidents,
    meta,
    outbox,
    quarantines,
    records,
    run_episodes,
    runs,
)

_ANSWERED = {"pending": "run.first_yes", "approved": "run.approved", "rejected": "run.rejected"}
"""What the audit log says of an answer, by what it makes of the question."""
_ONCE = "pressed/"
"""Before the key in ``meta`` of a request that was taken up."""
_REPLAYS = timedelta(days=1)
"""How long such a key is kept: what comes again later is refused for its age, after five minutes of a right clock."""
_SHORTEST_ROLLBACK = timedelta(minutes=10)
"""A rollback has at least this long, however short the run that it undoes was."""
_STILL_THERE = tuple(state.value for state in RecordState if state not in (RecordState.NOT_APPLIED, RecordState.UNDONE))
"""States of a record of which a person's rollback may find something to undo, at least by looking."""


class PeoplePart(Part):
    """What the API and the command line read and ask for."""

    async def page(self, kind: str, filters: Mapping[str, str], limit: int, cursor: str) -> Page:
        """List rows as plain JSON; raises ValueError naming an unknown filter."""
        async with self.db.reading() as tx:
            return await read_page(tx, kind, filters, limit, cursor)

    async def run(self, run_id: str) -> Run | None:
        """Return one run."""
        async with self.db.reading() as tx:
            return await _run(tx, run_id)

    async def episodes_matching(self, labels: Mapping[str, str], limit: int) -> Sequence[Episode]:
        """Return the latest episodes that carry all these labels."""
        async with self.db.reading() as tx:
            found = await tx.execute(
                select(episodes)
                .where(self.db.carries(episodes.c.labels, dict(labels)))
                .order_by(episodes.c.opened_at.desc(), episodes.c.id.desc())
                .limit(limit),
            )
            return [rows.episode(row) for row in found]

    async def answer(self, run_id: str, approve: bool, actor: str, plan_hash: str, comment: str) -> Refusal | None:  # noqa: FBT001 - the answer itself
        """Approve or reject the open question of a run."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            await self._hold(tx, run_id)
            asked = (
                await tx.execute(
                    select(approvals)
                    .where(approvals.c.run_id == run_id)
                    .order_by(approvals.c.asked_at.desc(), approvals.c.id.desc())
                    .limit(1)
                    .with_for_update(),
                )
            ).one_or_none()
            run = await _run(tx, run_id)
            after = answered(
                None if asked is None else rows.approval(asked),
                yes=approve,
                actor=actor,
                plan_hash=plan_hash,
                comment=comment,
                requested_by="" if run is None else run.context.requested_by,
                now=now,
            )
            if isinstance(after, Refusal):
                await write_audit(tx, now, [_refused(run_id, approve, actor, after.reason)])
                return after
            await tx.execute(update(approvals).where(approvals.c.id == after.id).values(**rows.answer_values(after)))
            if after.state == "rejected":
                await _stop(tx, run_id, actor)  # it counts from now on, not once the run has taken it up
                await self._covers_its_alerts(tx, run_id)
            if after.state != "pending":
                await self.nudge_runs(tx, now, [run_id])
            await self.mark_dirty(tx, now, ["" if run is None else run.incident_id])
            details = {"approval": after.id, "plan_hash": after.plan_hash, "comment": comment}
            await write_audit(tx, now, [Audit(_ANSWERED[after.state], run_id, actor, details)])
        return None

    async def refuse_answer(self, run_id: str, approve: bool, actor: str, reason: str) -> None:  # noqa: FBT001 - the answer itself
        """Write down that an answer did not count because of who gave it."""
        async with self.db.writing(Order.CONTROL) as tx:
            await write_audit(tx, self.now(), [_refused(run_id, approve, actor, reason)])

    async def stop(self, run_id: str, actor: str) -> bool:
        """Ask a run to stop."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            await self._hold(tx, run_id)
            if not await _stop(tx, run_id, actor):
                return False
            run = await _run(tx, run_id)
            if run is not None and run.kept_at is None:  # what helped and is to stay nobody has said no to
                await self._covers_its_alerts(tx, run_id)
            await self.nudge_runs(tx, now, [run_id])
            await write_audit(tx, now, [Audit("run.stop_asked", run_id, actor)])
        return True

    async def roll_back(self, run_id: str, actor: str, reason: str) -> Run | Refusal:
        """Create a rollback run over the records of a run that has ended or is kept for a time."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            await self._hold(tx, run_id)
            run = await _run(tx, run_id)
            refusal = await _cannot_roll_back(tx, run_id, run)
            if run is None or refusal is not None:
                return refusal or Refusal(Verdict.NOT_UNDOABLE, f"there is no run {run_id}")
            rollback = replace(
                run,
                id=new_id(),
                kind="rollback",
                state=RunState.READY,
                mode=Mode.AUTO,
                context=run.context.model_copy(update={"requested_by": actor, "reason": reason}),
                progress=Progress(),
                created_at=now,
                due_at=now,
                deadline=now + max(run.deadline - run.created_at, _SHORTEST_ROLLBACK),
                of_run=run.id,
                stop_by="",
                verdict=None,
                reason="",
                started_at=None,
                finished_at=None,
                kept_at=None,
                effects=0,
                attempts=0,
                epoch=0,
            )
            await tx.execute(runs.insert(), rows.run_values(rollback))
            await self._covers_its_alerts(tx, run_id)
            await self.mark_dirty(tx, now, [run.incident_id])
            details = {"rollback": rollback.id, "reason": reason}
            await write_audit(tx, now, [Audit("run.rollback_asked", run.id, actor, details)])
        return rollback

    async def _hold(self, tx: AsyncConnection, run_id: str) -> None:
        """Hold a run and its alerts: they do not change under what a person says, and two people come in turn.

        The open episodes come first, as everywhere. Their rows are held and not the alerts (``episodes_by_key``): a run
        may serve thousands, more than the server has room for in its table of locks. It is enough, for a slice that
        lets an alert begin anew holds the row of the episode that it ends.
        """
        await tx.execute(_alerts_now(run_id).order_by(episodes.c.id).with_for_update())
        await tx.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())

    async def _covers_its_alerts(self, tx: AsyncConnection, run_id: str) -> None:
        """Let a no to a run hold for its alerts as they are now.

        They may have begun anew since, unheard of by the person: while the playbook rested, was paused or the alert
        flapped, the new life did not join the run, and would do again what is just being undone.
        """
        now = _alerts_now(run_id).with_only_columns(literal(run_id), episodes.c.id)
        joined = self.db.insert(run_episodes).from_select(["run_id", "episode_id"], now)
        await tx.execute(joined.on_conflict_do_nothing())

    async def acknowledge(self, incident_id: str, actor: str) -> bool:
        """Clear the needs-a-person latch and take the page that is held back or out; False when there is neither."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            cleared = await tx.execute(
                update(incidents)
                .where(incidents.c.id == incident_id, incidents.c.needs_person != "")
                .values(needs_person="", needs_person_run=""),
            )
            taken = await take_page(tx, incident_id)
            if cleared.rowcount != 1 and not taken:
                return False
            closed = await self.close_if_over(tx, now, [incident_id])
            await write_audit(tx, now, [Audit(ACKNOWLEDGED, incident_id, actor), *closed])
            await self.mark_dirty(tx, now, [incident_id])
        return True

    async def clear_quarantine(self, target: str, actor: str) -> bool:
        """Let forward effects at a target again."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            cleared = await tx.execute(delete(quarantines).where(quarantines.c.target == target))
            if cleared.rowcount != 1:
                return False
            await episodes_decided(tx, now, [Verdict.QUARANTINED])
            await write_audit(tx, now, [Audit("target.cleared", target, actor)])
        return True

    async def announce_change(self, actor: str, summary: str, target: str, labels: Mapping[str, str]) -> None:
        """Write down a change that somebody else has made."""
        details: dict[str, JsonValue] = {"summary": summary, "target": target, "labels": {**labels}}
        async with self.db.writing(Order.CONTROL) as tx:
            await write_audit(tx, self.now(), [Audit(CHANGE, CHANGES, actor, details)])

    async def pressed(self, once: str, press: Audit, incident_id: str) -> bool:
        """Write down a click, and tell the incident's destinations; False when ``once`` was seen before."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            await tx.execute(delete(meta).where(meta.c.key.like(f"{_ONCE}%"), meta.c.value < _stamp(now - _REPLAYS)))
            new = self.db.insert(meta).values(key=_ONCE + once, value=_stamp(now)).on_conflict_do_nothing()
            if (await tx.execute(new.returning(meta.c.key))).first() is None:
                return False
            await write_audit(tx, now, [press])
            if incident_id:
                await self.mark_dirty(tx, now, [incident_id])
        return True

    async def press_refused(self, refused: Audit, incident_id: str) -> None:
        """Write down that a click did nothing, and tell the incident's destinations."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            await write_audit(tx, now, [refused])
            if incident_id:
                await self.mark_dirty(tx, now, [incident_id])

    async def redrive(self, kind: str, row_id: str, actor: str) -> bool:
        """Bring a dead delivery or outbox item (``incident|destination``) back."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            again: dict[str, Any] = {"error": "", "attempts": 0, "due_at": now, "lease_until": None}
            if kind.startswith("deliver"):
                dead = update(deliveries).where(deliveries.c.id == row_id, deliveries.c.state == "dead")
                found = await tx.execute(dead.values(**again, state="waiting"))
            elif kind == "outbox":
                incident_id, _, destination = row_id.partition("|")
                item = (outbox.c.incident_id == incident_id) & (outbox.c.destination == destination)
                # As after a first claim: something may have arrived that was never noted.
                back = again | {"attempts": 1, "dead": False}
                found = await tx.execute(update(outbox).where(item, outbox.c.dead).values(**back))
            else:
                msg = f"only deliveries and outbox items can be brought back, not {kind!r}"
                raise ValueError(msg)
            if found.rowcount != 1:
                return False
            await write_audit(tx, now, [Audit(f"{kind}.redriven", row_id, actor)])
        return True


def _stamp(at: datetime) -> str:
    """Return an instant as a text that sorts as it does."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _alerts_now(run_id: str) -> Select[Any]:
    """Return the episodes that are not over of the alerts that a run serves, whichever of their lives it began for."""
    served = select(run_episodes.c.episode_id).where(run_episodes.c.run_id == run_id)
    of_it = episodes.alias()
    alerts = select(of_it.c.source, of_it.c.fingerprint).where(of_it.c.id.in_(served))
    same = tuple_(episodes.c.source, episodes.c.fingerprint).in_(alerts)
    return select(episodes.c.id).where(same, episodes.c.state != EpisodeState.CLOSED.value)


async def _stop(tx: AsyncConnection, run_id: str, actor: str) -> bool:
    """Write down that a run is to stop; False when nothing would come of it. The first who asked is named.

    What is being taken back by a person's rollback is no longer to be stopped: neither is that, once it undoes, nor
    is the run whose kept change it takes.
    """
    back = runs.alias("back")
    taken_back = exists(select(back.c.id).where(back.c.of_run == runs.c.id, back.c.finished_at.is_(None)))
    stoppable = case(
        (runs.c.kind == "rollback", runs.c.state == RunState.READY.value),
        (runs.c.state == RunState.KEPT.value, ~taken_back),
        else_=true(),
    )
    first = case((runs.c.stop_by == "", actor), else_=runs.c.stop_by)
    open_ = update(runs).where(runs.c.id == run_id, runs.c.finished_at.is_(None), stoppable)
    return (await tx.execute(open_.values(stop_by=first))).rowcount == 1


async def _run(tx: AsyncConnection, run_id: str) -> Run | None:
    row = (await tx.execute(select(runs).where(runs.c.id == run_id))).one_or_none()
    if row is not None and row.format > FORMAT:
        raise Unavailable(f"run {run_id} was written by a newer version of the responder: ask one of its replicas")
    return None if row is None else rows.run(row)


async def _cannot_roll_back(tx: AsyncConnection, run_id: str, run: Run | None) -> Refusal | None:
    if run is None:
        return Refusal(Verdict.NOT_UNDOABLE, f"there is no run {run_id}")
    if run.kind == "rollback":
        return Refusal(Verdict.NOT_UNDOABLE, f"run {run.id} is a rollback itself; roll back run {run.of_run}")
    if run.state is RunState.REVERTING:
        stays = "what still stands then can be rolled back, and a stop would let it stay"
        return Refusal(Verdict.BUSY, f"run {run.id} is being given back just now; wait until it is over: {stays}")
    if not run.state.final and run.state is not RunState.KEPT:
        return Refusal(Verdict.BUSY, f"run {run.id} is not over; stop it instead")
    there = exists(select(records.c.id).where(records.c.run_id == run.id, records.c.state.in_(_STILL_THERE)))
    if not await tx.scalar(select(there)):
        return Refusal(Verdict.NOT_UNDOABLE, await _nothing_left(tx, run))
    other = await tx.scalar(select(runs.c.id).where(runs.c.of_run == run.id, runs.c.finished_at.is_(None)))
    return Refusal(Verdict.BUSY, f"run {other} is rolling it back already") if other else None


async def _nothing_left(tx: AsyncConnection, run: Run) -> str:
    """Say why there is nothing to undo: who has done so already, if anybody has."""
    undone = runs.c.state == RunState.ROLLED_BACK.value
    query = select(runs.c.id).where(runs.c.of_run == run.id, undone).order_by(runs.c.created_at.desc()).limit(1)
    by = run.id if run.state is RunState.ROLLED_BACK else await tx.scalar(query)
    if by is None:
        return f"run {run.id} left no change that could be undone"
    return f"what run {run.id} changed is undone already, by {'itself' if by == run.id else f'run {by}'}"


def _refused(run_id: str, approve: bool, actor: str, reason: str) -> Audit:  # noqa: FBT001 - the answer itself
    return Audit("run.answer_refused", run_id, actor, {"answer": "yes" if approve else "no", "reason": reason})
