"""``crash``: every point of every scenario, discovered by tracing it, is where a responder dies once.

And where it freezes while another takes over (PostgreSQL), where an answer is lost, and where it dies again while it
recovers.
"""

import contextlib
import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.attack.lives import Launcher, Stuck, Victim, launcher, victim
from tests.attack.points import ANY, Mode, Plan
from tests.attack.scenarios import BEFORE, LEVELS, SCENARIOS, Scenario
from tests.attack.verdict import Account, Findings, decided, ends, judge
from tests.bed.ledger import Entry, effects
from tests.bed.target_process import TargetProcess, target_process

QUIET = 4.0
"""Seconds until everybody was told; the messages of an incident are a second apart."""
Places = dict[str, list[tuple[str, int]]]
"""The points of each scenario, as (name, occurrence)."""
EFFECTS = frozenset({"do:after", "undo:after"})
_AT_EFFECTS = EFFECTS | {"do:before", "undo:before"}
SECOND = (1, 2, 4, 7)
"""The points of a recovery, counted from its start, at which it dies again; each pair has one of them in turn."""


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario with one or more strikes; those after the first are for the lives that follow."""

    scenario: Scenario
    plans: tuple[Plan, ...]

    def __str__(self) -> str:
        return f"{self.scenario.name}, {', then '.join(map(str, self.plans))}"


@dataclass(slots=True)
class Result:
    """What a campaign, or a part of it, came to."""

    kills: int = 0
    freezes: int = 0
    lost: int = 0
    missed: int = 0
    points: set[tuple[str, int]] = field(default_factory=set)
    findings: Findings = field(default_factory=Findings)

    def add(self, other: "Result") -> None:
        """Add a part."""
        self.kills += other.kills
        self.freezes += other.freezes
        self.lost += other.lost
        self.missed += other.missed
        self.points |= other.points
        for name in ("lost", "repeated", "violations"):
            getattr(self.findings, name).extend(getattr(other.findings, name))

    def line(self) -> str:
        """Return the line to quote."""
        found = self.findings
        also = "".join(
            f", {count:,} {what}" for count, what in ((self.freezes, "freezes"), (self.lost, "lost answers")) if count
        )
        return (
            f"{self.kills:,} kills{also} at {len(self.points)} points: {len(found.lost)} effects lost,"
            f" {len(found.repeated)} repeated, {len(found.violations)} violations"
        )


@dataclass(frozen=True, slots=True)
class Manner:
    """How much of a campaign is played: each ``every``-th case, and only at effects and next to them when asked."""

    every: int = 1
    at_effects: bool = False
    say: Callable[[str], None] = print


@dataclass(slots=True)
class Ward:
    """A victim and its target, through one case after the other."""

    label: str
    victim: Victim
    target: TargetProcess
    result: Result = field(default_factory=Result)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _read: int = 0

    def trace(self, scenario: Scenario, *, wait: bool = True) -> list[str]:
        """Play a scenario unhurt and return the points that it met, in order; ``wait`` for the last message, too."""
        self.victim.arm(None)
        self._play(scenario, f"{scenario.name}, unhurt", wait=wait)
        return self.victim.met()

    def run(self, case: Case) -> None:
        """Play a case and judge it."""
        victim = self.victim
        victim.plans = list(case.plans[1:])
        deaths, freezes = victim.deaths, victim.freezes
        victim.arm(case.plans[0])
        self._play(case.scenario, f"{self.label}: {case}", wait=False)
        lost = case.plans[0].mode == "lost" and victim.struck()
        self.result.kills += victim.deaths - deaths
        self.result.freezes += victim.freezes - freezes
        self.result.lost += lost
        hurt = victim.deaths - deaths + victim.freezes - freezes + lost
        if hurt:
            self.result.points.add((case.plans[0].name, case.plans[0].occurrence))
        self.result.missed += max(0, len(case.plans) - hurt)
        victim.plans.clear()

    def _play(self, scenario: Scenario, name: str, *, wait: bool) -> None:
        item = f"item-{self.label}-{next(self._numbers)}"
        self.target._send("PUT", f"/admin/{item}", {"workers": BEFORE})
        self.target._send("PUT", "/admin/levels", LEVELS)

        def judged() -> None:
            judge(Account(name, scenario, item, self._effects(item)), self.victim, self.result.findings)

        self._to_the_end(scenario, name, item, judged, wait=wait)

    def _to_the_end(self, scenario: Scenario, name: str, item: str, judged: Callable[[], None], *, wait: bool) -> None:
        """Play until everybody is at rest, and judge; a victim that gets stuck is a finding, and starts anew."""
        try:
            scenario.play(self.victim, item)
            self.victim.resolve(_PLAYBOOK_OF.get(scenario.name, scenario.name), item)
            if wait or self.victim.armed():
                self.victim.quiet(QUIET)
            self.victim.revive()
            self.victim.thaw()
            judged()
        except Stuck as error:
            self.result.findings.violations.append(f"{name}: {error}")
            self.victim.end()
            self.victim.plans.clear()
            self.victim.let_time_pass()
            self.victim.start()

    def _effects(self, item: str) -> list[Entry]:
        return [entry for entry in effects(self.target.entries(), item) if entry.key]


class OutsideWard(Ward, ABC):
    """A victim whose target is a system of its own, such as a database: its own account is the judge."""

    @abstractmethod
    def _prepare(self, scenario: Scenario) -> str:
        """Make the target as it is before a case, and return the case's item."""

    @abstractmethod
    def _landed(self, scenario: Scenario, name: str, item: str) -> None:
        """Judge what the target has seen of a case that is over."""

    def _play(self, scenario: Scenario, name: str, *, wait: bool) -> None:
        del wait  # the target is looked at when everybody is at rest
        item = self._prepare(scenario)

        def judged() -> None:
            found, runs = self.result.findings, self.victim.runs(item)
            ends(Account(name, scenario, item, ()), runs, self.victim, found)
            decided(name, item, self.victim, found)
            records = [one for run in runs for one in self.victim.items(f"records?run={run['id']}")]
            if any(not one["before"] for one in records) or not records:
                found.violations.append(f"{name}: no record with a before-image")
            self._landed(scenario, name, item)

        self._to_the_end(scenario, name, item, judged, wait=True)


_PLAYBOOK_OF = {"approval": "asks", "stop": "patient", "rollback": "kept"}


def discover(ward: Ward, *, wait: bool = True, scenarios: Sequence[Scenario] = SCENARIOS) -> Places:
    """Return the points of the scenarios as (name, occurrence), in the order in which they are met."""
    found: Places = {}
    for scenario in scenarios:
        seen: Counter[str] = Counter()
        places = []
        for name in ward.trace(scenario, wait=wait):
            seen[name] += 1
            places.append((name, seen[name]))
        found[scenario.name] = places
    return found


def near_effects(places: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the points at effects, and those next to them: the others are the same whatever is changed."""
    at = {place for place, (name, _) in enumerate(places) if name in _AT_EFFECTS}
    return [one for place, one in enumerate(places) if at & {place - 1, place, place + 1}]


def _those(places: Places, among: Sequence[Scenario]) -> list[Scenario]:
    return [scenario for scenario in among if scenario.name in places]


def singles(
    places: Places, *modes: Mode, embedded: bool = False, among: Sequence[Scenario] = SCENARIOS
) -> Iterator[Case]:
    """Yield a case for each point and mode."""
    for scenario in _those(places, among):
        for mode, (name, occurrence) in itertools.product(modes, places[scenario.name]):
            # An answer is lost after the deed, and on its way: a SQLite file is not on one.
            if mode != "lost" or name in EFFECTS or (name.endswith(":after") and not embedded):
                yield Case(scenario, (Plan(name, occurrence, mode),))


def pairs(places: Places, among: Sequence[Scenario] = SCENARIOS) -> Iterator[Case]:
    """Yield cases that die at a point, and at another one while they recover."""
    seconds = itertools.cycle(SECOND)
    for scenario in _those(places, among):
        for (name, occurrence), second in zip(places[scenario.name], seconds, strict=False):
            yield Case(scenario, (Plan(name, occurrence, "kill"), Plan(ANY, second, "kill")))


@contextlib.contextmanager
def ward(label: str, store: str, forks: Launcher) -> Iterator[Ward]:
    """Give a victim on ``store`` with a target of its own."""
    with target_process() as target, victim(store, target.url, forks) as hurt:
        yield Ward(label, hurt, target)


def play(one: Ward, cases: Iterable[Case], say: Callable[[str], None] = lambda _: None) -> Result:
    """Play cases one after the other."""
    began, told = time.monotonic(), 0
    for count, case in enumerate(cases, 1):
        one.run(case)
        findings = one.result.findings.every
        if len(findings) > told:
            say(f"{case}: {findings}")
        told = len(findings)
        if count % 50 == 0:
            say(f"{one.label}: {count} cases in {time.monotonic() - began:.0f} s, {one.result.line()}")
    return one.result


def campaign(urls: Sequence[tuple[str, str]], manner: Manner, only: Sequence[str] = ()) -> Result:
    """Play everything, or the scenarios of the names ``only``, on each (label, store), the stores side by side."""
    chosen = [scenario for scenario in SCENARIOS if not only or scenario.name in only]
    total = Result()
    with contextlib.ExitStack() as stack:
        wards = [stack.enter_context(ward(label, url, stack.enter_context(launcher()))) for label, url in urls]
        threads = [threading.Thread(target=whole, args=(one, chosen, manner), name=one.label) for one in wards]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in wards:
            total.add(one.result)
    return total


def whole(one: Ward, scenarios: Sequence[Scenario], manner: Manner) -> Result:
    """Discover the points of ``scenarios``, and strike at each."""
    places = discover(one, scenarios=scenarios)
    if manner.at_effects:
        places = {name: near_effects(found) for name, found in places.items()}
    embedded = one.victim.store.startswith("sqlite")  # one process only: nobody takes over
    modes: tuple[Mode, ...] = ("kill", "lost") if embedded else ("kill", "lost", "freeze")
    cases = [*singles(places, *modes, embedded=embedded, among=scenarios), *pairs(places, among=scenarios)]
    cases, points = cases[:: manner.every], sum(map(len, places.values()))
    manner.say(f"{one.label}: {points} points in {len(places)} scenarios, {len(cases)} cases")
    return play(one, cases, manner.say)
