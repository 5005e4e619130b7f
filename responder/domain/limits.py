"""Limits: whether one more forward effect is allowed, from facts that the store read.

The same pure functions serve decide (advisory, early) and the rollback record's transaction (which decides).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from responder.domain.sentences import quoted, sentences, times
from responder.domain.targets import covered
from responder.domain.verdicts import Verdict

ATTEMPTS_WINDOW = timedelta(hours=24)
"""Over which unsuccessful runs on one target are counted (playbook.md, ``attempts``)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in a verdict and a sentence with figures; ``retry_at`` when it may have changed."""

    verdict: Verdict
    reason: str
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` in any ``window``."""

    count: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """What a playbook may do. None means no such limit; ``attempts`` None: once per alert."""

    per_target: Rate | None = None
    per_playbook: Rate | None = None
    concurrent: int | None = None
    cooldown: timedelta | None = None
    attempts: int | None = None
    max_age: timedelta = timedelta(minutes=30)

    @property
    def rate_window(self) -> timedelta:
        """How far back effects count."""
        return max((rate.window for rate in (self.per_target, self.per_playbook) if rate), default=timedelta())

    @property
    def end_window(self) -> timedelta:
        """How far back the ends of runs count."""
        return max(self.cooldown or timedelta(), ATTEMPTS_WINDOW)

    @property
    def longest_window(self) -> timedelta:
        """How far back anything counts."""
        return max(self.rate_window, self.end_window)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the ledger and the runs say about a playbook and a target.

    ``on_target`` and ``by_playbook`` are the instants of forward effects, reserved ones included; ``running`` counts
    other runs of the playbook that hold a slot; ``last_end`` is the latest end on the target of a run that acted;
    ``unsuccessful`` counts runs on the target in the attempts window that changed something and did not verify.
    """

    on_target: tuple[datetime, ...] = ()
    by_playbook: tuple[datetime, ...] = ()
    running: int = 0
    last_end: datetime | None = None
    unsuccessful: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """A stop sign: ``pause`` refuses new forward effects, ``halt`` every effect.

    ``scope`` is ``all``, ``playbook:NAME`` or ``target:PATTERN`` (shell wildcards). ``until`` None: till it is lifted.
    """

    id: str
    kind: str
    scope: str
    reason: str
    actor: str
    created_at: datetime
    until: datetime | None = None

    def covers(self, playbook: str, target: str, now: datetime) -> bool:
        """Say whether it applies to this playbook and target at ``now``."""
        if self.until is not None and self.until <= now:
            return False
        subject, _, pattern = self.scope.partition(":")
        if subject == "playbook":
            return fnmatchcase(playbook, pattern)
        if subject == "target":
            return covered(target, pattern)
        return True


def paused(pauses: Iterable[Pause], playbook: str, target: str, now: datetime) -> Refusal | None:
    """Return why new forward effects are refused, the most restrictive first."""
    covering = sorted((p for p in pauses if p.covers(playbook, target, now)), key=lambda p: p.kind != "halt")
    for pause in covering:
        verdict = Verdict.HALTED if pause.kind == "halt" else Verdict.PAUSED
        said = quoted(pause.reason)
        who = f"By {pause.actor}{f': {said}' if said else ''}."
        return Refusal(verdict, sentences(verdict.sentence, who), pause.until)
    return None


def _rate(used: tuple[datetime, ...], rate: Rate | None, need: int, now: datetime, verdict: Verdict) -> Refusal | None:
    if rate is None:
        return None
    recent = sorted(at for at in used if at > now - rate.window)
    if len(recent) + need <= rate.count:
        return None
    if need > rate.count:
        return Refusal(verdict, f"the plan has {need} effects, more than the limit of {rate.count} allows at all")
    retry = recent[len(recent) + need - rate.count - 1] + rate.window
    text = f"{verdict.sentence} {len(recent)} of {rate.count} in {rate.window}, next at {retry:%H:%M:%S} UTC"
    return Refusal(verdict, text, retry)


def over_limit(limits: Limits, usage: Usage, need: int, now: datetime) -> Refusal | None:
    """Return why ``need`` more forward effects are refused now, or None."""
    if limits.attempts is not None and usage.unsuccessful >= limits.attempts:
        reason = f"tried {times(usage.unsuccessful)} on this target within 24 h without success; a person is asked"
        return Refusal(Verdict.ATTEMPTS_EXHAUSTED, reason)
    if limits.cooldown is not None and usage.last_end is not None and now < usage.last_end + limits.cooldown:
        until = usage.last_end + limits.cooldown
        reason = (
            f"{Verdict.COOLDOWN.sentence} The last run ended {usage.last_end:%H:%M:%S}, wait until {until:%H:%M:%S} UTC"
        )
        return Refusal(Verdict.COOLDOWN, reason, until)
    if limits.concurrent is not None and usage.running >= limits.concurrent:
        reason = f"{Verdict.CONCURRENT.sentence} {usage.running} of {limits.concurrent}"
        return Refusal(Verdict.CONCURRENT, reason)
    return _rate(usage.on_target, limits.per_target, need, now, Verdict.RATE_TARGET) or _rate(
        usage.by_playbook,
        limits.per_playbook,
        need,
        now,
        Verdict.RATE_PLAYBOOK,
    )
