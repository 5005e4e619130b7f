"""Steps: the one action of each, its safety rules, and how they become values."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import cast

from pydantic import JsonValue

from responder.domain.kubernetes import AUTOSCALER, SCALED
from responder.domain.targets import SEPARATOR
from responder.language.durations import format_duration, parse_duration
from responder.language.strict_yaml import Path
from responder.language.templates import Template
from responder.playbook.arguments import check_arguments
from responder.playbook.calls import check_calls
from responder.playbook.complaints import Findings
from responder.playbook.conditions import build_condition
from responder.playbook.lists import check_items
from responder.playbook.model import Gradual, ItemList, Step
from responder.playbook.portions import check_gradual
from responder.playbook.rules import Keys, items, mapping
from responder.playbook.shape import GradualShape, ItemsShape, StepShape, key_names
from responder.ports.action import Action
from responder.ports.catalogue import Catalogue

WAIT = "wait"
STEP_KEYS = key_names(StepShape)
LONGEST_ANSWER = timedelta(seconds=9)
"""How long one send is waited for, whatever a step's ``timeout`` says: decisions 19 and 25."""


def check_steps(findings: Findings, data: Keys, catalogue: Catalogue) -> Iterator[tuple[Path, Template]]:
    """Complain about the steps, and go through the templates in their actions' inputs."""
    seen: dict[str, int] = {}
    irreversible: str = ""
    _check_changes(findings, items(data.get("steps")), catalogue)
    for index, written in enumerate(items(data.get("steps"))):
        if not isinstance(written, Mapping):
            continue
        path: Path = ("steps", index)
        name = _check_action_key(findings, path, written, catalogue)
        _check_id(findings, path, written.get("id"), seen, index)
        if name is None:
            continue
        action = catalogue.actions[name]
        _check_undo(findings, path, written, action)
        _check_timeout(findings, path, written, action)
        _check_reach(findings, (*path, name), mapping(written[name]), action, data.get("target"))
        check_calls(findings, (*path, name), mapping(written[name]))
        _check_kind(findings, (*path, name), action, data.get("target"))
        if data.get("mode") == "auto":
            _check_fence(findings, path, written, action)
        _check_ended(findings, (*path, name), index, action, data)
        if action.between:
            _check_between(findings, path, written, name)
        if irreversible and action.undoes != "impossible" and not action.between:
            message = (
                f"{name} can be undone, but {irreversible} before it cannot: a failure here would leave half of it"
            )
            hint = "put what cannot be undone last, or into a playbook of its own"
            findings.add((*path, name), message, "irreversible-first", hint, at_key=True, severity="warning")
        if action.undoes == "impossible":
            irreversible = name
        if "items" in written:
            yield from check_items(findings, path, written, data, catalogue)
        if "gradual" in written:
            check_gradual(findings, path, name, data, catalogue)
        yield from check_arguments(findings, (*path, name), action, written[name])


_NOT_BETWEEN = ("items", "gradual", "verify", "retries", "undo", "accept")


def _check_between(findings: Findings, path: Path, written: Keys, name: str) -> None:
    """What changes nothing is not repeated, judged or undone."""
    for key in _NOT_BETWEEN:
        if key in written:
            message = f"{key}: {name} changes nothing"
            hint = f"leave {key} out, or move it to the step before"
            findings.add((*path, key), message, "between", hint, at_key=True)


def _check_changes(findings: Findings, steps: tuple[object, ...], catalogue: Catalogue) -> None:
    """A playbook whose steps only wait, ask and tell has nothing to verify or to undo; none waits for nothing."""
    known = [catalogue.actions[key] for step in steps for key in mapping(step) if key in catalogue.actions]
    if known and all(action.between for action in known):
        message = "steps: none of them changes anything"
        hint = "leave steps and target out: a playbook without steps tells"
        findings.add(("steps",), message, "between", hint, at_key=True)
    elif steps and WAIT in mapping(steps[-1]):
        message = "nothing follows this wait: what was changed is judged by verify, which waits by itself"
        hint = "leave it out, and say with within: and for: how long the check may take and must hold"
        findings.add(("steps", len(steps) - 1, WAIT), message, "between", hint, at_key=True, severity="warning")


def _check_action_key(findings: Findings, path: Path, written: Keys, catalogue: Catalogue) -> str | None:
    """Return the step's action when it has exactly one that is known."""
    others = [key for key in written if key not in STEP_KEYS]
    known = [key for key in others if key in catalogue.actions]
    for key in others:
        if key not in known:
            # Among the keys of a step, an unknown one may be a mistyped action as well.
            choices = (*STEP_KEYS, *catalogue.actions) if known else (*catalogue.actions, *STEP_KEYS)
            findings.add_unknown_key((*path, key), key, choices, StepShape.reserved)
    if len(known) > 1:
        message = f"a step has one action, and {known[0]} is already here"
        findings.add((*path, known[1]), message, "step-action", "make it a step of its own", at_key=True)
        return None
    if not others:
        message = "a step has exactly one action, and this has none"
        hint = f"actions: {', '.join(sorted(catalogue.actions)) or 'none'}"
        findings.add(path, message, "step-action", hint)
    return known[0] if known else None


def _check_id(findings: Findings, path: Path, written: object, seen: dict[str, int], index: int) -> None:
    if not isinstance(written, str):
        return
    if written in seen:
        message = f'the step id "{written}" is already that of step {seen[written] + 1}'
        findings.add((*path, "id"), message, "duplicate-id")
    seen.setdefault(written, index)


def _check_undo(findings: Findings, path: Path, written: Keys, action: type[Action]) -> None:
    if action.undoes == "impossible" and written.get("undo") != "none":
        message = f"{action.name} cannot be undone, and the step must say so"
        findings.add(
            (*path, "undo" if "undo" in written else action.name), message, "undo-none", "add undo: none", at_key=True
        )


def _check_timeout(findings: Findings, path: Path, written: Keys, action: type[Action]) -> None:
    """Warn where a step's time is longer than one answer is waited for, and nothing goes on behind it."""
    given = written.get("timeout")
    if action.between or action.goes_on or action.ended is not Action.ended or not isinstance(given, str):
        return
    with contextlib.suppress(ValueError):
        if parse_duration(given) > LONGEST_ANSWER:
            most = format_duration(LONGEST_ANSWER)
            message = f"timeout: {action.name} is over with its answer, which is waited for at most {most}"
            hint = f"write {most} or less, or leave it out"
            findings.add((*path, "timeout"), message, "no-effect", hint, severity="warning")


def _check_ended(findings: Findings, path: Path, index: int, action: type[Action], data: Keys) -> None:
    """What lasts until it is ended is so by a later step, or given back; and undone where that is not reached."""
    if not action.ended_by:
        return
    steps = [mapping(one) for one in items(data.get("steps"))]
    own = steps[index]
    ends = [mapping(one[action.ended_by]) for one in steps[index + 1 :] if action.ended_by in one]
    later = mapping(own[action.name]) in ends
    given_back = "revert_after" in data and data.get("on_failure", "undo") == "undo"
    if own.get("undo", "automatic") == "automatic" and (later or given_back):
        return
    message = f"{action.name} lasts until it is ended, and nothing here is sure to end it"
    hint = f"add a later step {action.ended_by} with the same arguments, or revert_after:; and let it be undone"
    findings.add(path, message, "never-ended", hint, at_key=True)


def _check_reach(findings: Findings, path: Path, arguments: Keys, action: type[Action], target: object) -> None:
    """The target must be what the step changes: locks, limits and protection go by it."""
    try:
        reached = action.reach.format_map(arguments)
    except KeyError:
        return  # an input is missing, which is complained about elsewhere
    if not isinstance(target, str) or not reached or "{{" in reached:
        return
    named = target.split(SEPARATOR)
    if any("{{" not in one and one != part for one, part in zip(named, reached.split(SEPARATOR), strict=False)):
        message = f"this changes {reached}, and the target is {target}"
        hint = f"locks, limits and `protect` go by the target: begin it with {reached}"
        findings.add(path, message, "target-elsewhere", hint, at_key=True)


def _check_kind(findings: Findings, path: Path, action: type[Action], target: object) -> None:
    """What works on some kinds of Kubernetes objects has a target of one of them."""
    kind = target.partition(SEPARATOR)[0] if isinstance(target, str) else "{{"
    scaled = kind == AUTOSCALER and not SCALED.isdisjoint(action.kinds)
    if action.kinds and "{{" not in kind and kind not in action.kinds and not scaled:
        message = f"{action.name} works on {', '.join(action.kinds)}, and the target is {target}"
        hint = f"write it like {action.kinds[0]}/…: the cluster goes into `cluster:` or comes from the alert"
        findings.add(path, message, "target-kind", hint, at_key=True)


def _check_fence(findings: Findings, path: Path, written: Keys, action: type[Action]) -> None:
    accepted = written.get("accept")
    if unfenced(action) and accepted != "unfenced" and "unfenced" not in items(accepted):
        message = f"{action.name} in mode auto: in doubt, nobody can tell whether it landed, and a run would be parked"
        findings.add(
            (*path, action.name), message, "unfenced", "add accept: unfenced, or use mode: approve", at_key=True
        )


def unfenced(action: type[Action]) -> bool:
    """Say whether a repeated send could not be refused, or an event's landing could not be proven."""
    return action.fence == "none" or (action.effect == "event" and action.evidence == "value")


def step_ids(steps: tuple[object, ...], catalogue: Catalogue) -> tuple[str, ...]:
    """Return the id of each step: as written, else the action's last name, numbered when it is taken."""
    taken = {written for step in steps if isinstance(written := mapping(step).get("id"), str)}
    ids: list[str] = []
    for step in steps:
        keys = mapping(step)
        written = keys.get("id")
        if isinstance(written, str):
            ids.append(written)
            continue
        action = next((key for key in keys if key in catalogue.actions), "step")
        base = action.rpartition(".")[2].replace("_", "-")
        number, candidate = 1, base
        while candidate in taken:
            number += 1
            candidate = f"{base}-{number}"
        taken.add(candidate)
        ids.append(candidate)
    return tuple(ids)


def build_steps(shapes: list[StepShape], ids: tuple[str, ...], catalogue: Catalogue) -> tuple[Step, ...]:
    """Turn checked steps into values."""
    return tuple(_build_step(shape, step_id, catalogue) for shape, step_id in zip(shapes, ids, strict=True))


def _build_items(shape: ItemsShape | None, catalogue: Catalogue) -> ItemList | None:
    return None if shape is None else ItemList(catalogue.probes[shape.probe], shape.with_, shape.max)


def _build_gradual(shape: GradualShape | None) -> Gradual | None:
    return None if shape is None else Gradual(shape.by, shape.verify)


def _build_step(shape: StepShape, step_id: str, catalogue: Catalogue) -> Step:
    (name, arguments), *_ = (shape.model_extra or {}).items()
    action = catalogue.actions[name]
    return Step(
        id=step_id,
        action=action,
        arguments=cast("Mapping[str, JsonValue]", arguments or {}),
        timeout=shape.timeout,
        retries=shape.retries,
        undo=shape.undo or "automatic",
        accepts=frozenset(shape.accept),
        items=_build_items(shape.items, catalogue),
        gradual=_build_gradual(shape.gradual),
        when=tuple(build_condition(condition, catalogue) for condition in shape.when),
        verify=tuple(build_condition(condition, catalogue) for condition in shape.verify),
    )
