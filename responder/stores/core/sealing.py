"""The audit log's segments: sealing what is committed, and holding the log against them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Row, Select, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.seals import Entry, Gap, Head, Segment, Span, Verified, sealed, wrong_with, wrong_with_heads
from responder.stores.core.database import Database, Order
from responder.stores.core.part import Part
from responder.stores.schema import audit, audit_segments

_BATCH = 200
"""Segments that are held in memory at once, with their entries, while the log is verified."""
_SHOWN = 20
"""Problems that are named; one change may break much behind it."""


class SealingPart(Part):
    """Seals and verifies; nothing here is part of a transition's own transaction."""

    def __init__(self, db: Database) -> None:
        """Build the statements."""
        super().__init__(db)
        spans = db.given("spans", low=BigInteger(), high=BigInteger())
        self._within: Select[Any] = (
            select(audit)
            .select_from(spans.join(audit, audit.c.seq.between(spans.c.low, spans.c.high)))
            .order_by(audit.c.seq)
        )
        self._others: Select[Any] = select(func.count()).where(
            ~exists(select(spans.c.low).where(audit.c.seq.between(spans.c.low, spans.c.high)))
        )

    async def seal_audit(self, limit: int) -> tuple[Head | None, bool]:
        """Seal what has been committed since the last segment, and what appeared in its gaps."""
        async with self.db.reading() as tx:
            newest = (
                await tx.execute(select(audit_segments).order_by(audit_segments.c.number.desc()).limit(1))
            ).one_or_none()
            previous = None if newest is None else _segment(newest)
            now = self.now()
            entries = await self._committed(tx, previous, now, limit)
        if not entries:
            return (None if previous is None else previous.head), False
        segment = sealed(previous, entries, now)
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            made = await tx.execute(self.db.insert(audit_segments).values(**_values(segment)).on_conflict_do_nothing())
        if made.rowcount != 1:  # another replica was first; what is left is for the next time
            return (None if previous is None else previous.head), False
        return segment.head, len(entries) >= limit

    async def _committed(
        self, tx: AsyncConnection, previous: Segment | None, now: datetime, limit: int
    ) -> Sequence[Entry]:
        late: Sequence[Entry] = ()
        gaps = () if previous is None else previous.open_gaps(now)
        if gaps:
            late = await self._entries(tx, [(gap.low, gap.high) for gap in gaps])
        after = 0 if previous is None else previous.last
        new = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
        return [*late, *(_entry(row) for row in await tx.execute(new))]

    async def _entries(self, tx: AsyncConnection, spans: Sequence[Span]) -> Sequence[Entry]:
        given = self.db.give("spans", low=[low for low, _ in spans], high=[high for _, high in spans])
        return [_entry(row) for row in await tx.execute(self._within, given)]

    async def verify_audit(self, heads: Sequence[Head], keep: timedelta) -> Verified:
        """Hold the log against its segments, and those against heads that were kept outside."""
        problems: list[str] = []
        seen: list[Head] = []
        entries, within, first, newest = 0, 0, 0, None
        async with self.db.reading() as tx:
            async for before, segment, found in self._each(tx):
                newest = segment
                first = segment.after if before is None else first
                seen.append(segment.head)
                entries += len(found)
                within += sum(one.seq > first for one in found)
                wrong = wrong_with(before, segment, found)
                problems += [wrong] if wrong else []
            now = self.now()
            last = 0 if newest is None else newest.last
            added = await self._unsealed(tx, newest, first, last, now) - within
            unsealed = await tx.scalar(select(func.count()).where(audit.c.seq > last)) or 0
        if added > 0:
            problems.append(f"{added} entries stand between sealed ones and were not there when those were sealed")
        problems += wrong_with_heads(heads, seen, now, keep)
        return Verified(len(seen), entries, unsealed, len(heads), tuple(problems[:_SHOWN]))

    async def _each(self, tx: AsyncConnection) -> AsyncIterator[tuple[Segment | None, Segment, Sequence[Entry]]]:
        """Give each segment with the one before and the entries that are there now, the oldest first."""
        before: Segment | None = None
        while True:
            behind = -1 if before is None else before.number
            query = select(audit_segments).where(audit_segments.c.number > behind)
            batch = [_segment(row) for row in await tx.execute(query.order_by(audit_segments.c.number).limit(_BATCH))]
            if not batch:
                return
            spans = sorted({span for one in batch for span in one.spans})
            there = {entry.seq: entry for entry in await self._entries(tx, spans)}
            for segment in batch:
                numbers = (number for low, high in segment.spans for number in range(low, high + 1))
                yield before, segment, [there[number] for number in numbers if number in there]
                before = segment

    async def _unsealed(self, tx: AsyncConnection, newest: Segment | None, first: int, last: int, now: datetime) -> int:
        """Count the entries behind ``first`` up to ``last`` that are not where an entry may still appear."""
        gaps = () if newest is None else newest.open_gaps(now)
        given = self.db.give("spans", low=[gap.low for gap in gaps], high=[gap.high for gap in gaps])
        query = self._others.where(audit.c.seq > first, audit.c.seq <= last)
        return await tx.scalar(query, given) or 0


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.seq, row.at, row.actor, row.action, row.subject, row.details)


def _segment(row: Row[Any]) -> Segment:
    return Segment(
        number=row.number,
        prev=row.prev,
        after=row.after,
        last=row.last,
        spans=tuple((low, high) for low, high in row.spans),
        gaps=tuple(Gap(low, high, datetime.fromisoformat(since)) for low, high, since in row.gaps),
        sealed_at=row.sealed_at,
        hash=row.hash,
    )


def _values(one: Segment) -> dict[str, Any]:
    return {
        "number": one.number,
        "prev": one.prev,
        "first": one.first,
        "after": one.after,
        "last": one.last,
        "spans": one.spans,
        "gaps": [[gap.low, gap.high, gap.since.isoformat()] for gap in one.gaps],
        "sealed_at": one.sealed_at,
        "hash": one.hash,
    }
