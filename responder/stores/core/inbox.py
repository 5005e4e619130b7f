"""The inbox: deliveries become durable, are claimed and given back."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import update

from responder.domain.alerts import Delivery
from responder.domain.errors import StoreError, Unavailable
from responder.ports.store import NewDelivery
from responder.stores.core import rows
from responder.stores.core.claims import CLAIM_DELIVERIES
from responder.stores.core.database import Order
from responder.stores.core.lives import give_back_deliveries, not_counted
from responder.stores.core.part import Part, claiming, held_by, one_row
from responder.stores.schema import deliveries


class InboxPart(Part):
    """Deliveries on any database; PostgreSQL has a faster ``accept`` of its own."""

    async def accept(self, deliveries: Sequence[NewDelivery]) -> Sequence[Exception | None]:
        """Commit all in one transaction; on a data error row by row."""
        if not deliveries:
            return []
        try:
            await self._insert(deliveries)
        except Unavailable:
            raise
        except StoreError as error:
            if len(deliveries) == 1:
                return [error]
        else:
            return [None] * len(deliveries)
        return [(await self.accept([one]))[0] for one in deliveries]

    async def _insert(self, new: Sequence[NewDelivery]) -> None:
        values = [
            {
                "id": one.id,
                "source": one.source,
                "received_at": one.received_at,
                "body": one.body,
                "alerts": one.alerts,
                "due_at": one.received_at,
            }
            for one in new
        ]
        async with self.db.writing(Order.INTAKE) as tx:
            await tx.execute(deliveries.insert(), values)

    async def claim_deliveries(self, limit: int) -> Sequence[Delivery]:
        """Lease due deliveries, oldest first."""
        async with self.db.alone(Order.CLAIM) as tx:
            found = await self.db.fetch(tx, CLAIM_DELIVERIES, {**claiming(self.db, limit), **held_by(self.db)})
        return [rows.delivery(row) for row in sorted(found, key=lambda row: (row.due_at, row.id))]

    async def give_back_deliveries(self) -> int:
        """End the leases of all that this process has claimed; that counts as no attempt."""
        async with self.db.writing(Order.CLAIM) as tx:
            return await give_back_deliveries(tx, deliveries.c.holder == self.db.life)

    async def release_delivery(self, delivery: Delivery, retry_at: datetime, *, counted: bool = True) -> None:
        """Give a lease back."""
        attempts = deliveries.c.attempts if counted else not_counted(deliveries)
        async with self.db.writing(Order.CLAIM) as tx:
            given_back = await tx.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery.id, deliveries.c.epoch == delivery.epoch)
                .values(due_at=retry_at, lease_until=None, attempts=attempts)
                .returning(deliveries.c.id),
            )
            one_row(given_back.all(), f"delivery {delivery.id}")
