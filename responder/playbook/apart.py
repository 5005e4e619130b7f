"""Playbooks that change one thing under targets that do not lock each other out: two runs may be at it at once."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from responder.domain.errors import Complaint
from responder.domain.targets import SEPARATOR
from responder.playbook.model import Playbook, Step
from responder.playbook.schema import name_place

_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")
_WRITTEN = re.compile(r"^(PUT|PATCH) ")
"""Two ways to write one resource."""


def apart(playbooks: Mapping[str, Playbook]) -> Iterator[tuple[str, Complaint]]:
    """Warn, by file, of playbooks whose steps change the same as another's and whose target does not overlap its.

    Both are compared as they are written, but for a placeholder in one where the other has a text, which may be its
    value: what only the alert's labels would show is not seen.
    """
    by_change: defaultdict[str, list[str]] = defaultdict(list)
    for file, playbook in sorted(playbooks.items()):
        for change in sorted({changed for step in playbook.steps if (changed := _changed(step))}):
            by_change[change].append(file)
    warned: set[tuple[str, str]] = set()
    for change, other, values in _alike(sorted(by_change)):
        first = {_target(playbooks[file]): playbooks[file] for file in reversed(by_change[other])}
        for file in by_change[change]:
            own = _filled(_target(playbooks[file]), values)
            apart_from = next((one for to, one in first.items() if not _overlap(own, _filled(to, values))), None)
            if apart_from is not None and (file, apart_from.name) not in warned:
                warned.add((file, apart_from.name))
                yield file, _warning(playbooks[file], apart_from, change)


def _alike(changes: Sequence[str]) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Go through the pairs that change the same, with the values by which they do: each with itself, too."""
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for change in changes:
        by_kind[_WRITTEN.sub("", _PLACEHOLDER.sub(_unspaced, change))].append(change)
    for same in by_kind.values():
        yield from ((one, other, {}) for one in same for other in same)
    written = {kind for kind in by_kind if "{{" not in kind}
    for kind in by_kind.keys() - written:
        names, shape = _PLACEHOLDER.findall(kind), _shape(kind)
        for text in sorted(written):
            found = shape.fullmatch(text)
            values = dict(zip(names, found.groups(), strict=True)) if found else {}
            if found and all(values[name] == value for name, value in zip(names, found.groups(), strict=True)):
                for one, other in product(by_kind[kind], by_kind[text]):
                    yield one, other, values
                    yield other, one, values


def _unspaced(placeholder: re.Match[str]) -> str:
    return "".join(placeholder[0].split())


def _shape(kind: str) -> re.Pattern[str]:
    """Return what fits the texts that a change with placeholders may become: each stands for a part of a path."""
    return re.compile("([^/ ]+)".join(map(re.escape, _PLACEHOLDER.split(kind))))


def _filled(target: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        target = target.replace(name, value)
    return target


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
