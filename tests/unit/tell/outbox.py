"""An outbox in memory, for the courier: leases, attempts and dead letters as the stores keep them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from responder.domain.errors import Conflict, Unavailable
from responder.domain.notification import Account, Receipt
from responder.ports.store import DIGEST, LEASE, MAX_ATTEMPTS, Gathered, OutboxItem
from tests.unit.tell.stories import START


@dataclass(slots=True)
class Moved:
    """A clock that stands where it is put, and otherwise runs."""

    offset: timedelta = timedelta()

    def now(self) -> datetime:
        return START + timedelta(minutes=5) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.offset.total_seconds()

    def advance(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


@dataclass(slots=True)
class Row:
    """One (incident, destination)."""

    item: OutboxItem
    due_at: datetime = START
    lease_until: datetime = START
    dead: str = ""
    error: str = ""

    def behind(self) -> bool:
        return self.item.told_rev < self.item.want_rev


@dataclass(slots=True)
class MemoryOutbox:
    """Rows by (incident, destination); ``known`` by incident, of which ``unreadable`` ones cannot be read."""

    clock: Moved
    known: dict[str, Account] = field(default_factory=dict)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    announced: list[tuple[str, str]] = field(default_factory=list)
    reads: list[list[str]] = field(default_factory=list)
    rests: list[timedelta] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    ill: bool = False
    """Whether it can be claimed from and not be read."""
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    looks: list[str] = field(default_factory=list)

    def tell(self, account: Account, destination: str) -> Row:
        """Mark an incident dirty for a destination."""
        key = (account.incident.id, destination)
        self.known[account.incident.id] = account
        row = self.rows.setdefault(key, Row(OutboxItem(*key, 0, 0, "", None, 0, 0)))
        row.item = replace(row.item, want_rev=row.item.want_rev + 1)
        return row

    async def claim_outbox(self, limit: int, skip: Collection[str]) -> Sequence[OutboxItem]:
        now = self.clock.now()
        due = [
            row
            for row in self.rows.values()
            if row.behind()
            and not row.dead
            and row.due_at <= now
            and row.lease_until <= now
            and row.item.destination not in skip
        ]
        for row in due[:limit]:
            row.lease_until = now + LEASE
            row.item = replace(row.item, attempts=row.item.attempts + 1, epoch=row.item.epoch + 1)
        return [row.item for row in due[:limit]]

    async def accounts(self, incident_ids: Collection[str]) -> Mapping[str, Account]:
        self.reads.append(list(incident_ids))
        if self.ill:
            raise Unavailable("no answer")
        if self.unreadable.intersection(incident_ids):
            raise ValueError("a row that nobody can read")
        return {one: self.known[one] for one in incident_ids if one in self.known}

    async def announce(self, item: OutboxItem, attempt: str, receipt: Receipt | None = None) -> None:
        self.announced.append((item.incident_id, attempt))
        row = self._row(item)
        row.item = replace(row.item, attempt=attempt)
        if receipt is not None:
            row.item = replace(row.item, receipt=receipt or None)

    async def told(self, item: OutboxItem, receipt: Receipt, rest: timedelta = timedelta(seconds=1)) -> None:
        self.rests.append(rest)
        row = self._row(item)
        row.item = replace(row.item, told_rev=item.want_rev, receipt=receipt or None, attempt="", attempts=0)
        row.lease_until, row.due_at, row.error = START, self.clock.now(), ""
        self.noted.set()

    async def tell_later(
        self, item: OutboxItem, at: datetime, error: str, receipt: Receipt | None = None, *, doubtful: bool = False
    ) -> None:
        row = self._row(item)
        if receipt is not None:
            row.item = replace(row.item, receipt=receipt, attempt="")
        if not error:
            row.item = replace(row.item, attempts=max(int(doubtful), item.attempts - 1))
        row.due_at, row.error, row.lease_until = at, error, START
        if error and item.attempts >= MAX_ATTEMPTS:
            row.dead = error

    async def spare(self, items: Collection[OutboxItem]) -> None:
        for item in items:
            row = self.rows[item.incident_id, item.destination]
            if row.item.epoch == item.epoch and row.lease_until > START and row.item.attempts > 1:
                row.item = replace(row.item, attempts=row.item.attempts - 1)

    async def crowded(self, destination: str, after: int, within: timedelta) -> bool:
        since = self.clock.now() - within
        here = [self.known[row.item.incident_id] for row in self._at(destination)]
        return sum(one.incident.opened_at > since for one in here) > after

    async def claim_crowd(self, destination: str, limit: int) -> Sequence[OutboxItem]:
        claimed = await self.claim_outbox(limit, {row.item.destination for row in self.rows.values()} - {destination})
        return [one for one in claimed if not one.incident_id.startswith(DIGEST)]

    async def gather(self, destination: str, gathered: Sequence[Gathered], within: timedelta, rest: timedelta) -> str:
        ids = [key for key, where in self.rows if key.startswith(DIGEST) and where == destination]
        digest_id = ids[-1] if ids else f"{DIGEST}{len(self.rows)}"
        for one in gathered:
            row = self._row(one.item)
            into = one.item.digest or digest_id
            changed = one.line != one.item.receipt
            if one.line is None:
                row.item = replace(row.item, receipt=None, digest=None)
            else:
                row.item = replace(row.item, told_rev=one.item.want_rev, receipt=one.line, digest=into, attempts=0)
                row.lease_until, row.due_at = START, self.clock.now() + rest
            if changed:
                key = (into, destination)
                mark = self.rows.setdefault(key, Row(OutboxItem(*key, 0, 0, "", None, 0, 0)))
                mark.item = replace(mark.item, want_rev=mark.item.want_rev + 1)
        return digest_id

    async def digest(self, digest_id: str, limit: int) -> Sequence[Receipt]:
        rows = [row.item for row in self.rows.values() if row.item.digest == digest_id]
        return [one.receipt for one in rows if one.receipt][:limit]

    def _at(self, destination: str) -> Sequence[Row]:
        return [row for (key, where), row in self.rows.items() if where == destination and not key.startswith(DIGEST)]

    async def receipt(self, incident_id: str, destination: str) -> Receipt | None:
        row = self.rows.get((incident_id, destination))
        return row.item.receipt if row is not None and row.item.digest is None else None

    async def beside(self, incident_id: str, destination: str) -> None:
        self.tell(self.known[incident_id], destination)

    async def look_again(self, incident_id: str) -> None:
        self.looks.append(incident_id)

    async def hurry(self, destination: str) -> int:
        now = self.clock.now()
        mine = [row for row in self.rows.values() if row.item.destination == destination and row.due_at > now]
        for row in mine:
            row.due_at = now
        return len(mine)

    async def give_up(self, item: OutboxItem, error: str) -> None:
        self._row(item).dead = error

    def _row(self, item: OutboxItem) -> Row:
        row = self.rows[item.incident_id, item.destination]
        if row.item.epoch != item.epoch:
            raise Conflict("the lease was lost")
        return row
