"""What the verbs need of the store: one protocol for each, all kept by every store.

Every method raises Unavailable when the store cannot be reached, and Conflict when a lease (its epoch) was lost.
Whatever changes a run's state, an incident or a target is written together with its audit entry in one transaction.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from responder.domain.notification import Account
from responder.domain.suspicion import Suspicion
from responder.domain.verdicts import Verdict
from responder.ports.audit import Audit
from responder.ports.brakes import BrakeLog
from responder.ports.findings import FindingsStore
from responder.ports.people import Kind, Page, People
from responder.ports.queues import (
    CLAIMED_BYTES,
    DIGEST,
    DOUBT_LASTS,
    LEASE,
    MAX_ATTEMPTS,
    UNCLAIMED_AFTER,
    Gathered,
    Inbox,
    NewDelivery,
    Outbox,
    OutboxItem,
)
from responder.ports.reconciling import Reconciling
from responder.ports.runs import Authority, Bound, RunEnd, RunStore, Standing
from responder.ports.sealing import Sealing
from responder.ports.slices import DecideStore, DeliveryProgress, RunFact, Slice, SliceChanges

__all__ = [
    "CLAIMED_BYTES",
    "DIGEST",
    "DOUBT_LASTS",
    "LEASE",
    "MAX_ATTEMPTS",
    "UNCLAIMED_AFTER",
    "Audit",
    "Authority",
    "Bound",
    "DecideStore",
    "DeliveryProgress",
    "Gathered",
    "Housekeeping",
    "Inbox",
    "Kind",
    "NewDelivery",
    "Outbox",
    "OutboxItem",
    "Page",
    "People",
    "QueueDepth",
    "RunEnd",
    "RunFact",
    "RunStore",
    "Slice",
    "SliceChanges",
    "Standing",
    "Store",
]


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many rows wait, the age of the oldest due one in seconds, and how many were set aside."""

    waiting: int
    oldest_seconds: float
    dead: int


class Housekeeping(Protocol):
    """What keeps the store healthy."""

    async def depths(self) -> Mapping[str, QueueDepth]:
        """Return the depth of ``deliveries``, ``episodes``, ``runs`` and ``outbox``."""
        ...

    async def untold(self) -> int:
        """Count incidents that need a person, or whose page is overdue, and have an outbox row that is behind."""
        ...

    async def holds_due(self, limit: int) -> Sequence[Account]:
        """Return incidents whose page is to be looked at, since it was held back or went out; the longest due first."""
        ...

    async def call(self, incident_id: str, again: timedelta, tell: Collection[str]) -> bool:
        """Let an incident's page go, to be looked at ``again`` later; ``tell`` hear of it.

        False when it is out already, or when another replica or a person was first.
        """
        ...

    async def hold_on(self, incident_id: str, again: timedelta) -> None:
        """Hold an incident's page back, to be looked at ``again`` later; one that is closed needs none any more."""
        ...

    async def expire(self, retention: Mapping[str, timedelta], limit: int) -> int:
        """Delete what is past its retention, at most ``limit`` rows a table; returns how many."""
        ...

    async def keep_playbook(self, name: str, revision: str, file: str, text: str) -> None:
        """Keep a playbook's text under its revision and remember it as the last good one of ``file``."""
        ...

    async def last_good(self) -> Mapping[str, tuple[str, str]]:
        """Return (revision, text) of the last good version of each playbook file."""
        ...

    async def set_aside(self, tell: Collection[str] = ()) -> Sequence[str]:
        """Set aside what has been claimed too often (runs end ``unknown``, deliveries and outbox items die).

        An unreadable delivery opens an incident that needs a person; ``tell`` are the destinations that hear of it.
        Returns what was set aside: ``run ID``, ``delivery ID``, ``outbox INCIDENT|DESTINATION``.
        """
        ...

    async def report_unclaimed(self, tell: Collection[str] = ()) -> int:
        """Ask a person when runs that only a newer version can read have waited for too long; returns how many."""
        ...

    async def kick(self, verdicts: Collection[Verdict]) -> int:
        """Make episodes due whose latest decision is one of ``verdicts`` (after a reload, say)."""
        ...


class Store(
    Inbox,
    DecideStore,
    RunStore,
    Outbox,
    People,
    BrakeLog,
    Housekeeping,
    Reconciling,
    Sealing,
    FindingsStore,
    Protocol,
):
    """A store keeps them all."""

    async def open(self) -> None:
        """Connect, migrate where allowed, take the file lock; raises Unavailable or SettingsError."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...

    async def ping(self) -> None:
        """Write and read something; raises Unavailable."""
        ...

    def suspicion(self) -> Suspicion | None:
        """Return why the store's clock is doubted, None when it is trusted."""
        ...

    def listen(self, on_fact: Callable[..., None]) -> None:
        """Tell the store's own facts (its clock, its server) to ``on_fact``; call it before ``open``."""
        ...

    def now(self) -> datetime:
        """Return the store's clock: the one that all leases, due times and windows go by."""
        ...

    async def schema_version(self) -> str:
        """Return the migration the schema is at."""
        ...
