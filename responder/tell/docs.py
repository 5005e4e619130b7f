"""What a playbook says to people about an incident: whose words, and with which alert's values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from responder.domain.episodes import DecisionRow, Episode
from responder.domain.notification import Account
from responder.domain.runs import Run
from responder.domain.verdicts import Verdict

_PASSED_OVER = frozenset({Verdict.DISABLED, Verdict.MUTED, Verdict.SUPERSEDED})
"""Decisions by which a playbook does not count for the alert: its words come last."""


@dataclass(frozen=True, slots=True)
class Docs:
    """What a playbook says to people, with the alert's values already in it, and what it does when something ends."""

    summary: str = ""
    meaning: str = ""
    impact: str = ""
    by_hand: str = ""
    runbook_url: str = ""
    on_failure: Literal["undo", "keep", "page"] = "undo"
    on_timeout: Literal["page", "skip"] = "page"
    attempts: int = 1
    revert_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose words are wanted, and for which alert; without a ``revision``, those of the playbook in use now."""

    playbook: str
    revision: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    connection: str = ""
    owner: Mapping[str, str] = field(default_factory=dict)


DocsOf = Callable[[Subject], Docs | None]


def subject(account: Account, run: Run | None, worst: Episode | None) -> Subject | None:
    """Return whose words fit: those of the run, without one those of the playbook that was decided about last."""
    if run is not None:
        known = run.context
        return Subject(
            run.playbook, run.revision, known.labels, known.annotations, known.connection, run.progress.owner
        )
    named = [one for one in account.decisions if worst and one.episode_id == worst.id and one.playbook]
    latest = max(named, key=_weight, default=None)
    if latest is None or worst is None:
        return None
    return Subject(latest.playbook, labels=worst.labels, annotations=worst.annotations)


def _weight(one: DecisionRow) -> tuple[object, ...]:
    return one.verdict not in _PASSED_OVER, one.at, one.verdict == Verdict.TOLD, one.id
