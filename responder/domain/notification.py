"""What people are told: the channel-neutral account of an incident now."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import JsonValue

from responder.domain.alerts import Severity
from responder.domain.buttons import Button
from responder.domain.chart import Chart
from responder.domain.episodes import DecisionRow, Episode, Incident
from responder.domain.findings import Finding
from responder.domain.records import Record
from responder.domain.runs import Run, RunState


class Headline(StrEnum):
    """The outcome in a word; ``icon`` and ``colour`` repeat it, never replace it."""

    icon: str
    colour: str

    def __new__(cls, value: str, icon: str, colour: str) -> Self:
        """Make a member of its words, an icon and a hexadecimal colour."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.icon = icon
        member.colour = colour
        return member

    FIRING = "Firing", "🔴", "#d32f2f"
    FIXING = "Fixing", "🟠", "#f57c00"
    UNDOING = "Undoing", "↩️", "#f57c00"
    WAITING = "Waits for approval", "✋", "#7b1fa2"
    OVERDUE = "Overdue, needs your yes", "⚠️", "#d32f2f"
    PARKED = "Parked", "⏸️", "#7b1fa2"
    FIXED = "Fixed", "🟢", "#388e3c"
    TAKEN_BACK = "Taken back", "↩️", "#d32f2f"
    OBSERVED = "Observed only", "👁", "#546e7a"
    ROLLED_BACK = "Rolled back, needs you", "⚠️", "#d32f2f"
    PARTLY_UNDONE = "Partly undone, needs you", "⚠️", "#d32f2f"
    NOT_UNDONE = "Not undone, needs you", "⚠️", "#d32f2f"
    FAILED = "Failed, needs you", "⚠️", "#d32f2f"
    UNKNOWN = "Unknown, needs you", "❓", "#d32f2f"
    NEEDS_YOU = "Needs you", "⚠️", "#d32f2f"
    RESOLVED = "Resolved", "✅", "#388e3c"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the account: a symbol (✔ ◐ ○ ✖ ↩ –) and a sentence; ``url`` leads to what it is about."""

    symbol: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, for the thread; ``key`` makes sure that it is posted once.

    ``body`` is what is too long for a line, such as a log. ``calls`` says that a person is needed because of it.
    """

    key: str
    at: datetime
    text: str
    body: str = ""
    calls: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A run that asked whether it may: a message of its own, where several runs of an incident have asked.

    ``run`` is its key, ``icon`` repeats how it stands, ``lines`` are what it would change. ``alert`` is what it is
    asked because of; the only target that it names is the run's. ``pending`` while the answer can still be given;
    ``outcome`` is the question, then the answer. ``buttons`` are its yes and its no.
    """

    run: str
    icon: str
    title: str
    alert: str
    outcome: str
    pending: bool
    lines: tuple[Line, ...]
    buttons: tuple[Button, ...] = ()


FIRST, END = "first", "end"
"""The states of an incident that are worth a picture each."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The chart of an incident, where a channel can show one: at ``state``, which is FIRST or END.

    ``stale``: what it is drawn from is older than the end that it is to show.
    """

    state: str
    chart: Chart
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Notification:
    """The account of one incident at one revision.

    ``title`` names alert and target; ``lines`` say what was done with figures (before → after, what the check
    measured) or why nothing was; ``by_hand`` is what a person can do; ``links`` are (text, URL) pairs. ``page`` is the
    sentence for the pager while a person is needed, empty otherwise. ``fallback`` is the whole outcome in one line.
    ``about`` holds the labels that tell it from other incidents of its name. ``buttons`` are what can be pressed now,
    where the channel has buttons and somebody hears of it when one is pressed. ``ahead`` is what happens next by
    itself, ``notes`` are (kind, line) of what was found out beside the alert. ``questions`` are the runs of which each
    asks in a message of its own, where the channel can. ``picture`` is the chart, once there is one.
    ``lent_over`` counts the changes that were kept for a time only and of which that time has ended.
    """

    incident_id: str
    revision: int
    headline: Headline
    title: str
    severity: Severity
    team: str
    since: datetime
    summary: str
    lines: tuple[Line, ...]
    why: str
    by_hand: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    entries: tuple[Entry, ...]
    fallback: str
    source: str
    group_key: str
    page: str = ""
    resolved: bool = False
    run_id: str = ""
    labels: Mapping[str, str] | None = None
    about: str = ""
    buttons: tuple[Button, ...] = ()
    ahead: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    questions: tuple[Question, ...] = ()
    picture: Picture | None = None
    lent_over: int = 0


Receipt = Mapping[str, JsonValue]
"""What a channel gave us to edit the same message later; JSON, made and read by the notifier alone."""


def repeated(news: Notification) -> Notification:
    """Mark what may already have been read: rather twice than not at all."""
    return replace(news, title=f"{news.title} (repeated)", fallback=f"{news.fallback} (repeated)")


UNTOUCHED = "nothing was changed"
"""What the fact ``state now`` says of an incident at whose targets no run has changed anything."""
OVERDUE = "neither fixed nor resolved in time"
"""What is said of an incident whose page was held back for long enough."""
ASKED_TO_LOOK = f"{OVERDUE}: a person is asked to look"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has taken an incident over, and when."""

    by: str
    at: datetime


PRESSED, PRESS_REFUSED = "button.pressed", "button.refused"
"""What the audit log says of a click on an incident's message, with ``button`` and ``why`` among its details."""


@dataclass(frozen=True, slots=True)
class Click:
    """A button of the incident's message was pressed; ``refused`` says why that did nothing, empty while it did."""

    id: str
    by: str
    at: datetime
    button: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Beyond:
    """What the account of a large incident leaves out, counted.

    ``firing`` are those of ``episodes`` that are open; ``ends`` are the states in which the latest runs that served
    these have ended or are, None where there was none.
    """

    episodes: int = 0
    firing: int = 0
    runs: int = 0
    ends: frozenset[RunState | None] = frozenset()


@dataclass(frozen=True, slots=True)
class Account:
    """What the store knows of an incident, read in one go for composing its message.

    Of a large incident it holds the alerts that matter most with their decisions, and the latest runs; ``beyond``
    counts the others.
    ``overdue`` says that its page was held back until its time was up, and that nobody has taken it since.
    ``acknowledged`` is the latest acknowledgement, ``clicks`` are the latest of them, oldest first, ``findings`` what
    was found out so far.
    """

    incident: Incident
    episodes: tuple[Episode, ...]
    runs: tuple[Run, ...]
    records: tuple[Record, ...]
    decisions: tuple[DecisionRow, ...]
    approvals: tuple["Approval", ...] = ()
    overdue: bool = False
    acknowledged: Acknowledgement | None = None
    clicks: tuple[Click, ...] = ()
    beyond: Beyond = Beyond()
    findings: tuple[Finding, ...] = ()

    @property
    def size(self) -> int:
        """How many alerts and runs there are."""
        return len(self.episodes) + self.beyond.episodes + len(self.runs) + self.beyond.runs


@dataclass(frozen=True, slots=True)
class Approval:
    """May this plan be carried out? Used once, before ``expires_at``, for exactly ``plan_hash``.

    With ``four_eyes`` two different people must say yes; ``first_by`` is the one who did so first.
    """

    id: str
    run_id: str
    plan_hash: str
    plan: JsonValue
    state: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str = ""
    decided_at: datetime | None = None
    comment: str = ""
    four_eyes: bool = False
    first_by: str = ""
    first_at: datetime | None = None
    first_comment: str = ""
