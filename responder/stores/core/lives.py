"""The lives of processes: a claim names the one that made it, and what an ended one had claimed is free at once.

Safe without waiting, for every write checks the epoch, which goes up: whoever still lives has lost its claim. Only a
change that may be on its way to a target is left alone a little longer (docs/decisions/0019).

What ends a process counts as an attempt. What the store's failure has cut short in a process that lives does not: in
two bad minutes of the store it would use up all attempts of whatever is due.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Table, case, literal, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.records import RecordState
from responder.ports.queues import DOUBT_LASTS, NO_REST
from responder.stores.core.database import Database
from responder.stores.core.types import Instant
from responder.stores.schema import deliveries, records, runs

ONCE = 1
"""Claimed more often without progress, a row may be what ends the process: its lease runs out by itself."""
_ON_ITS_WAY = (RecordState.INTENDED.value, RecordState.UNDO_INTENDED.value)


@dataclass(frozen=True, slots=True)
class Ended:
    """How many leases were ended: at once, and of runs whose change may be on its way, which wait a little longer."""

    free: int = 0
    in_doubt: int = 0


NOTHING_ENDED = Ended()


async def end_leases(
    db: Database, tx: AsyncConnection, whose: ColumnElement[bool], settles: timedelta, rest: timedelta | None = None
) -> Ended:
    """End the leases of unfinished runs that ``whose`` picks; those with a change in doubt last ``settles`` longer.

    With ``rest`` their holder lives and gives them back: it is as if they had not been claimed, and they may be claimed
    after ``rest``. They are nobody's then, so that they are given back once.
    The rows are locked before the records are read: a record that was being committed meanwhile is seen.
    """
    picked = select(runs.c.id, runs.c.of_run).where(
        whose if rest is not None else whose & (runs.c.attempts <= ONCE),
        runs.c.finished_at.is_(None),
        runs.c.lease_until.is_not(None),
    )
    found = (await tx.execute(picked.order_by(runs.c.id).with_for_update())).all()
    if not found:
        return Ended()
    owners = {row.id: row.of_run or row.id for row in found}
    doubtful = select(records.c.run_id).where(db.among(records.c.run_id, "owners"), records.c.state.in_(_ON_ITS_WAY))
    doubted = set(await tx.scalars(doubtful, db.give("owners", key=sorted(set(owners.values())))))
    in_doubt = sorted(one for one, owner in owners.items() if owner in doubted)
    free = sorted(owners.keys() - set(in_doubt))
    mine = db.among(runs.c.id, "given")
    last = literal(db.now() + max(settles, rest or NO_REST), Instant)
    sooner = case((runs.c.lease_until < last, runs.c.lease_until), else_=last)
    rested = literal(db.now() + rest, Instant) if rest else None
    for ids, until in ((free, rested), (in_doubt, sooner)):
        changes = {"lease_until": until, "epoch": runs.c.epoch + 1}
        if rest is not None:
            changes |= {"attempts": not_counted(runs), "holder": literal("")}
        await tx.execute(update(runs).where(mine).values(changes), db.give("given", key=ids))
    return Ended(len(free), len(in_doubt))


async def end_deliveries(tx: AsyncConnection, whose: ColumnElement[bool]) -> int:
    """End the leases of undecided deliveries that ``whose`` picks; returns how many."""
    held = deliveries.c.lease_until.is_not(None) & (deliveries.c.attempts <= ONCE)
    ended = await tx.execute(
        update(deliveries)
        .where(whose, deliveries.c.state == "waiting", held)
        .values(lease_until=None, epoch=deliveries.c.epoch + 1)
    )
    return ended.rowcount


async def give_back_deliveries(tx: AsyncConnection, whose: ColumnElement[bool]) -> int:
    """End the leases of undecided deliveries that ``whose`` picks, whose holder lives: as if they were not claimed."""
    given_back = await tx.execute(
        update(deliveries)
        .where(whose, deliveries.c.state == "waiting", deliveries.c.lease_until.is_not(None))
        .values(lease_until=None, epoch=deliveries.c.epoch + 1, attempts=not_counted(deliveries))
    )
    return given_back.rowcount


def not_counted(table: Table) -> ColumnElement[int]:
    """Return the attempts without the last claim."""
    return case((table.c.attempts > 0, table.c.attempts - 1), else_=0)


async def end_life(db: Database, tx: AsyncConnection, life: str | None = None) -> Ended:
    """Free what the ended ``life`` had claimed; None stands for every life that there was."""
    its_runs, its_deliveries = (true() if life is None else table.c.holder == life for table in (runs, deliveries))
    freed = await end_deliveries(tx, its_deliveries)
    ended = await end_leases(db, tx, its_runs, DOUBT_LASTS)
    return Ended(ended.free + freed, ended.in_doubt)
