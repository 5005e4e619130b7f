"""What the verbs need of the store: one protocol for each, all kept by every store.

Every method raises Unavailable when the store cannot be reached, and Conflict when a lease (its epoch) was lost.
Whatever changes a run's state, an incident or a target is written together with its audit entry in one transaction.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pydantic import JsonValue

from responder.domain.alerts import Delivery
from responder.domain.episodes import Decision, Episode, Group, Incident
from responder.domain.limits import Limits, Pause, Refusal, Scope, Usage
from responder.domain.notification import Account, Approval, Receipt
from responder.domain.records import Direction, Record
from responder.domain.runs import Run, RunState
from responder.domain.suspicion import Suspicion
from responder.domain.verdicts import Verdict
from responder.ports.brakes import BrakeLog
from responder.ports.reconciling import Reconciling

LEASE = timedelta(seconds=30)
"""How long a claim holds; a turn takes at most 20 s of it (engine.md)."""
MAX_ATTEMPTS = 5
"""After this many claims that led nowhere a row is set aside, visibly."""


# --- intake -------------------------------------------------------------------------------------------------------


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


# --- decide -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFact:
    """What decide needs of a run near a target or an episode."""

    id: str
    playbook: str
    target: str
    state: RunState
    created_at: datetime
    finished_at: datetime | None
    effects: int
    episodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class DeliveryProgress:
    """How far a delivery was decided; ``done`` ends it, ``dead`` sets it aside with why."""

    id: str
    epoch: int
    cursor: int
    done: bool
    dead: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """One transition, for the audit log. ``actor`` is ``responder`` or a person's name."""

    action: str
    subject: str
    actor: str = "responder"
    details: Mapping[str, JsonValue] = field(default_factory=dict)


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

    async def episodes_of(self, incidents: Collection[str]) -> Mapping[str, Sequence[Episode]]:
        """Return the open and late episodes of each incident."""
        ...

    async def unfinished_runs_of(self, incidents: Collection[str]) -> Mapping[str, int]:
        """Count the runs that are not final, by incident."""
        ...

    async def runs_near(self, targets: Collection[str], episodes: Collection[str]) -> Sequence[RunFact]:
        """Return unfinished runs on targets that are equal, above or below, and every run of these episodes."""
        ...

    async def usage(
        self, pairs: Collection[tuple[str, str]], since: datetime, caps: Collection[str] = ()
    ) -> Mapping[tuple[str, str], Usage]:
        """Return the usage of each (playbook, target), with what is so of the caps with these keys."""
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
        """Lease due deliveries, oldest first; the claim's commit raises ``attempts`` and ``epoch``."""
        ...

    def slice(self) -> AbstractAsyncContextManager[Slice]:
        """Begin a decide transaction; leaving the block normally commits, an exception rolls back."""
        ...

    async def release_delivery(self, delivery: Delivery, retry_at: datetime) -> None:
        """Give a lease back after a failure; nothing but ``due_at`` changes."""
        ...


# --- act ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authority:
    """What a forward effect needs to be allowed: re-read and judged in the record's own transaction.

    ``effects`` is how many effects the whole plan has: the run's first record reserves them all. ``actions`` are the
    kinds of action that are still to come, for brakes: a plan that could not go on does not begin. ``evidence_at`` is
    when the sender's API showed the alert firing, where it was asked; the later of this and the episodes' own counts.
    """

    limits: Limits
    effects: int
    actions: tuple[str, ...] = ()
    protected: bool = False
    evidence_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What a run's last transaction also does.

    ``needs_person`` latches on the incident when not empty; ``clear_person`` clears a latch that this run set.
    ``quarantine`` keeps the target from forward effects, with why. ``retry_at`` is when its episodes are due again
    (with ``after`` the playbook, so that the next candidate has its turn). ``trip_after`` runs of the playbook in a row
    that changed something and did not help trip it.
    """

    needs_person: str = ""
    clear_person: bool = False
    quarantine: str = ""
    retry_at: datetime | None = None
    after: str = ""
    trip_after: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How the world of a run stands now, read in one go at the start of a turn.

    ``firing`` says whether any joined episode is open; ``evidence_at`` is the last sign of it.
    """

    firing: bool
    evidence_at: datetime | None
    pauses: Sequence[Pause]
    approval: Approval | None
    records: Sequence[Record]
    busy: str
    quarantined: str
    usage: Usage
    now: datetime
    last_closed_at: datetime | None = None
    suspicion: Suspicion | None = None


class RunStore(Protocol):
    """The runs' queue and the effect protocol's commits. ``run.epoch`` guards every write."""

    async def claim_runs(self, limit: int, skip: Collection[str] = ()) -> Sequence[Run]:
        """Lease due runs, the most severe first with ageing; raises ``attempts`` and ``epoch`` in its commit.

        Runs on targets at or below those in ``skip`` are left for later.
        """
        ...

    async def standing(self, run: Run, limits: Limits) -> Standing:
        """Read what a turn starts from; ``limits`` say how far back its usage looks."""
        ...

    async def alerts_of(self, run: Run) -> Sequence[tuple[str, str]]:
        """Return (source, fingerprint) of the open episodes that the run serves."""
        ...

    async def playbook_text(self, revision: str) -> tuple[str, str] | None:
        """Return (file name, text) of a pinned playbook."""
        ...

    async def save(self, run: Run, audit: Sequence[Audit] = (), ask: Approval | None = None) -> None:
        """Write the run as it is now, give the lease back, mark its incident dirty when its state changed.

        A turn that gets here made progress: ``attempts`` becomes 0. What arrived while the turn was under way (a stop,
        a pause, an answer) makes the run due at once, whatever ``due_at`` says. ``ask`` opens an approval (state
        ``pending``; then ``approved``, ``rejected``, ``spent`` or ``void``) and voids an older one.
        """
        ...

    async def take_slot(self, run: Run) -> Refusal | None:
        """Take the target's slot for ``run`` and write it as given; busy or quarantined refuses."""
        ...

    async def intend(self, run: Run, record: Record, authority: Authority) -> Refusal | None:
        """Authorise a forward effect and commit its record as ``intended``, in one transaction (engine.md, step 2)."""
        ...

    async def intend_undo(self, run: Run, record: Record) -> Refusal | None:
        """Commit ``undo_intended``; refused by a halt only."""
        ...

    async def braked(self, run: Run, action: str, direction: Direction) -> Refusal | None:
        """Say which brake refuses an effect now that was permitted: for the last look before it is sent."""
        ...

    async def settle(self, run: Run, record: Record) -> None:
        """Write the record's state, observed image, evidence and message."""
        ...

    async def finish(self, run: Run, end: RunEnd, audit: Sequence[Audit] = ()) -> None:
        """Write a final state, free the slot, return unused budget, make its episodes due, mark its incident."""
        ...

    async def use_approval(self, run: Run, approval: Approval) -> bool:
        """Spend an approval, once; False when it was spent, expired or taken back."""
        ...

    async def known_targets(self, of: Scope, name: str) -> int:
        """Count the targets in a scope that alerts of the last 30 days were about."""
        ...

    async def sick_targets(self, playbook: str) -> int:
        """Count the targets of a playbook that open alerts are about which nobody has silenced."""
        ...


# --- tell ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One (incident, destination) that is behind. ``attempt`` is a leftover first post, empty otherwise."""

    incident_id: str
    destination: str
    want_rev: int
    told_rev: int
    attempt: str
    receipt: Receipt | None
    attempts: int
    epoch: int


class Outbox(Protocol):
    """The outbox's queue."""

    async def claim_outbox(self, limit: int, skip: Collection[str]) -> Sequence[OutboxItem]:
        """Lease due items, the most severe incidents first, leaving out the destinations in ``skip``."""
        ...

    async def accounts(self, incident_ids: Collection[str]) -> Mapping[str, Account]:
        """Read everything about some incidents; those that are no longer there are left out."""
        ...

    async def announce(self, item: OutboxItem, attempt: str) -> None:
        """Commit that a first post is about to be sent."""
        ...

    async def told(self, item: OutboxItem, receipt: Receipt) -> None:
        """Complete: ``told_rev`` becomes the ``want_rev`` of the item; due again soon when more has happened since."""
        ...

    async def tell_later(self, item: OutboxItem, at: datetime, error: str, receipt: Receipt | None = None) -> None:
        """Give the item back until ``at``; dead after too many attempts. Pacing (an empty ``error``) does not count."""
        ...

    async def give_up(self, item: OutboxItem, error: str) -> None:
        """Set the item aside as a dead letter."""
        ...


# --- people -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, newest first; ``next`` is the cursor of the following one, empty at the end."""

    items: Sequence[Mapping[str, JsonValue]]
    next: str = ""


Kind = Literal[
    "incidents", "episodes", "deliveries", "decisions", "runs", "records", "pauses", "approvals", "audit", "outbox"
]


class People(Protocol):
    """What the API and the command line read and ask for. ``actor`` is the name of the authenticated caller."""

    async def page(self, kind: Kind, filters: Mapping[str, str], limit: int, cursor: str) -> Page:
        """List rows as plain JSON; raises ValueError naming an unknown filter."""
        ...

    async def run(self, run_id: str) -> Run | None:
        """Return one run."""
        ...

    async def account(self, incident_id: str) -> Account | None:
        """Return everything about an incident."""
        ...

    async def episodes_matching(self, labels: Mapping[str, str], limit: int) -> Sequence[Episode]:
        """Return the latest episodes that carry all these labels (for ``explain``)."""
        ...

    async def answer(self, run_id: str, approve: bool, actor: str, plan_hash: str, comment: str) -> Refusal | None:  # noqa: FBT001 - the answer itself
        """Approve or reject the open question of a run; refuses when there is none or it expired.

        A yes counts for ``plan_hash`` alone and is refused when the plan differs; a no counts whatever the plan.
        """
        ...

    async def stop(self, run_id: str, actor: str) -> bool:
        """Ask a run to stop; False when it is over."""
        ...

    async def roll_back(self, run_id: str, actor: str, reason: str) -> Run | Refusal:
        """Create a rollback run over the records of a finished run."""
        ...

    async def pause(self, pause: Pause) -> None:
        """Put a pause or halt in force, then make what it affects due."""
        ...

    async def resume(self, which: str, actor: str) -> int:
        """Lift one pause by id, those of a scope, or all with ``all``; returns how many.

        Parked runs and refused episodes become due. This process's own brakes stay, and tripped playbooks.
        """
        ...

    async def reset(self, playbook: str, actor: str) -> bool:
        """Let a playbook that has tripped act by itself again; False when it has not."""
        ...

    async def brakes_in_force(self) -> Sequence[Pause]:
        """Return every brake that this process goes by, its own too, the oldest first."""
        ...

    async def acknowledge(self, incident_id: str, actor: str) -> bool:
        """Clear the needs-a-person latch and take the page that is held back or out; False when there is neither."""
        ...

    async def clear_quarantine(self, target: str, actor: str) -> bool:
        """Let forward effects at a target again."""
        ...

    async def redrive(self, kind: str, row_id: str, actor: str) -> bool:
        """Bring a dead delivery or outbox item (``incident|destination``) back."""
        ...


# --- keeping house ------------------------------------------------------------------------------------------------


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

    async def kick(self, verdicts: Collection[Verdict]) -> int:
        """Make episodes due whose latest decision is one of ``verdicts`` (after a reload, say)."""
        ...


class Store(Inbox, DecideStore, RunStore, Outbox, People, BrakeLog, Housekeeping, Reconciling, Protocol):
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
