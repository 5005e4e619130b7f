"""The JSON Schema of playbooks, for editors: only keywords that draft-07 knows, actions as flat properties of a step.

Editors validate with draft-07 for the most part, and explain ``oneOf`` badly: the same typing error is "not valid
under any of the given schemas" there, and "'maximum' was unexpected" with flat properties.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from responder.language.durations import format_duration
from responder.playbook.diagnose import OF
from responder.playbook.shape import PlaybookShape
from responder.ports.action import Action
from responder.ports.catalogue import Catalogue
from responder.ports.probe import Probe

DRAFT = "http://json-schema.org/draft-07/schema#"
Schema = dict[str, Any]

_SCALARS = {"integer", "number", "boolean"}
_TEMPLATE = r"\{\{"


class _Draft07(GenerateJsonSchema):
    """pydantic's generator, with durations as they are written in a playbook."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Say no: a title that repeats the key helps nobody."""
        return False

    def encode_default(self, dft: object) -> object:
        """Write a default as the author would."""
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def playbook_schema(catalogue: Catalogue) -> Schema:
    """Return the schema of a playbook whose steps and conditions offer what is in ``catalogue``."""
    schema = _schema_of(PlaybookShape)
    definitions = schema.pop("$defs")
    step = definitions["StepShape"]
    step["additionalProperties"] = False
    step["minProperties"] = 1
    for name, action in sorted(catalogue.actions.items()):
        step["properties"][name] = _inputs_schema(action, definitions)
    look = definitions["DiagnosisShape"]
    look["additionalProperties"] = False
    look["minProperties"] = 1
    for name, probe in sorted(catalogue.probes.items()):
        look["properties"][name] = _look_schema(probe, definitions)
    condition = definitions["ConditionShape"]["properties"]
    condition["probe"] = {"type": "string", "description": condition["probe"]["description"]}
    if catalogue.probes:
        condition["probe"]["enum"] = sorted(catalogue.probes)
    condition["with"]["properties"] = _probe_inputs(catalogue, definitions)
    listed = definitions["ItemsShape"]["properties"]
    listed["probe"] |= {"enum": sorted(name for name, probe in catalogue.probes.items() if probe.lists)}
    listed["with"]["properties"] = condition["with"]["properties"]
    _allow_shorthand(definitions, "LimitsShape", "mass_failure", ["string", "number", "object"])
    _allow_shorthand(definitions, "NotifyShape", "slack", ["string", "array", "object"])
    _allow_shorthand(definitions, "NotifyShape", "pagerduty", ["string", "object"])
    whole = {"$schema": DRAFT, "title": "Playbook", **schema, "definitions": definitions}
    return {key: _plain_part(key, value) for key, value in whole.items()}


def _schema_of(model: type[BaseModel], prefix: str = "") -> Schema:
    template = f"#/definitions/{prefix}{{model}}"
    return model.model_json_schema(by_alias=True, ref_template=template, schema_generator=_Draft07)


def _inputs_schema(model: type[Action] | type[Probe], definitions: Schema) -> Schema:
    """Return the inputs of an action or probe, their own definitions moved among ``definitions``."""
    schema = _schema_of(model, f"{model.name}.")
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{model.name}.{name}"] = _with_templates(definition)
    schema = _with_templates(schema)
    schema["description"] = (model.__doc__ or "").strip().partition("\n")[0]
    return schema


def _look_schema(probe: type[Probe], definitions: Schema) -> Schema:
    """Return the inputs of a look: an object that is left out is the target."""
    schema = _inputs_schema(probe, definitions)
    needed = [name for name in schema.pop("required", []) if name != OF]
    return {**schema, **({"required": needed} if needed else {})}


def _probe_inputs(catalogue: Catalogue, definitions: Schema) -> Schema:
    """Return the inputs of every probe together: which belong to which is for ``check`` to say."""
    found: Schema = {}
    for _, probe in sorted(catalogue.probes.items()):
        for name, schema in _inputs_schema(probe, definitions)["properties"].items():
            found.setdefault(name, {"description": schema.get("description", "")})
    return found


def _with_templates(schema: Schema) -> Schema:
    """Let every input that is not a text be written as a template as well.

    ``pattern`` says nothing about numbers and ``minimum`` nothing about texts, so both can stand side by side.
    """
    found: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: _with_templates(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            found[key] = _with_templates(value)
        elif key in ("anyOf", "allOf"):
            found[key] = [_with_templates(inner) for inner in value]
        else:
            found[key] = value
    if found.get("type") in _SCALARS and "const" not in found and "enum" not in found:
        found["type"] = [found["type"], "string"]
        found["pattern"] = _TEMPLATE
    return found


def _allow_shorthand(definitions: Schema, shape: str, key: str, kinds: list[str]) -> None:
    """Let a text or a list stand for the mapping, without ``oneOf``: each keyword speaks of one type only."""
    properties = definitions[shape]["properties"]
    given = _optional(properties[key])
    mapping = definitions.pop(given["$ref"].rpartition("/")[2])
    properties[key] = {**mapping, "type": kinds, "items": {"type": "string"}, "description": given["description"]}


def _plain(schema: object) -> object:
    """Take out null, which is never written, and defaults of whole mappings, which say nothing."""
    if isinstance(schema, list):
        return [_plain(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: value for key, value in schema.items() if key != "default" or not isinstance(value, dict)}
    return {key: _plain_part(key, value) for key, value in _optional(kept).items()}


def _plain_part(key: str, value: object) -> object:
    """Go on inside a keyword; under ``properties`` the keys are the author's, not keywords."""
    if key in ("properties", "definitions") and isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return _plain(value)


def _optional(schema: Schema) -> Schema:
    """Return the schema of ``X | None`` as that of X: leaving a key out is how to say nothing."""
    choices = schema.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        others = [choice for choice in choices if choice != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return {**others[0], **rest} if len(others) == 1 else {"anyOf": others, **rest}
    return schema
