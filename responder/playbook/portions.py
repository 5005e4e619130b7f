"""Steps that are carried out in portions: what must hold between their keys."""

from collections.abc import Iterator

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
    between = mapping(written.get("gradual")).get("verify", "between") == "between"
    if between and not items(written.get("verify")):
        message = "gradual: without a verify of the step, the playbook's must hold after the first portion already"
        hint = "add verify: to the step, such as not_worse_by; or verify: end under gradual:, to judge all at once"
        findings.add(where, message, "gradual-unchecked", hint, at_key=True, severity="warning")


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
