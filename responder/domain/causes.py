"""What our own changes bring about: an alert behind one of them may be its doing, and a chain of such ends. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from responder.domain.episodes import Episode
from responder.domain.limits import Refusal
from responder.domain.verdicts import Verdict

CAUSE_WINDOW = timedelta(minutes=15)
"""An alert that begins this long after a run at the latest counts as brought about by it."""
FURTHEST_BACK = timedelta(hours=24)
"""An alert that fires for longer is not asked what brought it about."""
MAX_DEPTH = 2
"""So many runs follow from one another; the next one would be a loop."""
FIRST = 1
"""The depth of a run that follows from none."""


@dataclass(frozen=True, slots=True)
class Touch:
    """A run that changed something at a target, from ``at`` until ``until`` (now while it is not over)."""

    run: str
    playbook: str
    target: str
    depth: int
    at: datetime
    until: datetime

    def brought_about(self, began: datetime) -> bool:
        """Whether what began then may follow from it: never what was there before the change."""
        return self.at < began <= self.until + CAUSE_WINDOW


@dataclass(frozen=True, slots=True)
class Cause:
    """From which run another one follows (empty: from none), and how many runs that makes in a row."""

    run: str = ""
    depth: int = FIRST

    @property
    def refusal(self) -> Refusal | None:
        """Why no further run may follow, None when one may."""
        if self.depth <= MAX_DEPTH:
            return None
        return Refusal(Verdict.LOOP, f"{Verdict.LOOP.sentence} It began after run {self.run} here, {_in_a_row(self)}.")


def _in_a_row(cause: Cause) -> str:
    return f"which would make {cause.depth} runs that follow from one another; at most {MAX_DEPTH} may"


def began(episode: Episode) -> datetime:
    """Return since when an alert fires, by its sender or by its arrival, whichever is earlier."""
    return min(episode.starts_at, episode.opened_at)


def touched_since(begins: Iterable[datetime], now: datetime) -> datetime:
    """Return how far back runs are of interest to alerts that began at these instants."""
    return max(min((now, *begins)) - CAUSE_WINDOW, now - FURTHEST_BACK)


def cause_of(touches: Iterable[Touch], playbook: str, target: str, since: datetime) -> Cause:
    """Return what a run of ``playbook`` on ``target`` would follow from, for an alert that fires since ``since``.

    Behind another playbook, or on another target, it is one run further down the chain. The same playbook on the same
    target again is not: what comes back is what ``recurrence`` and ``attempts`` count. The longest chain is the cause.
    """
    found = Cause()
    for touch in touches:
        if not touch.brought_about(since):
            continue
        again = (touch.playbook, touch.target) == (playbook, target)
        cause = Cause(touch.run, touch.depth if again else touch.depth + 1)
        if not found.run or (cause.depth, cause.run) > (found.depth, found.run):
            found = cause
    return found
