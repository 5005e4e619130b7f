"""JSON Schema as tables of keys: what pydantic says about inputs, in words."""

from collections.abc import Mapping
from typing import Any

from responder.domain.runs import RunState
from scripts.reference.markdown import anchor, code, sentence, table

Schema = Mapping[str, Any]

STATE_LINK = "[state of a run](runs.md#the-states-of-a-run)"
STATES = [str(state) for state in RunState]
_NOTHING: Mapping[str, str] = {}
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "maxLength": "at most {} characters",
}


def keys_table(
    schema: Schema, titles: Mapping[str, str], skip: frozenset[str] = frozenset(), said: Mapping[str, str] = _NOTHING
) -> str:
    """Return the table of a mapping's keys; ``titles`` maps a definition to the heading that describes it.

    ``said`` maps a definition to its meaning, for keys that have none of their own.
    """
    required = set(schema.get("required", ()))
    rows = [
        (
            code(name),
            kind(inner, titles),
            "**required**" if name in required else default(inner),
            _described(inner) or sentence(said.get(_reference(inner), "")),
        )
        for name, inner in schema.get("properties", {}).items()
        if name not in skip
    ]
    return table(("Key", "Type", "Default", "Meaning"), rows)


def kind(schema: Schema, titles: Mapping[str, str]) -> str:
    """Say in words what may be written."""
    if "$ref" in schema:
        title = titles.get(_reference(schema), "")
        return f"[{title}](#{anchor(title)})" if title else "anything"
    if "const" in schema:
        return code(_scalar(schema["const"]))
    if "enum" in schema:
        words = schema["enum"]
        return STATE_LINK if words == STATES else ", ".join(code(_scalar(one)) for one in words)
    if "anyOf" in schema:
        choices = (kind(one, titles) for one in schema["anyOf"] if one.get("type") != "null")
        return " or ".join(dict.fromkeys(choices))
    return _plain_kind(schema, titles)


def _plain_kind(schema: Schema, titles: Mapping[str, str]) -> str:
    found = schema.get("type")
    names = found if isinstance(found, list) else [found]
    if set(names) == {"array", "string"} and "items" in schema:
        return f"{kind(schema['items'], titles)}, or a list of them"
    return " or ".join(dict.fromkeys(_kind_of(name, schema, titles) for name in names if name != "null")) or "anything"


def _reference(schema: Schema) -> str:
    """Name the definition that a schema refers to."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _kind_of(name: str | None, schema: Schema, titles: Mapping[str, str]) -> str:
    if name == "array":
        items = schema.get("items")
        return f"list of: {kind(items, titles)}" if items else "list"
    if name == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            return f"mapping of names to: {kind(values, titles)}"
        return "mapping"
    return _WORDS.get(name or "", "anything")


def default(schema: Schema) -> str:
    """Return the default as an author would write it; empty when it says nothing."""
    value = schema.get("default")
    return "" if value in (None, "", [], {}) else code(_scalar(value))


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _described(schema: Schema) -> str:
    text = sentence(str(schema.get("description", "")))
    bounds = [words.format(schema[key]) for key, words in _BOUNDS.items() if key in schema and not _plain(key, schema)]
    examples = [code(_scalar(one)) for one in schema.get("examples", ())]
    more = [sentence(", ".join(bounds)), f"Such as {', '.join(examples)}." if examples else ""]
    return " ".join(part for part in (text, *more) if part)


def _plain(key: str, schema: Schema) -> bool:
    """Say whether a bound goes without saying: that a list which is there holds something."""
    return key == "minItems" and schema[key] == 1
