"""A loaded playbook, as the verbs see it: checked, typed, its templates parsed.

The YAML's own shape is in ``schema``; nothing here has been rendered for an alert yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from pydantic import JsonValue

from responder.domain.kubernetes import AUTOSCALER
from responder.domain.limits import Cap, Limits
from responder.domain.modes import Mode
from responder.domain.portions import Portion
from responder.domain.targets import KUBERNETES_KINDS, SEPARATOR
from responder.language.intervals import TimeInterval
from responder.language.matchers import Matcher
from responder.language.promql import longest_range
from responder.language.templates import Template
from responder.ports.action import Action
from responder.ports.probe import Probe

Threshold = Literal["equals", "above", "below", "at_least", "at_most", "absent"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A look at the world with a threshold. Exactly one of ``query``, ``probe`` and ``matchers`` is set.

    ``limits`` maps a threshold word to its value (ratios for percentages, seconds for durations; ``absent`` to True).
    ``percent`` says that a threshold was written with ``%``, so that a sample above 1.5 is unknown.
    ``within`` and ``hold`` (the key ``for``) bound the judgement in ``verify``. ``improves_by`` and ``worse_by`` are
    ratios against the sample before the first step.
    """

    name: str
    query: Template | None = None
    probe: type[Probe] | None = None
    arguments: Mapping[str, JsonValue] = field(default_factory=dict)
    matchers: tuple[Matcher, ...] = ()
    limits: Mapping[Threshold, float | str | bool] = field(default_factory=dict)
    percent: bool = False
    improves_by: float | None = None
    worse_by: float | None = None
    within: timedelta = timedelta(minutes=5)
    hold: timedelta = timedelta()
    no_data: Literal["unknown", "pass", "fail"] = "unknown"
    requires: tuple[Template, ...] = ()

    @property
    def window(self) -> timedelta:
        """How long the longest range of its query looks back: judgement after a change waits that long."""
        return longest_range(self.query.text) if self.query is not None else timedelta()


OWN_RULE = Condition(name="the alert's own rule")
"""Stands for the alert's expression where a playbook has no ``verify``."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A look whose result is shown to people and decides nothing: a probe's, with the words that people read."""

    name: str
    probe: type[Probe]
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class ItemList:
    """Where the items of a step are found, and how many there may be."""

    probe: type[Probe]
    arguments: Mapping[str, JsonValue]
    max: int


@dataclass(frozen=True, slots=True)
class Gradual:
    """How much of a step's change is made at once, and whether it is judged ``between`` the portions or at the end."""

    by: Portion
    verify: Literal["between", "end"] = "between"


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a playbook; ``arguments`` are its YAML with templates still in the strings.

    ``accepts`` holds ``unfenced`` when the author takes the risk of an action that nobody can confirm in doubt.
    ``items`` is the list that it is done to, one by one; once that is known, there is a step for each ``item``. With
    ``gradual`` there is, once that is worked out, a step for each ``portion``, counted from 1: its ``arguments`` are
    values, without templates.
    """

    id: str
    action: type[Action]
    arguments: Mapping[str, JsonValue]
    timeout: timedelta = timedelta(minutes=1)
    retries: int = 0
    undo: Literal["automatic", "manual", "none"] = "automatic"
    accepts: frozenset[str] = frozenset()
    items: ItemList | None = None
    item: JsonValue = None
    gradual: Gradual | None = None
    portion: int = 0
    when: tuple[Condition, ...] = ()
    verify: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """When ``auto`` asks in addition, whom, and for how long. ``from_`` is the key ``from``.

    With ``four_eyes`` two different people must say yes.
    """

    matchers: tuple[Matcher, ...] = ()
    from_: tuple[str, ...] = ("role:operator",)
    timeout: timedelta = timedelta(minutes=30)
    on_timeout: Literal["page", "skip"] = "page"
    four_eyes: bool = False


@dataclass(frozen=True, slots=True)
class NotifyRule:
    """Where a playbook's incidents are told, in addition to the routes or instead of them.

    ``destinations`` are ``slack:#x``, ``pagerduty:service``; ``states`` limits a destination to runs in these states
    (a destination without an entry hears of all).
    """

    destinations: tuple[str, ...] = ()
    replace: bool = False
    states: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Docs:
    """What a person reads, templates still in it."""

    runbook_url: Template | None = None
    meaning: Template | None = None
    impact: Template | None = None
    by_hand: Template | None = None


@dataclass(frozen=True, slots=True)
class Playbook:
    """Which alerts, what to do, within which limits, how to check, how to undo, whom to tell.

    ``alternatives`` is an OR of ANDs of matchers. ``revision`` is the SHA-256 (hex) of ``text``. A playbook without
    steps only tells. Candidates are tried in order of ``priority`` (smaller first), then name.
    """

    name: str
    summary: str
    file: str
    text: str
    revision: str
    alternatives: tuple[tuple[Matcher, ...], ...]
    owner: str = ""
    priority: int = 100
    mode: Mode = Mode.OBSERVE
    cluster: Template | None = None
    target: Template | None = None
    when: tuple[Condition, ...] = ()
    active: tuple[TimeInterval, ...] = ()
    mute: tuple[TimeInterval, ...] = ()
    limits: Limits = field(default_factory=Limits)
    approval: ApprovalRule = field(default_factory=ApprovalRule)
    diagnose: tuple[Diagnosis, ...] = ()
    steps: tuple[Step, ...] = ()
    steps_until: Literal["verified"] | None = None
    verify: tuple[Condition, ...] = ()
    on_failure: Literal["undo", "keep", "page"] = "undo"
    revert_after: timedelta | None = None
    notify: NotifyRule = field(default_factory=NotifyRule)
    docs: Docs = field(default_factory=Docs)
    owner_words: frozenset[str] = frozenset()
    """Which owners of the alert's pod it names (``owner.deployment``): looked up when a run begins."""

    @property
    def late_bound(self) -> bool:
        """Whether only a look at the cluster tells the target: the owner of a pod, or what an autoscaler scales."""
        if self.target is None or self.target.text.partition(SEPARATOR)[0] not in KUBERNETES_KINDS:
            return False
        return self.by_owner or self.by_autoscaler

    @property
    def by_owner(self) -> bool:
        """Whether the target is named by the owner of the alert's pod."""
        return self.target is not None and any(path[0] == "owner" for path in self.target.paths)

    @property
    def by_autoscaler(self) -> bool:
        """Whether the target names an autoscaler for what it scales: no step changes the autoscaler itself."""
        named = self.target is not None and self.target.text.startswith(f"{AUTOSCALER}{SEPARATOR}")
        return named and not any(AUTOSCALER in step.action.kinds for step in self.steps)

    @property
    def actions(self) -> tuple[str, ...]:
        """The kinds of action that its steps take, in their order."""
        return tuple(step.action.name for step in self.steps)

    @property
    def effects(self) -> int:
        """How many changes it makes at the most; a list counts as one until it is found."""
        return sum(not step.action.between for step in self.steps)

    def for_items(self, found: Mapping[str, Mapping[str, JsonValue]]) -> "Playbook":
        """Return the playbook with a step for each item that was found, by the ids of the steps and the items' names.

        After each of them its checks are judged before the next, or the playbook's where it has none.
        """
        if not found:
            return self
        steps: list[Step] = []
        for step in self.steps:
            between = step.verify or self.verify or (OWN_RULE,)
            each = [
                replace(step, id=f"{step.id}[{name}]", items=None, item=item, verify=between)
                for name, item in found.get(step.id, {}).items()
            ]
            steps += each or [step]
            if each and step is self.steps[-1]:
                # What is judged after the last step of all is judged by the playbook anyway.
                steps[-1] = replace(each[-1], verify=step.verify)
        return replace(self, steps=tuple(steps))

    def in_portions(self, found: Mapping[str, Sequence[Mapping[str, JsonValue]]]) -> "Playbook":
        """Return the playbook with a step for each portion that was worked out, by the ids of the steps.

        Between them the step's checks are judged, or the playbook's where it has none, unless it says ``end``.
        """
        if not found:
            return self
        steps = [part for step in self.steps for part in self._portions(step, found.get(step.id, ()))]
        return replace(self, steps=tuple(steps))

    def _portions(self, step: Step, arguments: Sequence[Mapping[str, JsonValue]]) -> list[Step]:
        if step.gradual is None or not arguments:
            return [step]
        between = step.gradual.verify == "between"
        judged = (step.verify or self.verify or (OWN_RULE,)) if between else ()
        each = [
            replace(
                step, id=f"{step.id}[{number}/{len(arguments)}]", gradual=None, arguments=given, portion=number,
                verify=judged,
            )
            for number, given in enumerate(arguments, 1)
        ]  # fmt: skip
        if not between or step is self.steps[-1]:
            # What is judged after the last step of all is judged by the playbook anyway.
            each[-1] = replace(each[-1], verify=step.verify)
        return each

    def capped(self, caps: tuple[Cap, ...]) -> "Playbook":
        """Return the playbook under ``caps`` besides its own limits."""
        return replace(self, limits=replace(self.limits, caps=caps)) if caps else self

    @property
    def escalates(self) -> bool:
        """Whether it tries one step after another, until one helps."""
        return self.steps_until == "verified"

    @property
    def tells_only(self) -> bool:
        """Whether it changes nothing by design."""
        return not self.steps

    @property
    def order(self) -> tuple[int, str]:
        """The key by which candidates are sorted."""
        return self.priority, self.name
