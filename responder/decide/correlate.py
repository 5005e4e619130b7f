"""From alerts to episodes: the life of one alert as a pure state machine.

``startsAt`` is evidence, not identity: an HA twin moves it, a hidden flap moves it. The status of a group and the
absence of an alert from a payload mean nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from responder.decide.rules import Rules
from responder.domain.alerts import Alert, Shown
from responder.domain.episodes import Episode, EpisodeState
from responder.domain.ids import new_id

TWIN_WINDOW = timedelta(minutes=2)
"""Two instances of Prometheus that start up fire the same alert at different times (engine.md)."""
TWIN_JITTER = timedelta(seconds=1)
"""An HA twin moves ``startsAt`` by less, at any time (measured: 74 ms); an alert that really ended takes longer."""
LATE_GRACE = timedelta(seconds=60)
"""On top of a group interval: a late alert that is seen again after that was not just a delayed retry (engine.md)."""
CLOCKS = timedelta(seconds=60)
"""A sender's clock may be so far behind ours before the end that it gives has passed."""
REPEAT_GAP = timedelta(seconds=30)
"""Sightings closer together are copies from HA peers and retries, not new evidence."""
MAX_FLAPS = 32

RESOLVED, FLAPPED, EXPIRED, VANISHED = "resolved", "flap", "expired", "vanished"
UNSAID = frozenset({EXPIRED, VANISHED})
"""Nobody said that these ended: an alert that is heard of again goes on, unless it says that it began anew."""


class Change(StrEnum):
    """What a sighting did to an alert's episode."""

    OPENED = "opened"
    REOPENED = "reopened"
    FLAPPED = "flapped"
    CHANGED = "changed"
    SEEN = "seen"
    REPEATED = "repeated"
    LATE = "late"
    CLOSED = "closed"
    EXPIRED = "expired"
    IGNORED = "ignored"
    SUPPRESSED = "suppressed"
    MISSING = "missing"
    RELEASED = "released"
    VANISHED = "vanished"
    SETTLED = "settled"


FRESH = frozenset(
    {
        Change.OPENED,
        Change.REOPENED,
        Change.FLAPPED,
        Change.CHANGED,
        Change.SUPPRESSED,
        Change.MISSING,
        Change.RELEASED,
    },
)
"""After these the episode is judged whatever was decided before."""
VISIBLE = frozenset(
    {Change.OPENED, Change.REOPENED, Change.FLAPPED, Change.CLOSED, Change.EXPIRED, Change.VANISHED},
)
"""After these people read something else than before."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one alert of a delivery did: ``episode`` is the alert's episode now, ``ended`` the one it replaced."""

    change: Change
    episode: Episode | None
    ended: Episode | None = None


def see(
    known: Episode | None,
    alert: Alert,
    source: str,
    at: datetime,
    rules: Rules,
    *,
    has_run: bool,
    declined: bool,
) -> Sighting:
    """Apply one alert, received ``at``, to what is known of it: the open or late episode, else the one closed last.

    ``has_run`` says whether a run serves the known episode, ``declined`` whether a person said no to one of these: such
    an episode goes on until somebody says that it has ended. That its start has moved is a hint, which is not enough to
    do again what a person did not want.
    """
    if alert.shown is not None and _heard_since(known, at):
        return Sighting(Change.IGNORED, known)
    if alert.shown is not None and alert.shown is not Shown.ACTIVE:
        return _not_active(known, alert.shown, at, rules)
    if alert.status == "resolved" or _over(alert, at):
        return _resolved(known, alert, source, at, rules)
    if known is None:
        return Sighting(Change.OPENED, _opened(alert, source, at, rules))
    if known.state is EpisodeState.OPEN:
        return _firing_again(known, alert, at, rules, anew=not declined and _began_anew(known, alert, has_run=has_run))
    return _firing_after_end(known, alert, at, rules, has_run=has_run)


def _over(alert: Alert, at: datetime) -> bool:
    """Whether an alert that is said to fire had ended by its own ``endsAt`` when it was received.

    Alertmanager takes the status from there, and sends none with what fires; others send how long they vouch for it.
    """
    return alert.ends_at is not None and at - alert.ends_at > CLOCKS


def _heard_since(known: Episode | None, at: datetime) -> bool:
    """Whether the alert was heard of after it was looked at: what was heard goes before what was seen."""
    return known is not None and known.state is not EpisodeState.CLOSED and at <= known.evidence_at


def expire(episode: Episode, now: datetime) -> Episode:
    """Close an episode that nothing has confirmed for too long."""
    if episode.state is EpisodeState.LATE:
        return replace(episode, state=EpisodeState.CLOSED, reconsider_at=None)
    return _closed(episode, now, now, EXPIRED)


def _opened(alert: Alert, source: str, at: datetime, rules: Rules, flaps: tuple[datetime, ...] = ()) -> Episode:
    return Episode(
        id=new_id(),
        source=source,
        fingerprint=alert.fingerprint,
        state=EpisodeState.OPEN,
        labels=alert.labels,
        annotations=alert.annotations,
        generator_url=alert.generator_url,
        severity=rules.severity_of(alert.labels),
        starts_at=alert.starts_at,
        opened_at=at,
        evidence_at=at,
        flaps=(*flaps, at)[-MAX_FLAPS:],
    )


def _closed(episode: Episode, end: datetime, at: datetime, reason: str) -> Episode:
    return replace(
        episode,
        state=EpisodeState.CLOSED,
        closed_at=end,
        closed_reason=reason,
        reconsider_at=None,
        suppressed="",
        missing_since=None,
        flaps=(*episode.flaps, at)[-MAX_FLAPS:],
    )


def _firing_again(known: Episode, alert: Alert, at: datetime, rules: Rules, *, anew: bool) -> Sighting:
    if anew:
        ended = _closed(known, min(alert.starts_at, at), at, FLAPPED)
        opened = _opened(alert, known.source, at, rules, ended.flaps)
        return Sighting(Change.FLAPPED, replace(opened, incident_id=known.incident_id), ended)
    if known.suppressed or known.missing_since is not None:
        change = Change.RELEASED
    elif alert.annotations != known.annotations:
        change = Change.CHANGED
    else:
        change = Change.SEEN if at - known.evidence_at > REPEAT_GAP else Change.REPEATED
    episode = replace(
        known,
        annotations=alert.annotations,
        generator_url=alert.generator_url,
        severity=rules.severity_of(alert.labels),
        # The latest start: the twin that reports it will be heard again, and must not look like a flap then.
        starts_at=max(known.starts_at, alert.starts_at),
        evidence_at=max(known.evidence_at, at),
        suppressed="",
        missing_since=None,
    )
    return Sighting(change, episode)


def _began_anew(known: Episode, alert: Alert, *, has_run: bool) -> bool:
    """Whether the alert ended in between, and nobody said so: twins alone do not move its start as far."""
    moved = alert.starts_at - known.starts_at
    return moved >= TWIN_JITTER and (has_run or moved > TWIN_WINDOW)


def _not_active(known: Episode | None, shown: Shown, at: datetime, rules: Rules) -> Sighting:
    """Apply what the sender shows when it does not show the alert as active: it opens and reopens nothing."""
    if known is None or known.state is EpisodeState.CLOSED or shown is Shown.UNCLEAR:
        return Sighting(Change.IGNORED, known)
    if shown is Shown.MISSING:
        return _missing(known, at, rules.group_interval + LATE_GRACE)
    if known.state is EpisodeState.LATE:
        return Sighting(Change.REPEATED, known)
    # It fires all the same, which keeps its episode and its incident; the guards refuse to act on it.
    change = Change.REPEATED if known.suppressed == shown.value else Change.SUPPRESSED
    return Sighting(change, replace(known, evidence_at=at, suppressed=shown.value, missing_since=None))


def _missing(known: Episode, at: datetime, wait: timedelta) -> Sighting:
    """Note that the sender no longer shows an alert; one that stays away for longer than ``wait`` is over.

    A late one that stays away was a delayed copy.
    """
    if known.state is EpisodeState.LATE:
        if at < known.evidence_at + wait:
            return Sighting(Change.REPEATED, known)
        return Sighting(Change.SETTLED, replace(known, state=EpisodeState.CLOSED, reconsider_at=None))
    if known.missing_since is None:
        return Sighting(Change.MISSING, replace(known, missing_since=at, suppressed=""))
    if at <= known.missing_since + wait:
        return Sighting(Change.REPEATED, known)
    return Sighting(Change.VANISHED, _closed(known, known.missing_since, at, VANISHED))


def _firing_after_end(known: Episode, alert: Alert, at: datetime, rules: Rules, *, has_run: bool) -> Sighting:
    """A notice after the end: of a new life, a delayed copy of an old one, or a sign that the end was none."""
    if known.state is EpisodeState.CLOSED and known.closed_reason in UNSAID:
        # When it was closed says nothing about when it ended, so the start is all there is to go by.
        anew = _began_anew(known, alert, has_run=has_run)
        episode = _opened(alert, known.source, at, rules, known.flaps) if anew else _reopened(known, alert, at, rules)
        return Sighting(Change.OPENED if anew else Change.REOPENED, episode)
    if known.closed_at is None or alert.starts_at > known.closed_at:
        opened = _opened(alert, known.source, at, rules, known.flaps)
        if known.state is EpisodeState.LATE:
            return Sighting(Change.OPENED, opened, replace(known, state=EpisodeState.CLOSED, reconsider_at=None))
        return Sighting(Change.OPENED, opened)
    if known.state is EpisodeState.CLOSED:
        # From here ``evidence_at`` is when the doubt began.
        return Sighting(Change.LATE, replace(known, state=EpisodeState.LATE, evidence_at=at, reconsider_at=at))
    if alert.shown is Shown.ACTIVE or at >= known.evidence_at + rules.group_interval + LATE_GRACE:
        return Sighting(Change.REOPENED, _reopened(known, alert, at, rules))
    return Sighting(Change.REPEATED, known)


def _reopened(known: Episode, alert: Alert, at: datetime, rules: Rules) -> Episode:
    return replace(
        known,
        state=EpisodeState.OPEN,
        annotations=alert.annotations,
        generator_url=alert.generator_url,
        severity=rules.severity_of(alert.labels),
        starts_at=max(known.starts_at, alert.starts_at),
        evidence_at=at,
        closed_at=None,
        closed_reason="",
        suppressed="",
        missing_since=None,
        flaps=(*known.flaps, at)[-MAX_FLAPS:],
    )


def _resolved(known: Episode | None, alert: Alert, source: str, at: datetime, rules: Rules) -> Sighting:
    # A clock ahead of ours must not make the next firing look late.
    end = at if alert.ends_at is None else min(alert.ends_at, at)
    if known is None:
        # Kept as a life that nobody saw: the firing notice that it overtook would open one that is over.
        unseen = replace(_closed(_opened(alert, source, at, rules), end, at, RESOLVED), flaps=())
        return Sighting(Change.IGNORED, unseen)
    if known.state is EpisodeState.OPEN:
        if end < known.starts_at and alert.starts_at < known.starts_at:
            return Sighting(Change.IGNORED, known)  # the end of an earlier life, delivered late
        return Sighting(Change.CLOSED, _closed(known, end, at, RESOLVED))
    latest = end if known.closed_at is None else max(end, known.closed_at)
    closed = replace(known, state=EpisodeState.CLOSED, closed_at=latest, closed_reason=RESOLVED, reconsider_at=None)
    return Sighting(Change.IGNORED, closed)
