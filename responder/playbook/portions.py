"""Steps that are carried out in portions: what must hold between their keys."""

from collections.abc import Iterator

from responder.domain.portions import MOST, Portion, TooManyPortions
from responder.language.ratios import parse_rate
from responder.language.strict_yaml import Path
from responder.playbook.complaints import Findings
from responder.playbook.rules import Keys, items, mapping
from responder.ports.catalogue import Catalogue


def check_gradual(findings: Findings, path: Path, name: str, data: Keys, catalogue: Catalogue) -> None:
    """Complain about one step with ``gradual``, whose action is ``name``."""
    index = path[-1]
    written = mapping(items(data.get("steps"))[index]) if isinstance(index, int) else {}
    where = (*path, "gradual")
    able = sorted(kind for kind, action in catalogue.actions.items() if action.gradual)
    why = catalogue.actions[name].not_gradual(mapping(written.get(name)))
    if why:
        hint = "" if catalogue.actions[name].gradual else f"actions that change a number: {', '.join(able) or 'none'}"
        findings.add(where, f"gradual: {why}", "not-gradual", hint, at_key=True)
    if "items" in written:
        message = "gradual: with items each item is a portion already"
        findings.add(where, message, "gradual-items", "leave one of them out", at_key=True)
    if "steps_until" in data:
        message = (
            "gradual: with steps_until a step that does not help is undone before the next, and so is each portion"
        )
        hint = "leave steps_until out: it ends at the first portion that does not hold anyway"
        findings.add(where, message, "gradual-until", hint, at_key=True)
    for other in _same_change(path, name, data, catalogue):
        message = f"gradual: step {other + 1} changes the same, and the portions are worked out before the first step"
        findings.add(where, message, "gradual-twice", "make it one step", at_key=True)
    _check_number(findings, where, written, name, mapping(data.get("limits")))
    between = mapping(written.get("gradual")).get("verify", "between") == "between"
    if between and not items(written.get("verify")):
        message = "gradual: without a verify of the step, the playbook's must hold after the first portion already"
        hint = "add verify: to the step, such as not_worse_by; or verify: end under gradual:, to judge all at once"
        findings.add(where, message, "gradual-unchecked", hint, at_key=True, severity="warning")


def _check_number(findings: Findings, where: Path, written: Keys, name: str, limits: Keys) -> None:
    """Warn where there are too many portions, as far as that is written out; bounds may leave fewer of them."""
    size, change = mapping(written.get("gradual")).get("by"), _added(mapping(written.get(name)))
    if change is None or not isinstance(size, int | float) or size <= 0:
        return
    try:
        count = len(Portion(size).stops(0, change))
    except TooManyPortions:
        message = (
            f"gradual: a change by {change:g} in portions of {size:g} is more than {MOST} of them: nothing is done"
        )
        hint = "make the portions larger, or the change smaller"
        findings.add((*where, "by"), message, "gradual-many", hint, severity="warning")
        return
    except ValueError:
        return
    for key in ("per_target", "per_playbook"):
        rate = _rate(limits.get(key))
        if rate is not None and rate < count:
            message = f"gradual: the {count} portions are more than {key} allows: nothing is done where all are needed"
            findings.add(("limits", key), message, "limit-too-low", f"allow at least {count}", severity="warning")


def _added(arguments: Keys) -> float | None:
    """Return by how much the one number is changed, None when that is not written out."""
    changes = [mapping(one).get("by") for one in mapping(arguments.get("set")).values()]
    only = changes[0] if len(changes) == 1 else None
    return only if isinstance(only, int | float) and not isinstance(only, bool) else None


def _rate(written: object) -> int | None:
    try:
        return parse_rate(str(written)).count
    except ValueError:
        return None


def _same_change(path: Path, name: str, data: Keys, catalogue: Catalogue) -> Iterator[int]:
    """Go through the other steps that change what this one changes, as far as it is written out."""
    steps = [mapping(one) for one in items(data.get("steps"))]
    own = _changed(steps, path[-1], name, catalogue)
    for index, step in enumerate(steps):
        if own and index != path[-1] and name in step and _changed(steps, index, name, catalogue) == own:
            yield index


def _changed(steps: list[Keys], index: object, name: str, catalogue: Catalogue) -> str:
    if not isinstance(index, int):
        return ""
    try:
        return " ".join(catalogue.actions[name].changes.format_map(mapping(steps[index].get(name))).split())
    except (KeyError, AttributeError, ValueError):
        return ""


def gradual_ids(data: Keys, ids: tuple[str, ...]) -> frozenset[str]:
    """Return the ids of the steps that are carried out in portions."""
    return frozenset(
        step_id for step_id, step in zip(ids, items(data.get("steps")), strict=False) if "gradual" in mapping(step)
    )
