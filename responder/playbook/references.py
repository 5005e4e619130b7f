"""What the placeholders of a playbook refer to: a step's images exist only behind that step."""

from collections.abc import Iterable, Iterator

from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.language.templates import Template, TemplateError
from responder.playbook.complaints import Findings
from responder.playbook.rules import Keys, condition_lists, items, mapping

IMAGES = ("before", "after")
"""What a finished step leaves to later placeholders."""


def top_templates(data: Keys) -> Iterator[tuple[Path, Template]]:
    """Go through the templates outside of actions and probes; what cannot be read is complained about by the shape."""
    places: list[tuple[Path, object]] = [(("cluster",), data.get("cluster")), (("target",), data.get("target"))]
    places.extend((("docs", key), value) for key, value in mapping(data.get("docs")).items())
    for path, condition in condition_lists(data):
        places.append(((*path, "query"), condition.get("query")))
        places.extend(((*path, "requires", index), text) for index, text in enumerate(items(condition.get("requires"))))
    for path, text in places:
        if isinstance(text, str):
            try:
                yield path, Template.parse(text)
            except TemplateError:
                continue


def check_references(
    findings: Findings,
    templates: Iterable[tuple[Path, Template]],
    ids: tuple[str, ...],
    listed: frozenset[str],
    gradual: frozenset[str],
) -> None:
    """Complain about placeholders for a step that does not exist, or that has not run by then.

    ``listed`` are the ids of steps that are done to a list, ``gradual`` of those in portions: each item and each
    portion leaves images of its own.
    """
    for path, template in templates:
        for reference in sorted(template.paths):
            if reference[0] == "steps" and reference[1] in listed:
                message = f"{'.'.join(reference)}: the step is done to a list, and each item leaves images of its own"
                findings.add(path, message, "unknown-step")
            elif reference[0] == "steps" and reference[1] in gradual:
                message = f"{'.'.join(reference)}: the step is gradual, and each portion leaves images of its own"
                findings.add(path, message, "unknown-step")
            elif reference[0] == "steps" and _is_input_of(path, ids, gradual):
                message = f"{'.'.join(reference)}: the portions of a gradual step are worked out before the first step"
                findings.add(path, message, "unknown-step", "take it from labels")
            elif reference[0] == "steps":
                _check_step(findings, path, reference, ids)
            elif reference[0] == "item" and not _is_input_of(path, ids, listed):
                message = f"{'.'.join(reference)}: there is an item only in the action of a step with items"
                findings.add(path, message, "no-item", "give the step items:, or take it from labels")


def _is_input_of(path: Path, ids: tuple[str, ...], steps: frozenset[str]) -> bool:
    """Say whether the place is in the action of one of ``steps``."""
    if path[0] != "steps" or not isinstance(path[1], int) or path[1] >= len(ids):
        return False
    return ids[path[1]] in steps and path[2:3] not in (("when",), ("verify",), ("items",))


def _check_step(findings: Findings, path: Path, reference: tuple[str, ...], ids: tuple[str, ...]) -> None:
    written = ".".join(reference)
    _, name, image, *_ = reference
    if name not in ids:
        near = did_you_mean(name, ids)
        hint = f'did you mean "{near}"?' if near else f"steps: {', '.join(ids) or 'none'}"
        findings.add(path, f'{written}: there is no step "{name}"', "unknown-step", hint)
    elif image not in IMAGES:
        findings.add(
            path, f"{written}: a step leaves {' and '.join(IMAGES)}", "unknown-step", f"write steps.{name}.after.…"
        )
    elif ids.index(name) >= _steps_done(path, len(ids)):
        findings.add(path, f'{written}: the step "{name}" has not run by then', "unknown-step")


def _steps_done(path: Path, steps: int) -> int:
    """Count the steps that have run when the text at ``path`` is rendered."""
    if path[0] == "steps" and isinstance(path[1], int):
        # A step's own checks see what it did.
        return path[1] + 1 if path[2:3] == ("verify",) else path[1]
    return steps if path[0] in ("verify", "docs") else 0
