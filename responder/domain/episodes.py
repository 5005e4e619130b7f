"""Episodes and incidents as values; how alerts change them is decided in ``decide.correlate``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from responder.domain.alerts import Severity


class EpisodeState(StrEnum):
    """``late``: a firing notice older than the last end, waiting for a sign that it fires again."""

    OPEN = "open"
    LATE = "late"
    CLOSED = "closed"


HOLDS_OPEN = frozenset({EpisodeState.OPEN})
"""In these states an episode keeps its incident open; a late one is only recorded until something confirms it."""


@dataclass(frozen=True, slots=True)
class Episode:
    """The life of one alert, firing to resolved.

    ``starts_at`` is evidence, not identity. ``evidence_at`` is the last sign that it fires. ``reconsider_at`` is when
    decide looks at it again (None: only new evidence makes it due). ``after`` is the playbook whose run ended without
    verifying, so that the next candidate has its turn. ``flaps`` are the instants of the latest closings and openings.
    ``suppressed`` is ``silenced`` or ``inhibited`` while the sender's API shows it so, empty otherwise;
    ``missing_since`` is since when that API has not shown it.
    """

    id: str
    source: str
    fingerprint: str
    state: EpisodeState
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str
    severity: Severity
    starts_at: datetime
    opened_at: datetime
    evidence_at: datetime
    closed_at: datetime | None = None
    closed_reason: str = ""
    incident_id: str = ""
    reconsider_at: datetime | None = None
    after: str = ""
    flaps: tuple[datetime, ...] = ()
    suppressed: str = ""
    missing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a sender's alerts: what one delivery is about."""

    source: str
    receiver: str
    group_key: str
    labels: Mapping[str, str]
    external_url: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What people see: the episodes of one group, with their runs.

    Open while an episode is open, a run is not final or a person is needed; ``closed_reason`` is ``resolved`` or
    ``regrouped``. ``needs_person`` holds why a person is needed (latched), empty otherwise.
    """

    id: str
    source: str
    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    external_url: str
    severity: Severity
    opened_at: datetime
    team: str = ""
    needs_person: str = ""
    needs_person_run: str = ""
    resolved_at: datetime | None = None
    closed_reason: str = ""

    @property
    def open(self) -> bool:
        """Whether it still stands."""
        return self.resolved_at is None


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a playbook ran or did not run for an episode; one row per episode, playbook and verdict, counted.

    ``playbook`` is empty for ``no_match``. ``retry_at`` is when it is looked at again.
    """

    episode_id: str
    playbook: str
    verdict: str
    reason: str
    at: datetime
    target: str = ""
    run_id: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DecisionRow(Decision):
    """A kept decision: ``at`` is when it was last taken, ``first_at`` when first, ``count`` how often."""

    id: str = ""
    first_at: datetime | None = None
    count: int = 1
