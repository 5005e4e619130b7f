"""Playbooks that change one thing under targets that do not lock each other out: two runs may be at it at once."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from responder.domain.errors import Complaint
from responder.domain.targets import SEPARATOR
from responder.playbook.model import Playbook, Step
from responder.playbook.schema import name_place


def apart(playbooks: Mapping[str, Playbook]) -> Iterator[tuple[str, Complaint]]:
    """Warn, by file, of playbooks whose steps change the same as another's and whose target does not overlap its.

    Both are compared as they are written: what only the alert's labels would show is not seen.
    """
    by_change: defaultdict[str, list[str]] = defaultdict(list)
    for file, playbook in sorted(playbooks.items()):
        for change in sorted({changed for step in playbook.steps if (changed := _changed(step))}):
            by_change[change].append(file)
    for change, files in by_change.items():
        first = {_target(playbooks[file]): playbooks[file] for file in reversed(files)}
        for file in files:
            own = _target(playbooks[file])
            other = next((one for target, one in first.items() if not _overlap(own, target)), None)
            if other is not None:
                yield file, _warning(playbooks[file], other, change)


def _changed(step: Step) -> str:
    given = {name: value for name, value in step.arguments.items() if isinstance(value, str)}
    try:
        return " ".join(step.action.changes.format_map(given).split())
    except KeyError:
        return ""


def _target(playbook: Playbook) -> str:
    return "" if playbook.target is None else "".join(playbook.target.text.split())


def _overlap(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return (longer + SEPARATOR).startswith(shorter + SEPARATOR)


def _warning(playbook: Playbook, other: Playbook, change: str) -> Complaint:
    message = f"{other.name} does {change} as well, for another target: both may be at it at the same time"
    hint = f"give both one target, such as {_target(other)}"
    return replace(name_place(playbook), message=message, rule="targets-apart", hint=hint, severity="warning")
