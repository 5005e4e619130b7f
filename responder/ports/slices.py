"""What decide needs of the store: the deliveries' queue, and one transaction for each slice of it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from responder.domain.alerts import Delivery, Severity
from responder.domain.causes import Touch
from responder.domain.episodes import Decision, Episode, Group, Incident
from responder.domain.limits import Limits, Pause, Usage
from responder.domain.runs import Run, RunState
from responder.domain.suspicion import Suspicion
from responder.ports.audit import Audit


@dataclass(frozen=True, slots=True)
class RunFact:
    """What decide needs of a run near a target or an episode.

    ``began_at``: its first change, or None. ``kept_at``: since when it is kept for a time, or None.
    ``left_alone_until``: until when its target has asked to be left alone (``Retry-After``), or None.
    ``declined``: a person has stopped it, said no to it, or asked to take back what it changed; or nobody has answered
    what it asked behind a change. Who stops it from being given back says no such thing: it helped, and is to stay.
    """

    id: str
    playbook: str
    target: str
    state: RunState
    created_at: datetime
    finished_at: datetime | None
    effects: int
    episodes: frozenset[str]
    began_at: datetime | None = None
    depth: int = 1
    kept_at: datetime | None = None
    left_alone_until: datetime | None = None
    declined: bool = False

    @property
    def said_no(self) -> bool:
        """Whether a person said no to the run: before it changed anything, while it did, or afterwards."""
        return self.declined or self.state is RunState.CANCELLED

    def touch(self, now: datetime) -> Touch | None:
        """Return what the run has changed, as far as that may be the cause of something; None when it changed nothing.

        What it is kept for is over since ``kept_at``; what is not over lasts until ``now``.
        """
        if self.began_at is None:
            return None
        over = self.kept_at if self.state is RunState.KEPT else None
        return Touch(self.id, self.playbook, self.target, self.depth, self.began_at, self.finished_at or over or now)


@dataclass(frozen=True, slots=True)
class DeliveryProgress:
    """How far a delivery was decided; ``done`` ends it, ``dead`` sets it aside with why.

    ``note`` is kept beside what went well: which alerts in it could not be read.
    """

    id: str
    epoch: int
    cursor: int
    done: bool
    dead: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class SliceChanges:
    """Everything one slice writes, in one transaction.

    ``episodes`` and ``incidents`` are whole rows to insert or replace by id. ``runs`` come with the episodes they
    serve; ``joins`` are (run, episode) pairs. ``tell`` maps an incident to the destinations that must have an outbox
    row (existing rows of the incident are marked dirty in any case when it is a key). ``hold`` maps an incident to when
    a person is called unless it is over by then; the first time that was written stands. ``heirs`` maps an incident
    that was left empty to the one that takes over its page and, per destination, what was told of it, where nothing was
    told for the heir. ``truncated`` are groups that a sender cut short and whose rest is to be asked for.
    """

    episodes: Sequence[Episode] = ()
    incidents: Sequence[Incident] = ()
    decisions: Sequence[Decision] = ()
    runs: Sequence[tuple[Run, frozenset[str]]] = ()
    joins: Sequence[tuple[str, str]] = ()
    tell: Mapping[str, frozenset[str]] = field(default_factory=dict)
    heirs: Mapping[str, str] = field(default_factory=dict)
    hold: Mapping[str, datetime] = field(default_factory=dict)
    progress: Sequence[DeliveryProgress] = ()
    truncated: Sequence[Group] = ()
    audit: Sequence[Audit] = ()


class Slice(Protocol):
    """One decide transaction. Reads lock what they return, in the order episodes, incidents."""

    @property
    def now(self) -> datetime:
        """The store's clock when the transaction began."""
        ...

    async def episodes_by_key(self, keys: Collection[tuple[str, str]]) -> Sequence[Episode]:
        """Return for each (source, fingerprint) the open or late episode, else the one closed last."""
        ...

    async def due_episodes(self, limit: int) -> Sequence[Episode]:
        """Return open or late episodes with ``reconsider_at`` reached, skipping those another slice holds."""
        ...

    async def incidents(
        self,
        groups: Collection[tuple[str, str, str]],
        ids: Collection[str],
    ) -> Sequence[Incident]:
        """Return the open incidents of the (source, receiver, group key) triples and those with these ids."""
        ...

    async def others_of(self, incidents: Collection[str]) -> Mapping[str, Severity | None]:
        """Return the worst severity of each incident's open episodes that this slice has not read; None without any."""
        ...

    async def unfinished_runs_of(self, incidents: Collection[str]) -> Mapping[str, int]:
        """Count the runs that are not final, by incident."""
        ...

    async def runs_near(
        self, targets: Collection[str], episodes: Collection[str], since: datetime
    ) -> Sequence[RunFact]:
        """Return the runs on targets that are equal, above or below, and every run of these episodes.

        On targets those count that are unfinished, or that changed something and ended after ``since``.
        """
        ...

    async def usage(self, asked: Mapping[tuple[str, str], Limits]) -> Mapping[tuple[str, str], Usage]:
        """Return what the limits of each (playbook, target) go by: as far back as these limits look, no farther."""
        ...

    async def quarantined(self, targets: Collection[str]) -> Mapping[str, str]:
        """Return the targets in doubt (equal, above or below), with why."""
        ...

    async def pauses(self) -> Sequence[Pause]:
        """Return the pauses and halts in force."""
        ...

    def suspicion(self) -> Suspicion | None:
        """Return why the store's clock is doubted, None when it is trusted."""
        ...

    async def write(self, changes: SliceChanges) -> None:
        """Write all; raises Conflict when a delivery's lease was lost or another slice was first."""
        ...


class DecideStore(Protocol):
    """The deliveries' queue and the slices' transactions."""

    async def claim_deliveries(self, limit: int) -> Sequence[Delivery]:
        """Lease due deliveries, oldest first; the claim's commit raises ``attempts`` and ``epoch``.

        It ends with the body with which they are ``CLAIMED_BYTES``.
        """
        ...

    def slice(self) -> AbstractAsyncContextManager[Slice]:
        """Begin a decide transaction; leaving the block normally commits, an exception rolls back."""
        ...

    async def give_back_deliveries(self) -> int:
        """End the leases of all that this process has claimed: the store cut its turn short, and nobody works on it.

        That counts as no attempt. Returns how many.
        """
        ...

    async def release_delivery(self, delivery: Delivery, retry_at: datetime, *, counted: bool = True) -> None:
        """Give a lease back until ``retry_at``; ``counted``: as an attempt that failed."""
        ...
