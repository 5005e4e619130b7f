"""What playbooks need to be allowed in a cluster: the least that their steps and probes get by with."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from responder.domain.kubernetes import AUTOSCALER, KINDS
from responder.domain.owners import BETWEEN
from responder.domain.targets import SEPARATOR
from responder.playbook.model import Condition, Playbook
from responder.ports.action import Action, Permission
from responder.ports.probe import Probe

PLURALS = {kind.plural: word for word, kind in KINDS.items()}
CLUSTER_WIDE = frozenset(kind.plural for kind in KINDS.values() if not kind.namespaced)
_EVERYWHERE = frozenset({"applications"})
"""Resources that are listed across namespaces."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on a resource, and the playbooks that need them."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    playbooks: tuple[str, ...]

    @property
    def cluster_wide(self) -> bool:
        """Whether a Role of a namespace cannot give it."""
        return self.resource.partition(SEPARATOR)[0] in CLUSTER_WIDE | _EVERYWHERE

    @property
    def elsewhere(self) -> bool:
        """Whether it is about objects that live in another namespace than the targets."""
        return self.group.endswith((".fluxcd.io", "argoproj.io"))


def rules_for(playbooks: Iterable[Playbook]) -> tuple[Rule, ...]:
    """Return what all of them together need, in the order of groups and resources."""
    verbs: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    users: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for playbook in playbooks:
        for permission in _needed(playbook):
            key = (permission.group, permission.resource)
            verbs[key].update(permission.verbs)
            users[key].add(playbook.name)
    return tuple(Rule(*key, tuple(sorted(verbs[key])), tuple(sorted(users[key]))) for key in sorted(verbs))


def _needed(playbook: Playbook) -> Iterator[Permission]:
    kind = "" if playbook.by_autoscaler else _kind(None if playbook.target is None else playbook.target.text)
    yield from _of_owners(playbook)
    for step in playbook.steps:
        if step.action.kinds:
            needed = _of_kind(step.action, kind)
            yield from (one for one in needed if not one.given or step.arguments.get(one.given))
        if step.items is not None:
            yield from _of_kind(step.items.probe, _kind(step.items.arguments.get("of")))
        for condition in (*step.when, *step.verify):
            yield from _of_condition(condition)
    for condition in (*playbook.when, *playbook.verify):
        yield from _of_condition(condition)
    for one in playbook.diagnose:
        yield from _of_kind(one.probe, _kind(one.arguments.get("of")))


def _of_owners(playbook: Playbook) -> Iterator[Permission]:
    """Return what it takes to look up the owners that are named, or what an autoscaler scales."""
    if playbook.owner_words:
        yield Permission("", "pods", ("get",))
    for between, above in BETWEEN.items():
        if above in playbook.owner_words:
            yield Permission(KINDS[between].group, KINDS[between].plural, ("get",))
    if playbook.by_autoscaler:
        yield Permission(KINDS[AUTOSCALER].group, KINDS[AUTOSCALER].plural, ("get",))


def _of_condition(condition: Condition) -> Iterable[Permission]:
    if condition.probe is None:
        return ()
    return _of_kind(condition.probe, _kind(condition.arguments.get("of")))


def _kind(of: JsonValue) -> str:
    """Return the kind that a target begins with, empty when only the alert will tell."""
    kind = of.partition(SEPARATOR)[0] if isinstance(of, str) else ""
    return kind if kind in KINDS else ""


def _of_kind(of: type[Action] | type[Probe], kind: str) -> Iterator[Permission]:
    """Leave out the rights to kinds that are not meant; if nobody can tell which is, all stay."""
    for permission in of.permissions:
        word = PLURALS.get(permission.resource)
        others = word in of.kinds and _alternative(of, permission)
        meant = not permission.of or kind in permission.of
        if not kind or (meant and (not others or word == kind)):
            yield permission


def _alternative(of: type[Action] | type[Probe], one: Permission) -> bool:
    """Whether a right is one of several of the same sort, by kind: the target is one of them."""
    by_kind = [other for other in of.permissions if PLURALS.get(other.resource) in of.kinds]
    same = [other for other in by_kind if other.verbs == one.verbs]
    return len(same) > 1
