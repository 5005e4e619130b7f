"""What an incident that was left empty hands over: the messages it has, to the incident that its episodes moved to."""

from collections.abc import Mapping

from sqlalchemy import Text, cast, func, literal, null, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.stores.core.database import Database
from responder.stores.schema import outbox

_KEY = ("incident_id", "destination")


async def hand_over(db: Database, tx: AsyncConnection, heirs: Mapping[str, str]) -> None:
    """Move receipts from each incident to its heir, wherever the heir has a row and nothing was told for it yet.

    An announced first post goes along: the heir looks for it. What handed its message over has no more to say: a later
    mark makes it a message of its own. Whoever is telling either of the two now loses the lease: the receipt stays
    where it went. One statement; the rows are those that the caller has just marked, and so holds.
    """
    if not heirs:
        return
    given = db.keys(sorted(heirs.items()), (Text(), Text()))
    old, new = outbox.alias("old"), outbox.alias("new")
    taken = (
        select(
            old.c.incident_id.label("giver"), new.c.incident_id.label("heir"), old.c.destination, old.c.receipt,
            old.c.attempt, old.c.want_rev, new.c.told_rev,
            # Of two that hand over to one, the second keeps its message and tells its end itself.
            func.row_number()
            .over(partition_by=(new.c.incident_id, new.c.destination), order_by=(old.c.attempt, old.c.incident_id))
            .label("place"),
        )
        .select_from(
            given.join(old, old.c.incident_id == given.c.k0).join(
                new, (new.c.incident_id == given.c.k1) & (new.c.destination == old.c.destination)
            )
        )
        .where(
            old.c.receipt.is_not(None) | (old.c.attempt != ""),
            old.c.digest.is_(None),  # what a digest says of it is no message that could be handed over
            new.c.receipt.is_(None),
            new.c.attempt == "",
            ~new.c.dead,  # what was set aside tells nothing: the message would stand still
        )
        .cte("taken")
    )  # fmt: skip
    nothing = cast(null(), outbox.c.receipt.type)
    rows = union_all(
        select(
            taken.c.heir.label("incident_id"), taken.c.destination, taken.c.receipt, taken.c.attempt,
            taken.c.told_rev,
        ).where(taken.c.place == 1),
        select(taken.c.giver, taken.c.destination, nothing, literal("", Text), taken.c.want_rev).where(
            taken.c.place == 1
        ),
    ).subquery()  # fmt: skip
    await tx.execute(
        update(outbox)
        .where(*(outbox.c[name] == rows.c[name] for name in _KEY))
        .values(
            {name: rows.c[name] for name in ("receipt", "attempt", "told_rev")}
            | {"epoch": outbox.c.epoch + 1, "lease_until": None}
        ),
    )
