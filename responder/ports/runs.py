"""What act needs of the store: the runs' queue, and the commits of the effect protocol."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from responder.domain.limits import Limits, Pause, Refusal, Scope, Usage
from responder.domain.notification import Approval
from responder.domain.records import Direction, Record
from responder.domain.runs import Run
from responder.domain.suspicion import Suspicion
from responder.ports.audit import Audit
from responder.ports.queues import NO_REST
from responder.ports.slices import RunFact


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

    ``needs_person`` latches when not empty, on the run's incident and on each open one with an alert that joined the
    run: before what is latched there already where this end is graver, else behind it. ``clear_person`` clears every
    latch that this run set, the one that it undoes, or another that was to undo that: what is behind is latched next.
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


@dataclass(frozen=True, slots=True)
class Bound:
    """What came of giving a run the target that was looked up for it.

    ``joined`` is the run that has the target and goes on with the alerts; empty: the run has its target now. ``near``
    are runs that have been at that target, above or below it, since its first alert ``began``, or shortly before.
    """

    joined: str = ""
    near: Sequence[RunFact] = ()
    began: datetime | None = None


class RunStore(Protocol):
    """The runs' queue and the effect protocol's commits. ``run.epoch`` guards every write."""

    async def claim_runs(self, limit: int, skip: Collection[str] = ()) -> Sequence[Run]:
        """Lease due runs, the most severe first with ageing; raises ``attempts`` and ``epoch`` in its commit.

        Runs on targets at or below those in ``skip`` are left for later.
        """
        ...

    async def give_back(self, under_way: Collection[str], settles: timedelta, rest: timedelta = NO_REST) -> int:
        """End the leases of what this process has claimed and does not work on any more: the store cut its turns short.

        That counts as no attempt. ``under_way`` are the runs that are left as they are. The others may be claimed again
        after ``rest``, those with a change in doubt not before ``settles``. Returns how many.
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
        """Write the run as it is now, give the lease back, mark its incident dirty when its state or reason changed.

        A turn that gets here made progress: ``attempts`` becomes 0. What arrived while the turn was under way (a stop,
        a pause, an answer) makes the run due at once, whatever ``due_at`` says. ``ask`` opens an approval (state
        ``pending``; then ``approved``, ``rejected``, ``spent`` or ``void``) and voids an older one.
        """
        ...

    async def bind(self, run: Run) -> Bound:
        """Write a run's target, where it was looked up; another run of the playbook there takes over its alerts.

        The lease goes on.
        """
        ...

    async def take_slot(self, run: Run) -> Refusal | None:
        """Take the target's slot for ``run`` and write it as given; busy or quarantined refuses."""
        ...

    async def intend(self, run: Run, record: Record, authority: Authority) -> Refusal | None:
        """Authorise a forward effect and commit its record as ``intended``, in one transaction (engine.md, step 2)."""
        ...

    async def later_changes(self, run: Run, record: Record) -> Sequence[Record]:
        """Return the changes of other runs on the run's target that are later than the record and may stand."""
        ...

    async def intend_undo(self, run: Run, record: Record) -> Refusal | None:
        """Commit ``undo_intended``; refused by a halt only."""
        ...

    async def braked(self, run: Run, action: str, direction: Direction) -> Refusal | None:
        """Say which brake refuses an effect now that was permitted: for the last look before it is sent.

        Raises Conflict when another process has taken the run over: what is sent now would come after its effects.
        """
        ...

    async def settle(self, run: Run, record: Record) -> None:
        """Write the record's state, observed image, evidence and message."""
        ...

    async def finish(self, run: Run, end: RunEnd, audit: Sequence[Audit] = ()) -> None:
        """Write a final state, free the slot, return unused budget, make its episodes due, mark its incident."""
        ...

    async def keep(self, run: Run, end: RunEnd, audit: Sequence[Audit] = ()) -> None:
        """Write that a run has helped and is kept until ``due_at``: as ``finish``, but the run itself goes on then.

        It holds no target and no budget meanwhile, keeps no incident open, and to limits it has ended.
        """
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
