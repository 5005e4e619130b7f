"""Runs and their transitions: one table, one pure function."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, JsonValue

from responder.domain.alerts import Severity
from responder.domain.modes import Mode
from responder.domain.verdicts import Verdict

FORMAT = 1
"""Of what a run's row may hold: raised with the first release that writes what older ones do not understand.

A program takes up rows of its own format and older ones, and leaves newer ones to newer programs
(docs/decisions/0020). A release reads a new word before the next one writes it, wherever that is possible.
"""


class RunState(StrEnum):
    """Where a run stands; the last nine are final."""

    RESOLVING = "resolving"
    CHECKING = "checking"
    AWAITING_APPROVAL = "awaiting_approval"
    READY = "ready"
    ACTING = "acting"
    VERIFYING = "verifying"
    KEPT = "kept"
    REVERTING = "reverting"
    UNDOING = "undoing"
    PARKED = "parked"
    VERIFIED = "verified"
    ROLLED_BACK = "rolled_back"
    PARTLY_ROLLED_BACK = "partly_rolled_back"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    OBSERVED = "observed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL


FINAL = frozenset(list(RunState)[list(RunState).index(RunState.VERIFIED) :])
HOLDS_SLOT = frozenset(
    {RunState.ACTING, RunState.VERIFYING, RunState.REVERTING, RunState.UNDOING, RunState.PARKED},
)
"""In these states a run holds its target's slot (a parked one keeps what it had)."""
PASSES_ON = {
    RunState.ROLLED_BACK: "unless a person stopped it or asked for it",
    RunState.FAILED: "where a step failed and nothing had been changed",
    RunState.SKIPPED: "where the reason does not pass by itself",
    RunState.OBSERVED: "if it may do more than observe",
}
"""Ends behind which the next candidate has its turn, and when (decision 5)."""

HELPED = frozenset({RunState.KEPT, RunState.REVERTING, RunState.VERIFIED})
"""States of a run that has helped: whatever step it has not taken is not needed."""

JOINABLE = frozenset(
    {
        RunState.RESOLVING,
        RunState.CHECKING,
        RunState.AWAITING_APPROVAL,
        RunState.READY,
        RunState.ACTING,
        RunState.VERIFYING,
    },
)
"""A run in these states may still help whoever joins it; later it is giving back or undoing."""

SETTLES = timedelta(minutes=10)
"""A verification waits so long for data that was measured after the change, before ``within`` begins to count.

Prometheus gives no sample that is older than five minutes; a recording rule may look back five more.
"""

Outcome = Literal[
    "resolved_target",
    "observe",
    "ask",
    "go",
    "refused",
    "approved",
    "rejected",
    "timed_out",
    "started",
    "roll_back",
    "applied",
    "next_step",
    "unchanged",
    "step_failed",
    "undo",
    "verified",
    "keep",
    "revert",
    "give_up",
    "undone",
    "partly_undone",
    "unsure",
    "stopped",
    "halted",
    "resumed",
]
"""What a turn found out; together with the state it names the next state."""

_S = RunState
TRANSITIONS: Mapping[tuple[RunState, Outcome], RunState] = {
    (_S.RESOLVING, "resolved_target"): _S.CHECKING,
    (_S.RESOLVING, "refused"): _S.SKIPPED,
    (_S.CHECKING, "observe"): _S.OBSERVED,
    (_S.CHECKING, "ask"): _S.AWAITING_APPROVAL,
    (_S.CHECKING, "go"): _S.READY,
    (_S.CHECKING, "refused"): _S.SKIPPED,
    (_S.AWAITING_APPROVAL, "approved"): _S.READY,
    (_S.AWAITING_APPROVAL, "rejected"): _S.CANCELLED,
    (_S.AWAITING_APPROVAL, "refused"): _S.SKIPPED,
    (_S.READY, "ask"): _S.AWAITING_APPROVAL,
    (_S.READY, "started"): _S.ACTING,
    (_S.READY, "roll_back"): _S.UNDOING,
    (_S.READY, "refused"): _S.SKIPPED,
    (_S.ACTING, "ask"): _S.AWAITING_APPROVAL,
    (_S.ACTING, "applied"): _S.VERIFYING,
    (_S.ACTING, "unchanged"): _S.SKIPPED,
    (_S.ACTING, "refused"): _S.SKIPPED,
    (_S.ACTING, "step_failed"): _S.FAILED,
    (_S.ACTING, "undo"): _S.UNDOING,
    (_S.ACTING, "give_up"): _S.FAILED,
    (_S.ACTING, "unsure"): _S.UNKNOWN,
    (_S.VERIFYING, "verified"): _S.VERIFIED,
    (_S.VERIFYING, "next_step"): _S.ACTING,
    (_S.VERIFYING, "keep"): _S.KEPT,
    (_S.VERIFYING, "undo"): _S.UNDOING,
    (_S.VERIFYING, "give_up"): _S.FAILED,
    (_S.VERIFYING, "unsure"): _S.UNKNOWN,
    (_S.KEPT, "revert"): _S.REVERTING,
    (_S.KEPT, "verified"): _S.VERIFIED,
    (_S.REVERTING, "verified"): _S.VERIFIED,
    (_S.REVERTING, "undo"): _S.UNDOING,
    (_S.REVERTING, "unsure"): _S.UNKNOWN,
    (_S.UNDOING, "next_step"): _S.ACTING,
    (_S.UNDOING, "undone"): _S.ROLLED_BACK,
    (_S.UNDOING, "partly_undone"): _S.PARTLY_ROLLED_BACK,
    (_S.UNDOING, "give_up"): _S.FAILED,
    (_S.UNDOING, "unsure"): _S.UNKNOWN,
    # Before anything was applied, a deadline expires the run and a person cancels it.
    **{
        (state, "timed_out"): _S.EXPIRED
        for state in (_S.RESOLVING, _S.CHECKING, _S.AWAITING_APPROVAL, _S.READY, _S.ACTING)
    },
    **{
        (state, "stopped"): _S.CANCELLED
        for state in (_S.RESOLVING, _S.CHECKING, _S.AWAITING_APPROVAL, _S.READY, _S.ACTING)
    },
    **{(state, "halted"): _S.PARKED for state in (_S.ACTING, _S.VERIFYING, _S.REVERTING, _S.UNDOING)},
    (_S.PARKED, "unsure"): _S.UNKNOWN,
    (_S.PARKED, "undo"): _S.UNDOING,
}
"""Every transition but ``resumed``, which leads from parked back to where the run was parked."""

OUTCOMES: tuple[str, ...] = get_args(Outcome)


class PlannedStep(BaseModel):
    """One step of a plan as people approve it: its action, rendered arguments and owned images."""

    model_config = ConfigDict(frozen=True)
    id: str
    action: str
    arguments: dict[str, JsonValue]
    before: JsonValue
    after: JsonValue
    note: str = ""


class Sample(BaseModel):
    """One look at a condition: its value (None: unknown) and what that means."""

    model_config = ConfigDict(frozen=True)
    at: datetime
    value: float | None
    outcome: Literal["pass", "fail", "unknown"]
    reason: str = ""
    data: Literal["", "old", "new"] = ""
    """Whether it was measured after the change: ``old`` judges nothing, empty where that was not asked."""


class Check(BaseModel):
    """What has been seen of one verification condition."""

    model_config = ConfigDict(frozen=True)
    name: str
    baseline: float | None = None
    first: Sample | None = None
    last: Sample | None = None
    determinate: Sample | None = None
    passing_since: datetime | None = None
    done: bool = False
    fresh: bool = False
    """What it reads has been measured after the change, and so will be whatever it reads from here on."""


class Tried(BaseModel):
    """A step that did not help, with what was measured after it."""

    model_config = ConfigDict(frozen=True)
    step: str
    reason: str


class Context(BaseModel):
    """What a run knows of its alert, frozen when it was created: the first alert's labels serve for rendering."""

    model_config = ConfigDict(frozen=True)
    source: str = ""
    fingerprint: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    generator_url: str = ""
    connection: str = ""
    team: str | None = None
    """Whose it is, for brakes; None in runs from before it was kept."""
    requested_by: str = ""
    reason: str = ""
    skipped: int = 0
    """How many runs of the playbook were skipped for the alert in a row before this one."""


class Pausing(BaseModel):
    """The step at which a run waits, and until when."""

    model_config = ConfigDict(frozen=True)
    step: int
    until: datetime


class Said(BaseModel):
    """What a step had to say to people."""

    model_config = ConfigDict(frozen=True)
    step: str
    text: str
    at: datetime


class Progress(BaseModel):
    """What a run has found out so far; kept with its row."""

    model_config = ConfigDict(frozen=True)
    plan: tuple[PlannedStep, ...] = ()
    plan_hash: str = ""
    approved: str = ""
    """The hash of the plan that a person agreed to; empty where nobody was asked for one."""
    asked: int = 0
    step: int = 0
    checks: tuple[Check, ...] = ()
    changed_at: datetime | None = None
    verify_from: datetime | None = None
    verify_until: datetime | None = None
    extended: bool = False
    parked_from: RunState | None = None
    parked_at: datetime | None = None
    """Since when a halt holds it where it is: that time does not count into the deadline."""
    ending: Verdict | None = None
    ending_reason: str = ""
    unchanged: tuple[str, ...] = ()
    tries: int = 0
    left_since: datetime | None = None
    """Since when programs leave the run to one that can read its playbook."""
    baselines: tuple[float | None, ...] = ()
    """What every check showed before the first step: each step's own in their order, then the playbook's."""
    tried: tuple[Tried, ...] = ()
    items: dict[str, dict[str, JsonValue]] = {}
    """What each step with a list is done to, by the step's id and the item's name; frozen in checking."""
    portions: dict[str, tuple[dict[str, JsonValue], ...]] = {}
    """The arguments of each portion of a gradual step, by the step's id; frozen in checking."""
    keep_until: datetime | None = None
    """From when on a change that helped is to be given back."""
    giving: str = ""
    """The record that was given back and is judged now."""
    given_back: tuple[str, ...] = ()
    """Records that are undone and of which nothing is to be judged any more."""
    look_anew: tuple[str, ...] = ()
    """Records in doubt, or somebody else's, before a person wanted them back."""
    goes_on: bool = False
    """What is being undone is one step that did not help, and the next one has its turn behind it."""
    pausing: Pausing | None = None
    asking: str = ""
    """The step that asks a person whether to go on."""
    passed: tuple[str, ...] = ()
    """The steps between changes that are over."""
    said: tuple[Said, ...] = ()
    owner: dict[str, str] = {}
    """What made the alert's pod, by kind, as it was looked up in resolving: ``owner.deployment`` in templates."""
    joined: str = ""
    """The run that goes on with the alerts of this one: their targets turned out to be the same."""
    reach: int | None = None
    """On how many targets the run's ``blast_radius`` lets effects be, as it was counted in checking."""
    left_alone_until: datetime | None = None
    """Until when the target has asked to be left alone (``Retry-After``): no run is begun on it before that."""


NO_PROGRESS = Progress()


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a playbook on one target.

    ``revision`` is the SHA-256 of the playbook's text, kept in the store. ``of_run`` is the run that a person's
    rollback undoes. ``stop_by`` names who asked to stop it. ``deadline`` bounds it whatever happens. ``caused_by`` is
    the run after whose change the alert began, ``depth`` how many runs follow from one another up to this one.
    ``kept_at`` is when a change that is to be given back was found to help: the run's fix ends there.
    """

    id: str
    kind: Literal["forward", "rollback"]
    playbook: str
    revision: str
    target: str
    state: RunState
    mode: Mode
    severity: Severity
    incident_id: str
    context: Context
    created_at: datetime
    due_at: datetime
    deadline: datetime
    progress: Progress = NO_PROGRESS
    of_run: str = ""
    stop_by: str = ""
    verdict: Verdict | None = None
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    kept_at: datetime | None = None
    effects: int = 0
    attempts: int = 0
    epoch: int = 0
    caused_by: str = ""
    depth: int = 1

    @property
    def waits_for_yes(self) -> bool:
        """Whether a person is asked: for the plan, or between two steps."""
        asks_between = self.state is RunState.ACTING and bool(self.progress.asking)
        return self.state is RunState.AWAITING_APPROVAL or asks_between


def advance(run: Run, outcome: Outcome, verdict: Verdict | None = None, reason: str = "") -> Run:
    """Return ``run`` after ``outcome``; a final state keeps ``verdict`` and ``reason``.

    Raises ValueError when the table has no such transition: a fault of ours, never of the outside world.
    """
    if outcome == "resumed" and run.state is RunState.PARKED and run.progress.parked_from is not None:
        progress = run.progress.model_copy(update={"parked_from": None})
        return replace(run, state=run.progress.parked_from, progress=progress, verdict=None, reason="")
    try:
        state = TRANSITIONS[run.state, outcome]
    except KeyError:
        msg = f"a run that is {run.state} cannot take the outcome {outcome!r}"
        raise ValueError(msg) from None
    if state is RunState.PARKED:
        progress = run.progress.model_copy(update={"parked_from": run.state})
        return replace(run, state=state, progress=progress, verdict=verdict, reason=reason)
    return replace(run, state=state, verdict=verdict, reason=reason)
