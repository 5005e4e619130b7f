"""The arguments of actions and probes: checked by their own classes, with templates still in the strings."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ValidationError

from responder.language.allow import filled_in
from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.language.templates import Template
from responder.playbook.complaints import Findings, at, describe, existing
from responder.playbook.fields import Wrong, kind_of, promql, template
from responder.playbook.lookups import CALL_INPUTS
from responder.ports.action import Action
from responder.ports.probe import Probe

Arguments = Mapping[str, object]
_QUERIES: frozenset[Path] = frozenset({("query",), ("expression",)})
"""Inputs that are PromQL, as rendering has them."""


def string_leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Walk through every text inside ``value``, with the way to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from string_leaves(inner, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from string_leaves(inner, (*path, index))


def check_arguments(
    findings: Findings,
    path: Path,
    model: type[Action] | type[Probe],
    arguments: object,
) -> Iterator[tuple[Path, Template]]:
    """Complain about the arguments at ``path``, and go through the templates in them.

    What the class says about a value that holds a template is left out: it is checked again once it is rendered. Of a
    call what is written out is checked here, too.
    """
    rule = "action-input" if issubclass(model, Action) else "probe-input"
    given = {} if arguments is None else arguments
    if not isinstance(given, Mapping):
        message = f"{model.name}: its inputs are expected, not {kind_of(given)}"
        findings.add(path, message, rule, f"inputs: {', '.join(inputs(model))}")
        return
    unknown = _check_class(findings, path, model, given, rule)
    for leaf, text in string_leaves(given):
        if leaf[0] in unknown:
            continue
        try:
            yield (*path, *leaf), promql(text) if leaf in _QUERIES else template(text)
        except Wrong as wrong:
            findings.add_wrong((*path, *leaf), wrong)


def _check_class(
    findings: Findings, path: Path, model: type[Action] | type[Probe], given: Arguments, rule: str
) -> set[object]:
    """Complain about what the class refuses, and return the inputs that it does not have."""
    unknown: set[object] = set()
    given = _filled_in(model, given)
    try:
        model.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False)
        meant = {did_you_mean(str(d["loc"][-1]), inputs(model)) for d in details if d["type"] == "extra_forbidden"}
        for detail in details:
            place = existing(given, detail["loc"])
            where = (*path, *place)
            if detail["type"] == "extra_forbidden":
                unknown.update(place if len(place) == 1 else ())
                findings.add(where, *_unknown_input(model, place, rule), at_key=True)
            elif detail["type"] == "missing":
                names = ".".join(str(part) for part in detail["loc"])
                if names in meant:
                    continue
                findings.add(
                    where, f'{model.name} needs the input "{names}"', rule, _inputs_hint(model), at_key=not place
                )
            elif not _holds_template(at(given, place)):
                wrong = describe(detail)
                label = ".".join((model.name, *(str(part) for part in place)))
                findings.add_wrong(where, Wrong(str(wrong), rule, wrong.hint), label)
    return unknown


def _filled_in(model: type[Action] | type[Probe], given: Arguments) -> Arguments:
    """Return the arguments with what is sure of each call: a method that is never sent is none with any path."""
    calls = CALL_INPUTS if model.name.startswith("http.") else ()
    known = {key: filled_in(line) for key in calls if isinstance(line := given.get(key), str)}
    return {**given, **known}


def _unknown_input(model: type[Action] | type[Probe], place: Path, rule: str) -> tuple[str, str, str]:
    name = str(place[-1])
    if len(place) > 1:
        outer = ".".join(str(part) for part in place[:-1])
        return f'{model.name}: {outer} has no key "{name}"', rule, ""
    near = did_you_mean(name, inputs(model))
    start = f'did you mean "{near}"? ' if near else ""
    return f'{model.name} has no input "{name}"', rule, start + _inputs_hint(model)


def _inputs_hint(model: type[BaseModel]) -> str:
    return f"inputs: {', '.join(inputs(model))}"


def _holds_template(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def inputs(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the inputs of an action or a probe, as they are written."""
    return tuple(field.alias or name for name, field in model.model_fields.items())
