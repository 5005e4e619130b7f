"""What is alike in the store's queues, and the two at its ends: deliveries come in, messages go out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from responder.domain.notification import Account, Receipt

LEASE = timedelta(seconds=30)
"""How long a claim holds; a turn takes at most 20 s of it (engine.md)."""
DOUBT_LASTS = timedelta(seconds=12)
"""How long after its process has ended a change in doubt is looked at.

Had the process lived, it would have waited 9 s for the answer to its send, and 2 s more before it looked.
"""
NO_REST = timedelta()
UNCLAIMED_AFTER = timedelta(minutes=5)
"""So long a run may be due that only another version can go on with; then a person is asked (engine.md)."""
MAX_ATTEMPTS = 5
"""After this many claims that led nowhere a row is set aside, visibly; those do not count that the store cut short."""

CLAIMED_BYTES = 32 * 1024 * 1024
"""A claim of deliveries ends with the body that reaches this: however many wait, they are read in time, and fit."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A body that passed the door; ``alerts`` counts what it holds."""

    id: str
    source: str
    received_at: datetime
    body: bytes
    alerts: int


class Inbox(Protocol):
    """Where accepted bodies become durable."""

    async def accept(self, deliveries: Sequence[NewDelivery]) -> Sequence[Exception | None]:
        """Commit all in one transaction; on a data error row by row. One answer each: None means durable."""
        ...


GAP = timedelta(seconds=1)
"""Between two tellings of an incident to one destination: the steps of a run that takes a moment are told as one."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One (incident, destination) that is behind. ``attempt`` is a leftover first post, empty otherwise.

    ``digest`` is the id of the digest that tells of it, None when a message of its own does, or is to.
    """

    incident_id: str
    destination: str
    want_rev: int
    told_rev: int
    attempt: str
    receipt: Receipt | None
    attempts: int
    epoch: int
    digest: str | None = None


DIGEST = "digest-"
"""How the id of a digest begins: the row of a message that tells of many incidents instead of one."""

PICTURES = "_picture"
"""How the kind of a destination ends that is shown the pictures of an incident, below its message."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """An incident that a digest tells of. ``line`` is what it says; None where a message of its own tells it now."""

    item: OutboxItem
    line: Receipt | None


class Outbox(Protocol):
    """The outbox's queue."""

    async def claim_outbox(self, limit: int, skip: Collection[str]) -> Sequence[OutboxItem]:
        """Lease due items, the most severe incidents first, leaving out the destinations in ``skip``."""
        ...

    async def accounts(self, incident_ids: Collection[str]) -> Mapping[str, Account]:
        """Read everything about some incidents; those that are no longer there are left out."""
        ...

    async def announce(self, item: OutboxItem, attempt: str, receipt: Receipt | None = None) -> None:
        """Commit that a post is about to be sent; ``receipt`` is what is known meanwhile, None leaves it.

        An empty ``attempt`` takes it back, an empty ``receipt`` says that nothing was told yet.
        """
        ...

    async def told(self, item: OutboxItem, receipt: Receipt, rest: timedelta = GAP) -> None:
        """Complete: ``told_rev`` becomes the ``want_rev`` of the item; due again after ``rest`` if there is more."""
        ...

    async def tell_later(
        self, item: OutboxItem, at: datetime, error: str, receipt: Receipt | None = None, *, doubtful: bool = False
    ) -> None:
        """Give the item back until ``at``; dead after too many attempts. Pacing (an empty ``error``) does not count.

        Where something may have arrived (``doubtful``), the next claim is not the item's first, whatever was counted.
        """
        ...

    async def spare(self, items: Collection[OutboxItem]) -> None:
        """Take back the attempts of claimed items whose turn the store has cut short; their leases go on.

        The next claim is not an item's first all the same: something may have arrived.
        """
        ...

    async def crowded(self, destination: str, after: int, within: timedelta) -> bool:
        """Say whether more than ``after`` incidents that are told there were opened ``within`` the time until now."""
        ...

    async def claim_crowd(self, destination: str, limit: int) -> Sequence[OutboxItem]:
        """Lease due items of one destination that have no message of their own."""
        ...

    async def gather(self, destination: str, gathered: Sequence[Gathered], within: timedelta, rest: timedelta) -> str:
        """Complete items by letting the destination's digest tell of them; returns its id.

        It is the one that has grown ``within`` the time until now, or a new one. Items without a line leave the digest
        and stay leased. It is told anew when something changed; items are due again after ``rest`` if there is more.
        """
        ...

    async def digest(self, digest_id: str, limit: int) -> Sequence[Receipt]:
        """Read what a digest says of each of its incidents, at most ``limit``."""
        ...

    async def receipt(self, incident_id: str, destination: str) -> Receipt | None:
        """Read where an incident's own message stands; None where it has none there."""
        ...

    async def beside(self, incident_id: str, destination: str) -> None:
        """Make a destination that the incident's messages bring about, such as that of their pictures."""
        ...

    async def look_again(self, incident_id: str) -> None:
        """Let an incident be looked at once more, now: it has come to an end."""
        ...

    async def hurry(self, destination: str) -> int:
        """Make due what waits to be told at a destination that answers again; returns how much that is."""
        ...

    async def give_up(self, item: OutboxItem, error: str) -> None:
        """Set the item aside as a dead letter."""
        ...
