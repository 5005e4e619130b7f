"""Which owners of the alert's pod a playbook names: they are looked up when a run begins."""

from collections.abc import Iterator, Mapping

from responder.domain.owners import OWNERS
from responder.domain.targets import KUBERNETES_KINDS, SEPARATOR
from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.language.templates import Template, TemplateError
from responder.playbook.complaints import Findings

ROOT = "owner"


def owner_words(data: object) -> frozenset[str]:
    """Return what follows ``owner.`` anywhere in a playbook's plain data."""
    return frozenset(path[1] for _, template in _templates(data, ()) for path in template.paths if path[0] == ROOT)


def check_owners(findings: Findings, data: object) -> None:
    """Complain about owners that no pod has, and about targets outside a cluster that are named by one."""
    target = data.get("target") if isinstance(data, Mapping) else None
    if isinstance(target, str) and owner_words(target) and target.partition(SEPARATOR)[0] not in KUBERNETES_KINDS:
        message = "target: only objects of a cluster are named by the owner of a pod"
        findings.add(("target",), message, "owner-elsewhere", "such as deployment/NAMESPACE/{{ owner.deployment }}")
    for place, template in _templates(data, ()):
        for path in sorted(template.paths):
            if path[0] == ROOT and path[1] not in OWNERS:
                near = did_you_mean(path[1], OWNERS)
                hint = f'did you mean "owner.{near}"?' if near else f"one of {', '.join(OWNERS)}"
                findings.add(place, f"{'.'.join(path)}: a pod has no such owner", "unknown-owner", hint)


def _templates(data: object, path: Path) -> Iterator[tuple[Path, Template]]:
    if isinstance(data, Mapping):
        for key, inner in data.items():
            yield from _templates(inner, (*path, key))
    elif isinstance(data, (list, tuple)):
        for index, inner in enumerate(data):
            yield from _templates(inner, (*path, index))
    elif isinstance(data, str) and ROOT in data:
        try:
            yield path, Template.parse(data)
        except TemplateError:
            return  # complained about elsewhere
