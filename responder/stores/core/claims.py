"""The statements that lease what is due, and those by which the outbox's claims are worked off."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Table, Text, bindparam, func, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from responder.ports.store import CLAIMED_BYTES, MAX_ATTEMPTS
from responder.stores.core.types import Instant
from responder.stores.schema import deliveries, outbox

NOW = bindparam("now", type_=Instant())
"""The store's clock, wherever a statement asks for it."""
HOLDER = bindparam("held_by", type_=Text())
"""The life that claims (``stores.core.lives``)."""


def claim_of(
    table: Table,
    due: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]],
    bulk: ColumnElement[bytes] | None = None,
    **changes: object,
) -> ReturningUpdate[Any]:
    """Return the statement that leases the first rows for which ``due`` holds and no lease lives.

    Its parameters are ``claiming`` (see there) and whatever ``due`` names; ``changes`` are written besides. With a
    column ``bulk`` no more are leased than it takes until that is ``CLAIMED_BYTES``.
    """
    free = table.c.lease_until.is_(None) | (table.c.lease_until <= bindparam("lapsed", type_=Instant()))
    columns = list(table.primary_key)
    chosen = (
        select(*columns, *(() if bulk is None else (*order, func.length(bulk).label("size"))))
        .where(due, free, table.c.attempts < MAX_ATTEMPTS)
        .order_by(*order)
        .limit(bindparam("most", type_=Integer()))
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    if bulk is not None:
        # Neither database reads a value to say how long it is. What locks rows has no window.
        in_order = [chosen.c[column.name] for column in (*order, *columns)]
        before = func.sum(chosen.c.size).over(order_by=in_order, rows=(None, 0)) - chosen.c.size
        placed = select(*(chosen.c[column.name] for column in columns), before.label("before")).subquery("placed")
        chosen = select(placed).where(placed.c.before < CLAIMED_BYTES).cte("fitting")
    return (
        update(table)
        .where(*(column == chosen.c[column.name] for column in columns))
        .values(
            lease_until=bindparam("leased_until", type_=Instant()),
            epoch=table.c.epoch + 1,
            attempts=table.c.attempts + 1,
            **changes,
        )
        .returning(table)
    )


CLAIM_DELIVERIES = claim_of(
    deliveries,
    (deliveries.c.state == "waiting") & (deliveries.c.due_at <= NOW),
    [deliveries.c.due_at],
    deliveries.c.body,
    holder=HOLDER,
)


_CLAIMED_ITEM = update(outbox).where(
    outbox.c.incident_id == bindparam("of_incident", type_=Text()),
    outbox.c.destination == bindparam("at_destination", type_=Text()),
    outbox.c.epoch == bindparam("claimed", type_=Integer()),
)
_NEW_RECEIPT = bindparam("new_receipt", type_=outbox.c.receipt.type)
_ANNOUNCED = _CLAIMED_ITEM.values(attempt=bindparam("new_attempt", type_=Text()))
ANNOUNCE = _ANNOUNCED.returning(outbox.c.epoch)
ANNOUNCE_ON = _ANNOUNCED.values(receipt=_NEW_RECEIPT).returning(outbox.c.epoch)
"""As well, with what the channel is to know of it."""
TOLD = _CLAIMED_ITEM.values(
    told_rev=bindparam("revision", type_=BigInteger()),
    receipt=_NEW_RECEIPT,
    attempt="",
    attempts=0,
    error="",
    told_at=NOW,
    due_at=bindparam("again", type_=Instant()),
    lease_until=None,
).returning(outbox.c.epoch)
