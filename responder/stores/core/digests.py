"""Digests: in a storm one message at a destination tells of many incidents.

A digest is an outbox row of its own, so that it is leased, announced, sent, retried and set aside as every other. What
it says of an incident stands in that one's row, in the place of a receipt.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Text, bindparam, exists, func, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.alerts import Severity
from responder.domain.ids import new_id
from responder.domain.notification import Receipt
from responder.ports.store import DIGEST, Gathered, OutboxItem
from responder.stores.core.claims import NOW, claim_of
from responder.stores.core.database import Order
from responder.stores.core.outbox import item_of
from responder.stores.core.part import Part, claiming
from responder.stores.core.prepared import due_when_marked
from responder.stores.schema import incidents, outbox

FIRST_AFTER = timedelta(seconds=2)
"""From the first incident to the digest's first post: a storm does not come alone."""
_AT = bindparam("at_destination", type_=Text())
_PLAIN = (outbox.c.incident_id < DIGEST) | (outbox.c.incident_id >= f"{DIGEST[:-1]}.")
_BEHIND = (outbox.c.told_rev < outbox.c.want_rev) & ~outbox.c.dead & (outbox.c.due_at <= NOW)
_ALONE = (outbox.c.receipt.is_(None) | outbox.c.digest.is_not(None)) & (outbox.c.attempt == "") & _PLAIN
CLAIM_CROWD = claim_of(outbox, _BEHIND & _ALONE & (outbox.c.destination == _AT), [outbox.c.urgency, outbox.c.due_at])
_CLAIMED = update(outbox).where(
    outbox.c.incident_id == bindparam("of_incident", type_=Text()),
    outbox.c.destination == _AT,
    outbox.c.epoch == bindparam("claimed"),
)
COMPLETE = _CLAIMED.values(
    told_rev=bindparam("revision"),
    receipt=bindparam("line", type_=outbox.c.receipt.type),
    digest=bindparam("into", type_=Text()),
    attempt="",
    attempts=0,
    error="",
    told_at=bindparam("now"),
    due_at=bindparam("again"),
    lease_until=None,
)


LEAVE = _CLAIMED.values(receipt=null(), digest=None)


class DigestPart(Part):
    """Gathers incidents into digests and reads what a digest tells of."""

    async def crowded(self, destination: str, after: int, within: timedelta) -> bool:
        """Say whether more than ``after`` incidents that are told there were opened ``within`` the time until now."""
        here = exists().where(outbox.c.incident_id == incidents.c.id, outbox.c.destination == destination)
        recent = select(incidents.c.id).where(incidents.c.opened_at > self.now() - within, here)
        some = recent.order_by(incidents.c.opened_at.desc()).limit(after + 1).subquery()
        async with self.db.reading() as tx:
            return (await tx.scalar(select(func.count()).select_from(some)) or 0) > after

    async def claim_crowd(self, destination: str, limit: int) -> Sequence[OutboxItem]:
        """Lease due items of one destination that have no message of their own."""
        async with self.db.alone(Order.CLAIM) as tx:
            given = {**claiming(self.db, limit), "at_destination": destination}
            return [item_of(row) for row in await self.db.fetch(tx, CLAIM_CROWD, given)]

    async def gather(self, destination: str, gathered: Sequence[Gathered], within: timedelta, rest: timedelta) -> str:
        """Complete items by letting the destination's digest tell of them; returns its id."""
        async with self.db.writing(Order.RECORD) as tx:
            now = self.now()
            digest_id = await self._growing(tx, destination, now - within) or f"{DIGEST}{new_id()}"
            ordered = sorted(gathered, key=lambda one: one.item.incident_id)
            staying = [
                {
                    **_row(one.item),
                    "revision": one.item.want_rev,
                    "line": dict(one.line),
                    # What an earlier storm's digest tells of, it goes on telling of.
                    "into": one.item.digest or digest_id,
                    "now": now,
                    "again": now + rest,
                }
                for one in ordered
                if one.line is not None
            ]
            leaving = [_row(one.item) for one in ordered if one.line is None]
            for statement, given in ((COMPLETE, staying), (LEAVE, leaving)):
                if given:
                    await tx.execute(statement, given)
            for one in sorted({one.item.digest or digest_id for one in gathered if one.line != one.item.receipt}):
                await self._mark(tx, destination, one, now)
        return digest_id

    async def _growing(self, tx: AsyncConnection, destination: str, since: datetime) -> str | None:
        latest = (
            select(outbox.c.incident_id)
            .where(
                outbox.c.incident_id >= DIGEST,
                outbox.c.incident_id < f"{DIGEST[:-1]}.",
                outbox.c.destination == destination,
                outbox.c.changed_at > since,
                ~outbox.c.dead,
            )
            .order_by(outbox.c.incident_id.desc())
            .limit(1)
        )
        found: str | None = await tx.scalar(latest)
        return found

    async def _mark(self, tx: AsyncConnection, destination: str, digest_id: str, now: datetime) -> None:
        values = {
            "incident_id": digest_id, "destination": destination, "want_rev": 1, "told_rev": 0, "attempt": "",
            "urgency": Severity.HIGH.rank, "dead": False, "error": "", "changed_at": now, "due_at": now + FIRST_AFTER,
            "attempts": 0, "epoch": 0,
        }  # fmt: skip
        at = literal(now, outbox.c.due_at.type)
        await tx.execute(
            self.db.insert(outbox)
            .values(values)
            .on_conflict_do_update(
                index_elements=["incident_id", "destination"],
                set_={"want_rev": outbox.c.want_rev + 1, "changed_at": at, "due_at": due_when_marked(at)},
            )
        )

    async def digest(self, digest_id: str, limit: int) -> Sequence[Receipt]:
        """Read what a digest says of each of its incidents, at most ``limit``."""
        mine = select(outbox.c.receipt).where(outbox.c.digest == digest_id, outbox.c.digest.is_not(None))
        async with self.db.reading() as tx:
            return [row.receipt for row in await tx.execute(mine.limit(limit)) if row.receipt]


def _row(item: OutboxItem) -> dict[str, object]:
    return {"of_incident": item.incident_id, "at_destination": item.destination, "claimed": item.epoch}
