"""Guards: each is one reason not to act now, in a sentence with figures.

They are advisory; the rollback record's transaction decides.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from responder.decide.bench import Bench
from responder.decide.options import Option
from responder.decide.rules import Rules
from responder.domain.alerts import Shown, alteration
from responder.domain.episodes import Episode
from responder.domain.limits import Refusal, Subject, over_limit, paused
from responder.domain.modes import Mode
from responder.domain.targets import is_protected
from responder.domain.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Question:
    """May this option be used for this episode now?"""

    option: Option
    episode: Episode
    bench: Bench
    rules: Rules


Guard = Callable[[Question], Refusal | None]

BACK_OFF = {
    Verdict.BUSY: timedelta(seconds=5),
    Verdict.CONCURRENT: timedelta(seconds=5),
    Verdict.POLICY_CONCURRENT: timedelta(seconds=5),
    Verdict.CONDITION_FAILED: timedelta(seconds=30),
    Verdict.CONDITION_UNKNOWN: timedelta(seconds=30),
    Verdict.NOT_BEGUN: timedelta(minutes=5),
    # Its end is told (``intake.reconcile``).
    Verdict.SILENCED: timedelta(minutes=5),
    Verdict.INHIBITED: timedelta(minutes=5),
}
OTHERWISE = timedelta(seconds=60)
MOST_AHEAD = timedelta(hours=1)
"""A clock that is a little ahead is nothing unusual."""


def retry_at(refusal: Refusal, now: datetime) -> datetime:
    """Return when a ``later`` refusal is looked at again, at least a second from now."""
    wanted = refusal.retry_at or now + BACK_OFF.get(refusal.verdict, OTHERWISE)
    return max(wanted, now + timedelta(seconds=1))


def disabled(q: Question) -> Refusal | None:
    """Refuse what the playbook itself, a policy or ``max_mode`` turns off."""
    if q.option.mode is not Mode.DISABLED:
        return None
    if q.option.playbook.mode is Mode.DISABLED:
        return Refusal(Verdict.DISABLED, Verdict.DISABLED.sentence)
    return Refusal(Verdict.DISABLED, f"{Verdict.DISABLED.sentence} A policy or max_mode says so.")


def altered(q: Question) -> Refusal | None:
    """Refuse an alert with a label that is not as it was sent: it may name something else than was meant."""
    how = alteration(q.episode.labels)
    return Refusal(Verdict.LABEL_ALTERED, f"{Verdict.LABEL_ALTERED.sentence} {how}") if how else None


def not_begun(q: Question) -> Refusal | None:
    """Refuse an alert that says it begins far in the future: whatever else it says is in doubt as well."""
    ahead = q.episode.starts_at - q.bench.now
    if ahead <= MOST_AHEAD:
        return None
    return Refusal(
        Verdict.NOT_BEGUN,
        f"{Verdict.NOT_BEGUN.sentence} It is said to begin at {q.episode.starts_at:%Y-%m-%d %H:%M} UTC, and it is"
        f" {q.bench.now:%Y-%m-%d %H:%M} UTC now.",
    )


def muted(q: Question) -> Refusal | None:
    """Refuse outside the active intervals and inside the mute intervals."""
    playbook, now = q.option.playbook, q.bench.now
    if any(interval.contains(now) for interval in playbook.mute):
        changes = [interval.next_change(now) for interval in playbook.mute if interval.contains(now)]
        # Every interval that mutes now must have ended.
        latest = None if None in changes else max(change for change in changes if change is not None)
        return Refusal(Verdict.MUTED, f"{Verdict.MUTED.sentence}{_until(latest)}", latest)
    if playbook.active and not any(interval.contains(now) for interval in playbook.active):
        starts = [change for interval in playbook.active if (change := interval.next_change(now)) is not None]
        first = min(starts, default=None)
        return Refusal(Verdict.MUTED, f"{Verdict.MUTED.sentence} It is outside its active times.{_until(first)}", first)
    return None


def _until(at: datetime | None) -> str:
    return "" if at is None else f" Until {at:%Y-%m-%d %H:%M} UTC."


def stale(q: Question) -> Refusal | None:
    """Refuse when the last evidence that the alert fires is too old."""
    age = q.bench.now - q.episode.evidence_at
    if age <= q.option.playbook.limits.max_age:
        return None
    seen = f"The last sign was at {q.episode.evidence_at:%H:%M:%S} UTC, {_words(age)} ago"
    return Refusal(
        Verdict.STALE, f"{Verdict.STALE.sentence} {seen}; the limit is {_words(q.option.playbook.limits.max_age)}."
    )


def flapping(q: Question) -> Refusal | None:
    """Refuse an alert that went on and off too often within the window."""
    since = q.bench.now - q.rules.flap_window
    recent = sorted(at for at in q.episode.flaps if at > since)
    if len(recent) < q.rules.flap_changes:
        return None
    calm = recent[-q.rules.flap_changes] + q.rules.flap_window
    figures = f"{len(recent)} changes in {_words(q.rules.flap_window)}, calm at {calm:%H:%M:%S} UTC at the earliest"
    return Refusal(Verdict.FLAPPING, f"{Verdict.FLAPPING.sentence} {figures}.", calm)


def targeted(q: Question) -> Refusal | None:
    """Refuse what has no target: a missing label, no single connection, an unknown cluster, an invalid key."""
    return q.option.refusal


def protected(q: Question) -> Refusal | None:
    """Refuse the targets that the configuration protects."""
    if not is_protected(q.option.target, q.rules.protect):
        return None
    return Refusal(Verdict.PROTECTED, f"{Verdict.PROTECTED.sentence} {q.option.target}")


def stopped(q: Question) -> Refusal | None:
    """Refuse under a pause or halt."""
    playbook, team = q.option.playbook, q.rules.team_of(q.episode.labels)
    subject = Subject(playbook.name, q.option.target, team, playbook.actions, q.episode.incident_id)
    return paused(q.bench.facts.pauses, subject, q.bench.now)


def shown_otherwise(q: Question) -> Refusal | None:
    """Refuse what its sender, when it was last asked, showed as silenced or inhibited, or did not show at all."""
    if q.episode.source not in q.rules.asked:
        return None
    if q.episode.missing_since is not None:
        since = f"It is gone since {q.episode.missing_since:%H:%M:%S} UTC."
        return Refusal(Verdict.NOT_ACTIVE, f"{Verdict.NOT_ACTIVE.sentence} {since}")
    verdict = _SUPPRESSED.get(q.episode.suppressed)
    return None if verdict is None else Refusal(verdict, verdict.sentence)


_SUPPRESSED = {Shown.SILENCED.value: Verdict.SILENCED, Shown.INHIBITED.value: Verdict.INHIBITED}


def looping(q: Question) -> Refusal | None:
    """Refuse what follows from our own changes for the second time in a row."""
    return q.bench.cause(q.option.pair, q.episode).refusal


def quarantined(q: Question) -> Refusal | None:
    """Refuse a target that an earlier run left in doubt."""
    why = q.bench.facts.quarantined.get(q.option.target)
    return None if why is None else Refusal(Verdict.QUARANTINED, f"{Verdict.QUARANTINED.sentence} {why}")


def busy(q: Question) -> Refusal | None:
    """Refuse a target that another run works on, or that lies above or below one."""
    holder = q.bench.holder(q.option.target)
    if holder is None:
        return None
    return Refusal(Verdict.BUSY, f"{Verdict.BUSY.sentence} Run {holder[1]} of {holder[0]} is at it.")


def left_alone(q: Question) -> Refusal | None:
    """Refuse a target that has asked a run to be left alone (``Retry-After``), whichever playbook's that was."""
    until = q.bench.left_alone(q.option.target)
    if until <= q.bench.now:
        return None
    reason = f"{Verdict.COOLDOWN.sentence} It asks to be left alone until {until:%H:%M:%S} UTC (Retry-After)."
    return Refusal(Verdict.COOLDOWN, reason, until)


def limited(q: Question) -> Refusal | None:
    """Refuse beyond the playbook's limits."""
    limits = q.option.playbook.limits
    refusal = over_limit(limits, q.bench.usage(q.option.pair), q.option.playbook.effects, q.bench.now)
    if refusal is not None and refusal.verdict.later and refusal.retry_at is None:
        return replace(refusal, retry_at=retry_at(refusal, q.bench.now))
    return refusal


def doubted(q: Question) -> Refusal | None:
    """Refuse while the store's clock is not to be trusted: nobody can tell what the limits allow."""
    return None if q.bench.facts.suspicion is None else q.bench.facts.suspicion.refusal()


OF_THE_ALERT: tuple[Guard, ...] = (disabled, altered, not_begun, muted, stale, flapping, targeted, protected)
"""What speaks against acting on this alert, whatever happened before."""
OF_THE_MOMENT: tuple[Guard, ...] = (shown_otherwise, stopped)
"""Stop signs, the sender's and ours; they hold for watching, too, because a run would be refused by them."""
OF_AN_EFFECT: tuple[Guard, ...] = (looping, doubted, quarantined, busy, left_alone, limited)
"""What speaks against changing the target now; ``observe`` takes no slot and no budget."""


def first_refusal(guards: tuple[Guard, ...], question: Question) -> Refusal | None:
    """Return the first reason not to."""
    for guard in guards:
        refusal = guard(question)
        if refusal is not None:
            return refusal
    return None


def _words(span: timedelta) -> str:
    """Write a span for people: the two largest units, ``1h 5m``, ``45s``."""
    seconds = int(span.total_seconds())
    units = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
    parts = []
    for size, unit in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
