"""Brakes: put on and lifted by people, or seen to come and go by a process that has its own."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, literal, select, update

from responder.domain.errors import StoreError
from responder.domain.limits import TRIP, Pause, Subject
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit
from responder.stores.core import rows
from responder.stores.core.database import Order
from responder.stores.core.part import Part, begun_entry, episodes_decided, signs_in_force, write_audit
from responder.stores.schema import pauses, runs


class BrakesPart(Part):
    """What people and processes ask for and see of brakes; they are judged in sight.py and effects.py."""

    async def pause(self, pause: Pause) -> None:
        """Put a pause or halt in force, then make what it affects due.

        It is committed alone and first: it waits for no run's row, and what follows can fail without lifting it.
        """
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            await tx.execute(pauses.insert(), rows.pause_values(pause))
            await write_audit(tx, now, [begun_entry(pause)])
        await self._wake([pause])

    async def resume(self, which: str, actor: str) -> int:
        """Lift one pause by id, those of a scope, or all with ``all``; returns how many were in force."""
        named = literal(value=True) if which == "all" else (pauses.c.id == which) | (pauses.c.scope == which)
        return await self._lift((pauses.c.kind != TRIP) & named, actor)

    async def reset(self, playbook: str, actor: str) -> bool:
        """Let a playbook that has tripped act by itself again; False when it has not."""
        return await self._lift((pauses.c.kind == TRIP) & (pauses.c.scope == f"playbook:{playbook}"), actor) > 0

    async def _lift(self, which: ColumnElement[bool], actor: str) -> int:
        """Lift those that are meant; returns how many were in force."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            chosen = pauses.c.lifted_at.is_(None) & which
            lifted = [rows.pause_of(row) for row in await tx.execute(select(pauses).where(chosen).with_for_update())]
            await tx.execute(update(pauses).where(chosen).values(lifted_at=now, lifted_by=actor))
            await write_audit(tx, now, [_lifted(one, actor) for one in lifted])
        await self._wake(lifted, lifted=True)
        return sum(one.until is None or one.until > now for one in lifted)

    async def brakes_in_force(self) -> Sequence[Pause]:
        """Return every brake that this process goes by, its own too, the oldest first."""
        async with self.db.reading() as tx:
            found, _ = await signs_in_force(self.db, tx, self.now())
        return sorted(found, key=lambda one: (one.created_at, one.id))

    async def brakes_changed(self, begun: Sequence[Pause], lifted: Sequence[Pause]) -> None:
        """Write to the audit log that this process's own brakes came and went, and make due what they affect."""
        async with self.db.writing(Order.CONTROL) as tx:
            now = self.now()
            entries = [begun_entry(one) for one in begun] + [_lifted(one, one.actor) for one in lifted]
            await write_audit(tx, now, entries)
        await self._wake(begun)
        await self._wake(lifted, lifted=True)

    async def _wake(self, given: Sequence[Pause], *, lifted: bool = False) -> None:
        """Make the unfinished runs due that the brakes cover, as far as a run's row tells.

        What they do is done already; that a run hears of it later than it could is no reason to say that it failed.
        """
        if not given:
            return
        always = [replace(pause, until=None) for pause in given]  # one that has run out parks nobody, but may have
        open_runs = select(runs.c.id, runs.c.playbook, runs.c.target).where(runs.c.finished_at.is_(None))
        with contextlib.suppress(StoreError):
            async with self.db.writing(Order.CONTROL) as tx:
                now = self.now()
                found = await tx.execute(open_runs)
                await self.nudge_runs(
                    tx, now, [row.id for row in found if _covered(always, row.playbook, row.target, now)]
                )
                if lifted:
                    await episodes_decided(tx, now, [Verdict.PAUSED, Verdict.HALTED, Verdict.TRIPPED])


def _covered(given: Sequence[Pause], playbook: str, target: str, now: datetime) -> bool:
    return any(one.covers(Subject(playbook, target), now) for one in given)


def _lifted(pause: Pause, actor: str) -> Audit:
    return Audit(f"{pause.kind}.lifted", pause.scope, actor, {"id": pause.id, "source": pause.source})
