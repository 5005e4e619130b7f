"""The outbox's queue: who has not yet been told what."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Update, literal, select, tuple_, update

from responder.domain.notification import Account, Receipt
from responder.ports.queues import GAP
from responder.ports.store import MAX_ATTEMPTS, Audit, OutboxItem
from responder.stores.core.accounts import read_accounts
from responder.stores.core.claims import ANNOUNCE, ANNOUNCE_ON, TOLD
from responder.stores.core.database import Order
from responder.stores.core.part import Part, claiming, one_row, write_audit
from responder.stores.schema import looks, outbox


class OutboxPart(Part):
    """Claims what is behind and writes down what was told."""

    async def claim_outbox(self, limit: int, skip: Collection[str]) -> Sequence[OutboxItem]:
        """Lease due items, the most severe incidents first."""
        skipped = self.db.give("skipped", name=sorted(skip))
        async with self.db.alone(Order.CLAIM) as tx:
            found = await self.db.fetch(tx, self.prepared.claim_outbox, {**claiming(self.db, limit), **skipped})
        return [item_of(row) for row in sorted(found, key=lambda row: (row.urgency, row.due_at))]

    async def accounts(self, incident_ids: Collection[str]) -> Mapping[str, Account]:
        """Read everything about some incidents."""
        async with self.db.reading() as tx:
            return await read_accounts(self.db, self.prepared.accounts, tx, incident_ids)

    async def account(self, incident_id: str) -> Account | None:
        """Read everything about an incident."""
        return (await self.accounts([incident_id])).get(incident_id)

    async def announce(self, item: OutboxItem, attempt: str, receipt: Receipt | None = None) -> None:
        """Commit that a post is about to be sent; ``receipt`` is what is known meanwhile, None leaves it."""
        given = {**_claimed(item), "new_attempt": attempt}
        statement = ANNOUNCE
        if receipt is not None:
            statement, given = ANNOUNCE_ON, {**given, "new_receipt": dict(receipt) or None}
        async with self.db.alone(Order.RECORD) as tx:
            one_row(await self.db.fetch(tx, statement, given), _name(item))

    async def told(self, item: OutboxItem, receipt: Receipt, rest: timedelta = GAP) -> None:
        """Complete: due again, after a moment, when more has happened since."""
        now = self.now()
        given = {"revision": item.want_rev, "new_receipt": dict(receipt), "now": now, "again": now + rest}
        async with self.db.alone(Order.RECORD) as tx:
            one_row(await self.db.fetch(tx, TOLD, {**_claimed(item), **given}), _name(item))

    async def tell_later(
        self, item: OutboxItem, at: datetime, error: str, receipt: Receipt | None = None, *, doubtful: bool = False
    ) -> None:
        """Give the item back until ``at``; dead after too many attempts. Pacing (an empty ``error``) does not count."""
        values: dict[str, Any] = {"due_at": at, "error": error, "lease_until": None}
        if receipt is not None:
            values |= {"receipt": dict(receipt), "attempt": ""}
        if not error:
            values["attempts"] = max(int(doubtful), item.attempts - 1)
        await self._put_back(item, values, dead=bool(error) and item.attempts >= MAX_ATTEMPTS, error=error)

    async def spare(self, items: Collection[OutboxItem]) -> None:
        """Take back the attempts of claimed items, and leave each at least one."""
        held = outbox.c.lease_until.is_not(None) & (outbox.c.attempts > 1)
        key = (outbox.c.incident_id, outbox.c.destination, outbox.c.epoch)
        given = sorted((item.incident_id, item.destination, item.epoch) for item in items)
        claimed = select(*key).where(tuple_(*key).in_(given), held).order_by(*key)
        locked = claimed.with_for_update(skip_locked=True).subquery("locked")
        same = (outbox.c.incident_id == locked.c.incident_id) & (outbox.c.destination == locked.c.destination)
        async with self.db.writing(Order.RECORD) as tx:
            await tx.execute(update(outbox).where(same).values(attempts=outbox.c.attempts - 1))

    async def receipt(self, incident_id: str, destination: str) -> Receipt | None:
        """Read where an incident's own message stands."""
        mine = (outbox.c.incident_id == incident_id) & (outbox.c.destination == destination)
        async with self.db.reading() as tx:
            row = (await tx.execute(select(outbox.c.receipt).where(mine, outbox.c.digest.is_(None)))).first()
        return row.receipt or None if row is not None else None

    async def beside(self, incident_id: str, destination: str) -> None:
        """Make a destination that the incident's messages bring about."""
        async with self.db.writing(Order.RECORD) as tx:
            await self.add_destinations(tx, self.now(), [], [(incident_id, destination)])

    async def look_again(self, incident_id: str) -> None:
        """Let an incident be looked at once more, now."""
        now = self.now()
        later = looks.c.due_at.is_(None) | (looks.c.due_at > now)
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            await tx.execute(update(looks).where(looks.c.incident_id == incident_id, later).values(due_at=now))

    async def hurry(self, destination: str) -> int:
        """Make due what waits to be told at a destination that answers again; returns how much that is."""
        now = self.now()
        mine = (outbox.c.destination == destination) & (outbox.c.told_rev < outbox.c.want_rev) & ~outbox.c.dead
        put_off = mine & (outbox.c.due_at > now) & outbox.c.lease_until.is_(None)
        waiting = select(outbox.c.incident_id, outbox.c.destination).where(put_off)
        locked = waiting.order_by(outbox.c.incident_id).with_for_update(skip_locked=True).subquery("locked")
        same = (outbox.c.incident_id == locked.c.incident_id) & (outbox.c.destination == locked.c.destination)
        async with self.db.writing(Order.RECORD) as tx:
            return (await tx.execute(update(outbox).where(same).values(due_at=now))).rowcount

    async def give_up(self, item: OutboxItem, error: str) -> None:
        """Set the item aside as a dead letter."""
        await self._put_back(item, {"error": error, "lease_until": None}, dead=True, error=error)

    async def _put_back(self, item: OutboxItem, values: dict[str, Any], *, dead: bool, error: str) -> None:
        now = self.now()
        async with self.db.writing(Order.RECORD) as tx:
            written = await tx.execute(_of(item).values(**values, dead=literal(dead)).returning(outbox.c.epoch))
            one_row(written.all(), _name(item))
            if dead:
                await write_audit(tx, now, [Audit("outbox.dead", _name(item), details={"error": error})])


def _of(item: OutboxItem) -> Update:
    return update(outbox).where(
        outbox.c.incident_id == item.incident_id,
        outbox.c.destination == item.destination,
        outbox.c.epoch == item.epoch,
    )


def _claimed(item: OutboxItem) -> dict[str, Any]:
    """Return the parameters of the statements that write a claimed item."""
    return {"of_incident": item.incident_id, "at_destination": item.destination, "claimed": item.epoch}


def _name(item: OutboxItem) -> str:
    return f"{item.incident_id}|{item.destination}"


def item_of(row: Row[Any]) -> OutboxItem:
    """Return a claimed row."""
    return OutboxItem(
        incident_id=row.incident_id,
        destination=row.destination,
        want_rev=row.want_rev,
        told_rev=row.told_rev,
        attempt=row.attempt,
        receipt=row.receipt or None,
        attempts=row.attempts,
        epoch=row.epoch,
        digest=row.digest,
    )
