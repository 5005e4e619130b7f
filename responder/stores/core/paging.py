"""Pages that are held back while a fix runs: rows with a due time, each of which goes out once."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Text, delete, exists, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.notification import Account
from responder.ports.store import Audit
from responder.stores.core.accounts import read_accounts
from responder.stores.core.database import Database, Order
from responder.stores.core.part import Part, write_audit
from responder.stores.core.rows import HELD, OVERDUE, TAKEN
from responder.stores.schema import holds, incidents

_OPEN = holds.c.state != literal_column(f"'{TAKEN}'")
"""As the partial index has it: with a parameter in its place no database would use that."""


class PagingPart(Part):
    """Finds the pages whose time is up, and lets them go or holds them on."""

    async def holds_due(self, limit: int) -> Sequence[Account]:
        """Return incidents whose page is to be looked at, since it was held back or went out; the longest due first."""
        due = select(holds.c.incident_id).where(_OPEN, holds.c.due_at <= self.now())
        async with self.db.reading() as tx:
            ids = (await tx.scalars(due.order_by(holds.c.due_at).limit(limit))).all()
            found = await read_accounts(self.db, self.prepared.accounts, tx, ids) if ids else {}
        return [found[one] for one in ids if one in found]

    async def call(self, incident_id: str, again: timedelta, tell: Collection[str]) -> bool:
        """Let an incident's page go, to be looked at ``again`` later; ``tell`` hear of it."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            now = self.now()
            mine = _due(incident_id, now)
            was = await tx.scalar(select(holds.c.state).where(mine).with_for_update())
            await tx.execute(update(holds).where(mine).values(state=OVERDUE, due_at=now + again))
            if was != HELD:
                return False
            await write_audit(tx, now, [Audit("incident.overdue", incident_id)])
            await self.add_destinations(tx, now, [incident_id], [(incident_id, one) for one in tell])
        return True

    async def hold_on(self, incident_id: str, again: timedelta) -> None:
        """Hold an incident's page back, to be looked at ``again`` later; one that is closed needs none any more."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            now = self.now()
            mine = _due(incident_id, now)
            closed = exists().where(incidents.c.id == incident_id, incidents.c.resolved_at.is_not(None))
            if (await tx.execute(delete(holds).where(mine, closed))).rowcount == 0:
                await tx.execute(update(holds).where(mine).values(state=HELD, due_at=now + again))


def _due(incident_id: str, now: datetime) -> ColumnElement[bool]:
    """The page as it was found due: not what another replica or a person has written since."""
    return (holds.c.incident_id == incident_id) & _OPEN & (holds.c.due_at <= now)


async def hand_page(db: Database, tx: AsyncConnection, heirs: Mapping[str, str]) -> None:
    """Let each heir of an incident that was left empty go on with its page, unless the heir's own is out or taken."""
    if not heirs:
        return
    given = db.keys(sorted(heirs.items()), (Text(), Text()))
    first = func.row_number().over(partition_by=given.c.k1, order_by=(holds.c.state == HELD, holds.c.due_at))
    left = (
        select(given.c.k1, holds.c.state, holds.c.due_at, first.label("place"))
        .select_from(given.join(holds, holds.c.incident_id == given.c.k0))
        .subquery()
    )
    insert = db.insert(holds).from_select(
        ["incident_id", "state", "due_at"],
        select(left.c.k1, left.c.state, left.c.due_at).where(left.c.place == 1),
        include_defaults=False,
    )
    further = (insert.excluded.state != HELD) | (insert.excluded.due_at < holds.c.due_at)
    await tx.execute(
        insert.on_conflict_do_update(
            index_elements=["incident_id"],
            set_={"state": insert.excluded.state, "due_at": insert.excluded.due_at},
            where=(holds.c.state == HELD) & further,
        ),
    )


async def take_page(tx: AsyncConnection, incident_id: str) -> bool:
    """Let a person have the page of an incident; False when there is none to have."""
    waiting = (holds.c.incident_id == incident_id) & _OPEN
    return (await tx.execute(update(holds).where(waiting).values(state=TAKEN))).rowcount == 1
