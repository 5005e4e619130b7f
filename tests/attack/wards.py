"""``crash`` on targets beyond a service: what is the same whatever is changed. Each says itself what it has seen."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from tests.attack.crash import Manner, OutsideWard, Result, whole
from tests.attack.lives import launcher, victim
from tests.attack.scenarios import Person, Scenario
from tests.bed.target_process import target_process

UNDONE = "-undone"
"""How scenarios end whose change never helps."""
NO_UNDO = "undo: none\n    "
UNSURE = "accept: unfenced\n    "
"""Of a step that is not repeated when nobody can see whether it happened: its run may end unknown."""
_PLAYBOOK = """\
schema: 1
name: NAME
mode: auto
matchers:
  - alertname="NAME"
target: TARGET
limits:
  mass_failure: off
  per_target: 60 per 6h
steps:
STEPSverify:
  - name: as wanted
    probe: http.get
    with:
      service: checkout
      path: /admin/workers
      pointer: /workers
    equals: WANTED
    within: 250ms
"""


def step(deed: str, *, name: str = "change", retries: int = 3) -> str:
    """Return a step of a playbook: ``deed`` are its keys, all but the first indented."""
    return f"  - id: {name}\n    retries: {retries}\n    {deed}"


def playbook(name: str, target: str, steps: str) -> str:
    """Return the playbook of a scenario: what ends in ``undone`` never helps."""
    values = {
        "NAME": name, "TARGET": f"{target}/{{{{ labels.item }}}}", "STEPS": steps,
        "WANTED": "99" if name.endswith(UNDONE) else "2",
    }  # fmt: skip
    text = _PLAYBOOK
    for place, value in values.items():
        text = text.replace(place, value)
    return text


def scenario(name: str, *, unsure: bool = False, end: str = "") -> Scenario:
    """Return a scenario: an alert, and the end of its run; ``end`` is for one that ends otherwise than it is called."""

    def play_it(person: Person, item: str) -> None:
        person.fire(name, item)
        person.until(item)

    usual = end or ("rolled_back" if name.endswith(UNDONE) else "verified")
    return Scenario(name, frozenset(("forward", end) for end in (usual, *["unknown"] * unsure)), play_it)


Seen = tuple[int, str]
"""How many effects a target has seen, and how it stands."""


class Judge(Protocol):
    """A target as it is before a case, and what has become of it."""

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """How a responder reaches it: keys of its configuration, joined with those that are there."""
        ...

    @property
    def path(self) -> str:
        """Where a responder finds programs that it calls by their names."""
        ...

    def prepare(self, name: str, item: str) -> None:
        """Make it as it is before a case."""
        ...

    def landed(self, name: str, item: str) -> Seen:
        """Return what it has seen."""
        ...

    def wanted(self, name: str) -> Seen:
        """Return what that has to be."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """Targets of one kind: what is done by scenario, as keys of a step or as steps, and how a judge is made."""

    target: str
    steps: Mapping[str, str]
    opened: Callable[[], AbstractContextManager[Judge]]

    @property
    def scenarios(self) -> Sequence[Scenario]:
        """What is played on it."""
        return [scenario(name, unsure=UNSURE in step) for name, step in self.steps.items()]

    @property
    def playbooks(self) -> Mapping[str, str]:
        """The texts of the scenarios' playbooks by name."""
        return {
            name: playbook(name, self.target, text if text.startswith("  - ") else step(text))
            for name, text in self.steps.items()
        }


@dataclass(slots=True)
class KindWard(OutsideWard):
    """A victim whose target has a judge."""

    kind: Kind = field(kw_only=True)
    judge: Judge = field(kw_only=True)

    def _prepare(self, scenario: Scenario) -> str:
        item = f"item-{self.label}-{next(self._numbers)}"
        self.judge.prepare(scenario.name, item)
        self.victim.prefix = self.kind.target
        return item

    def _landed(self, scenario: Scenario, name: str, item: str) -> None:
        found = self.result.findings
        wanted, seen = self.judge.wanted(scenario.name), self.judge.landed(scenario.name, item)
        if any(run["state"] == "unknown" for run in self.victim.runs(item)) and seen[0] <= wanted[0]:
            return  # it stands as it was left, which is what a person was called for
        if seen != wanted:
            where = found.repeated if seen[0] > wanted[0] else found.lost if seen[0] < wanted[0] else found.violations
            where.append(f"{name}: it has seen {seen} instead of {wanted}")


def campaign(
    kinds: Mapping[str, Kind], urls: Sequence[tuple[str, str]], manner: Manner, only: Sequence[str] = ()
) -> Result:
    """Play the scenarios of each kind on each (label, store), one store after the other: they share the target."""
    total = Result()
    for name, kind in kinds.items():
        chosen = [one for one in kind.scenarios if not only or one.name in only]
        if chosen:
            with kind.opened() as judge:
                for label, url in urls:
                    total.add(_whole((f"{name}-{label}", url), (kind, judge), chosen, manner))
    return total


def _whole(
    place: tuple[str, str], attacked: tuple[Kind, Judge], scenarios: Sequence[Scenario], manner: Manner
) -> Result:
    (label, store), (kind, judge) = place, attacked
    playbooks = {f"{one.name}.yaml": kind.playbooks[one.name] for one in scenarios}
    with (
        launcher(judge.path) as forks,
        target_process() as target,
        victim(store, target.url, forks, playbooks=playbooks, settings=judge.settings) as hurt,
    ):
        return whole(KindWard(label, hurt, target, kind=kind, judge=judge), scenarios, manner)
