"""Limits: whether one more forward effect is allowed, from facts that the store read.

The same pure functions serve decide (advisory, early) and the rollback record's transaction (which decides).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from math import floor
from typing import Literal

from responder.domain.runs import Run
from responder.domain.sentences import quoted, times
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


RECURRENCE = Rate(3, timedelta(hours=24))
"""How often the same playbook may fix the same target before a person is asked, unless it says otherwise."""


Scope = Literal["owner", "cluster", "team", "playbook"]
"""What a share is of: targets with one parent, of one cluster, of one team's alerts, or of one playbook."""


@dataclass(frozen=True, slots=True)
class Share:
    """At most ``share`` (0.2 for 20 %) of the targets ``of`` a scope; ``total`` is how many those are, if declared."""

    share: float
    of: Scope = "playbook"
    total: int | None = None

    def allows(self, population: int) -> int:
        """Return how many of a population that is, at least one."""
        return max(1, floor(self.share * population + _ROUNDING))


_ROUNDING = 1e-9
"""29 % of 100 is 29, although 0.29 * 100 is a little less."""
RADIUS_WINDOW = timedelta(hours=1)
"""How long a target counts as acted on where the playbook has no rate of its own."""


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit that runs of several playbooks share: the ledger counts their effects under its ``key``.

    ``rate`` bounds all their effects and ``per_target`` those on one target, ``concurrent`` how many of these runs are
    under way. ``targets`` bounds on how many different targets they act within ``lasts``, or hold. ``told`` names it in
    a sentence. One without any bound is only counted under.
    """

    key: str
    told: str
    rate: Rate | None = None
    per_target: Rate | None = None
    concurrent: int | None = None
    targets: int | None = None
    lasts: timedelta = timedelta()

    @property
    def window(self) -> timedelta:
        """How far back effects count."""
        return max((self.lasts, *(rate.window for rate in (self.rate, self.per_target) if rate)))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a playbook may do. None means no such limit; ``attempts`` None: once per alert.

    ``recurrence`` counts runs on a target that helped: what has to be fixed again and again is not fixed. So many runs
    in a row as ``trip_after`` says that did not help make the playbook ask. ``blast_radius`` is how many of the targets
    there are may be acted on, ``mass_failure`` how many may be sick at once before a person is asked instead. ``caps``
    hold besides, all of them.
    """

    per_target: Rate | None = None
    per_playbook: Rate | None = None
    concurrent: int | None = None
    cooldown: timedelta | None = None
    attempts: int | None = None
    max_age: timedelta = timedelta(minutes=30)
    recurrence: Rate | None = RECURRENCE
    trip_after: int | None = None
    blast_radius: Share | None = None
    mass_failure: Share | None = None
    caps: tuple[Cap, ...] = ()

    @property
    def rate_window(self) -> timedelta:
        """How far back effects count."""
        return max((rate.window for rate in (self.per_target, self.per_playbook) if rate), default=timedelta())

    @property
    def end_window(self) -> timedelta:
        """How far back the ends of runs count."""
        recurrence = self.recurrence.window if self.recurrence is not None else timedelta()
        return max(self.cooldown or timedelta(), ATTEMPTS_WINDOW, recurrence)

    @property
    def looks_back(self) -> timedelta:
        """How far back anything counts that the playbook by itself is limited by."""
        return max(self.rate_window, self.end_window)

    @property
    def radius_window(self) -> timedelta:
        """How long a target counts for ``blast_radius`` after an effect."""
        return self.rate_window or RADIUS_WINDOW


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Shared:
    """What the ledger says of a cap, seen from one run: what others did and hold under it.

    ``effects`` and ``on_target`` are instants of forward effects, now for reserved ones; ``running`` counts the runs
    that hold a target. ``elsewhere`` are effects on other targets, with these; ``held`` are others that are held.
    """

    effects: tuple[datetime, ...] = ()
    on_target: tuple[datetime, ...] = ()
    running: int = 0
    elsewhere: tuple[tuple[str, datetime], ...] = ()
    held: frozenset[str] = frozenset()

    def others(self, since: datetime) -> frozenset[str]:
        """Return the other targets that were acted on since an instant, or are held."""
        return self.held | {target for target, at in self.elsewhere if at > since}


NOTHING_SHARED = Shared()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the ledger and the runs say about a playbook and a target.

    ``on_target`` and ``by_playbook`` are the instants of forward effects, now for reserved ones: any moment they may be
    made, or given back. ``running`` counts other runs of the playbook that hold a slot; ``last_end`` is the latest end
    on the target of a run that acted; ``unsuccessful`` counts runs on the target in the attempts window that changed
    something and did not verify; ``helped`` are the ends of those that did. ``shared`` says the same of caps, by their
    keys.
    """

    on_target: tuple[datetime, ...] = ()
    by_playbook: tuple[datetime, ...] = ()
    running: int = 0
    last_end: datetime | None = None
    unsuccessful: int = 0
    helped: tuple[datetime, ...] = ()
    shared: Mapping[str, Shared] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a brake is held against. ``team`` or ``incident`` None, no ``actions``: every such brake covers it."""

    playbook: str
    target: str
    team: str | None = None
    actions: tuple[str, ...] = ()
    incident: str | None = None


def subject_of(run: Run, actions: Iterable[str] = ()) -> Subject:
    """Return what brakes on ``run`` are held against, as far as it is about ``actions``."""
    return Subject(run.playbook, run.target, run.context.team, tuple(actions), run.incident_id)


TRIP = "trip"
"""The kind of a brake that failures put on a playbook; a person takes it off."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A brake: ``pause`` refuses new forward effects, ``halt`` every effect, ``trip`` what nobody has approved.

    ``scope`` is ``all``, or ``team:``, ``playbook:``, ``action:``, ``incident:`` or ``target:`` with a pattern (shell
    wildcards).
    ``until`` None: till it is lifted. ``source`` says where it was put on: by a person in the store, or for this
    process alone by a file or its environment.
    """

    id: str
    kind: str
    scope: str
    reason: str
    actor: str
    created_at: datetime
    until: datetime | None = None
    source: Literal["store", "file", "environment"] = "store"

    @property
    def halts(self) -> bool:
        """Whether it refuses undoing, too; a kind that is not known is taken for the stricter one."""
        return self.kind not in ("pause", TRIP)

    @property
    def told(self) -> str:
        """What people read: who has paused what, and why."""
        if self.kind == TRIP:
            return f"{self.scope}: {self.reason}"
        what = f"{self.actor} {'halted' if self.halts else 'paused'} {self.scope}"
        said = quoted(self.reason)
        return f"{what}: {said}." if said else f"{what}."

    def covers(self, subject: Subject, now: datetime) -> bool:
        """Say whether it applies at ``now``; a scope that is not known applies to everything."""
        if self.until is not None and self.until <= now:
            return False
        about, _, pattern = self.scope.partition(":")
        if about == "target":
            return covered(subject.target, pattern)
        if about == "action":
            return not subject.actions or any(fnmatchcase(one, pattern) for one in subject.actions)
        names = {"playbook": subject.playbook, "team": subject.team, "incident": subject.incident}
        name = names.get(about)
        return name is None or fnmatchcase(name, pattern)


def paused(pauses: Iterable[Pause], subject: Subject, now: datetime) -> Refusal | None:
    """Return why new forward effects are refused, by the most restrictive brake."""
    covering = [pause for pause in pauses if pause.kind != TRIP and pause.covers(subject, now)]
    if not covering:
        return None
    strictest = min(covering, key=lambda pause: not pause.halts)
    verdict = Verdict.HALTED if strictest.halts else Verdict.PAUSED
    return Refusal(verdict, f"{verdict.sentence} {strictest.told}", strictest.until)


def halted(pauses: Iterable[Pause], subject: Subject, now: datetime) -> Refusal | None:
    """Return why every effect is refused, undoing included."""
    return paused((pause for pause in pauses if pause.halts), subject, now)


def tripped(pauses: Iterable[Pause], subject: Subject, now: datetime) -> Refusal | None:
    """Return why a forward effect takes a person's approval, whatever the playbook's mode is."""
    trip = next((pause for pause in pauses if pause.kind == TRIP and pause.covers(subject, now)), None)
    return None if trip is None else Refusal(Verdict.TRIPPED, f"{Verdict.TRIPPED.sentence} {trip.reason}")


def _rate(used: tuple[datetime, ...], rate: Rate | None, need: int, now: datetime, verdict: Verdict) -> Refusal | None:
    if rate is None:
        return None
    recent = sorted(at for at in used if at > now - rate.window)
    if len(recent) + need <= rate.count:
        return None
    if need > rate.count:
        return Refusal(verdict, f"the plan has {need} effects, more than the limit of {rate.count} allows at all")
    text = f"{verdict.sentence} {len(recent)} of {rate.count} in {rate.window}"
    in_the_way = recent[len(recent) + need - rate.count - 1]
    if in_the_way >= now:  # reserved: it may be given back long before it would leave the window
        return Refusal(verdict, f"{text}, with what runs under way have reserved")
    retry = in_the_way + rate.window
    return Refusal(verdict, f"{text}, next at {retry:%H:%M:%S} UTC", retry)


def _recurring(limit: Rate | None, helped: tuple[datetime, ...], now: datetime) -> Refusal | None:
    if limit is None:
        return None
    recent = [at for at in helped if at > now - limit.window]
    if len(recent) < limit.count:
        return None
    reason = f"{Verdict.RECURRING.sentence} It helped {len(recent)} times on this target within {limit.window}"
    return Refusal(Verdict.RECURRING, f"{reason}, last at {max(recent):%H:%M:%S} UTC.")


def failing_as_one(share: Share, sick: int, known: int) -> Refusal | None:
    """Return why a playbook is not to go on: so many of its targets are sick at once that they have one cause.

    ``known`` is how many targets there are as far as anybody knows. Where nobody has declared it, a population that is
    too small for one target to be within the share is none: whoever was heard of first would look like everybody.
    """
    population = share.total or max(known, sick)
    if share.total is None and share.share * population < 1 - _ROUNDING:
        return None
    if sick <= share.allows(population):
        return None
    figures = f"{sick} of {population} are sick, and more than {share.share * 100:.4g}% is a mass failure."
    return Refusal(Verdict.MASS_FAILURE, f"{Verdict.MASS_FAILURE.sentence} {figures}")


def over_limit(limits: Limits, usage: Usage, need: int, now: datetime) -> Refusal | None:
    """Return why ``need`` more forward effects are refused now, or None."""
    if limits.attempts is not None and usage.unsuccessful >= limits.attempts:
        reason = f"tried {times(usage.unsuccessful)} on this target within 24 h without success; a person is asked"
        return Refusal(Verdict.ATTEMPTS_EXHAUSTED, reason)
    again = _recurring(limits.recurrence, usage.helped, now)
    if again is not None:
        return again
    if limits.cooldown is not None and usage.last_end is not None and now < usage.last_end + limits.cooldown:
        until = usage.last_end + limits.cooldown
        reason = (
            f"{Verdict.COOLDOWN.sentence} The last run ended {usage.last_end:%H:%M:%S}, wait until {until:%H:%M:%S} UTC"
        )
        return Refusal(Verdict.COOLDOWN, reason, until)
    if limits.concurrent is not None and usage.running >= limits.concurrent:
        reason = f"{Verdict.CONCURRENT.sentence} {usage.running} of {limits.concurrent}"
        return Refusal(Verdict.CONCURRENT, reason)
    return (
        _rate(usage.on_target, limits.per_target, need, now, Verdict.RATE_TARGET)
        or _rate(usage.by_playbook, limits.per_playbook, need, now, Verdict.RATE_PLAYBOOK)
        or _over_a_cap(limits.caps, usage, need, now)
    )


def _over_a_cap(caps: Iterable[Cap], usage: Usage, need: int, now: datetime) -> Refusal | None:
    """Return what the first cap says that is used up: all of them hold, so the strictest one wins."""
    for cap in caps:
        used = usage.shared.get(cap.key, NOTHING_SHARED)
        if cap.concurrent is not None and used.running >= cap.concurrent:
            figures = f"{used.running} of {cap.concurrent}"
            return Refusal(
                Verdict.POLICY_CONCURRENT, f"{Verdict.POLICY_CONCURRENT.sentence} It is {cap.told}: {figures}."
            )
        refusal = _rate(used.on_target, cap.per_target, need, now, Verdict.POLICY_TARGET) or _rate(
            used.effects, cap.rate, need, now, Verdict.POLICY_RATE
        )
        if refusal is not None:
            return replace(refusal, reason=f"{refusal.reason} ({cap.told})")
        others = used.others(now - cap.lasts)
        if cap.targets is not None and len(others) + 1 > cap.targets:
            figures = f"{len(others)} of at most {cap.targets}"
            return Refusal(Verdict.BLAST_RADIUS, f"{Verdict.BLAST_RADIUS.sentence} Others of {cap.told}: {figures}.")
    return None
