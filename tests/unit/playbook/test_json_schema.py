"""The JSON Schema for editors agrees with what ``check`` says, in keywords that draft-07 knows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from responder.app import catalogue
from responder.cli.schema import run_schema
from responder.language.strict_yaml import load
from responder.playbook.schema import load_playbook
from tests.unit.playbook.fakes import CATALOGUE, with_lines

PLAYBOOKS = sorted((Path(__file__).parents[3] / "playbooks").glob("*.yaml"))
SHIPPED = json.loads(run_schema(catalogue()))
FAKE = json.loads(run_schema(CATALOGUE))
# Keywords of draft-07, less those that editors explain badly.
KNOWN = {
    *("$schema", "$ref", "title", "description", "default", "examples", "enum", "const", "type", "format"),
    *("properties", "required", "additionalProperties", "items", "definitions", "anyOf"),
    *("minItems", "maxItems", "minProperties", "minLength", "maxLength", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


def problems(text: str, schema: dict[str, Any] = FAKE) -> list[str]:
    validator = jsonschema.Draft7Validator(schema)
    return [error.message for error in validator.iter_errors(load(text, "a.yaml").data)]


def keywords(schema: object) -> Iterator[str]:
    if isinstance(schema, list):
        for inner in schema:
            yield from keywords(inner)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            yield key
            if key in ("properties", "definitions"):
                for inner in value.values():
                    yield from keywords(inner)
            elif key not in ("default", "examples", "enum", "const"):
                yield from keywords(value)


def references(schema: object) -> Iterator[str]:
    if isinstance(schema, list):
        for inner in schema:
            yield from references(inner)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for inner in schema.values():
            yield from references(inner)


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_the_shipped_playbooks_load_and_fit_the_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert load_playbook(text, path.name, catalogue(), None).name == path.stem
    assert problems(text, SHIPPED) == []


def test_there_are_playbooks_of_both_kinds() -> None:
    loaded = [load_playbook(path.read_text(encoding="utf-8"), path.name, catalogue(), None) for path in PLAYBOOKS]
    assert {playbook.tells_only for playbook in loaded} == {True, False}


@pytest.mark.parametrize("schema", [SHIPPED, FAKE], ids=["shipped", "fake"])
def test_the_schema_is_a_sound_draft_07_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert set(keywords(schema)) <= KNOWN
    for reference in references(schema):
        assert reference.removeprefix("#/definitions/") in schema["definitions"]


def test_actions_are_flat_properties_of_a_step_described_by_their_docstrings() -> None:
    step = FAKE["definitions"]["StepShape"]
    assert step["properties"]["fake.scale"]["description"] == "Set how many there are."
    assert step["properties"]["fake.scale"]["properties"]["max"]["description"] == "never go above this"
    assert "oneOf" not in json.dumps(FAKE)


def test_every_key_has_a_description() -> None:
    for shape in [FAKE, *FAKE["definitions"].values()]:
        for name, schema in shape.get("properties", {}).items():
            assert schema.get("description") or "$ref" in schema, name


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("mode: atuo",), "'atuo' is not one of"),
        (("nope: 1",), "'nope' was unexpected"),
        (("  - fake.scael: { by: 1, max: 2 }",), "'fake.scael' was unexpected"),
        (("  - fake.scale: { by: 1, maximum: 2 }",), "'maximum' was unexpected"),
        (("  - fake.scale: { by: 1, max: lots }",), "'lots' does not match"),
        (("  - fake.scale: { by: 1, max: 0 }",), "0 is less than the minimum of 1"),
        (("limits: { cooldown: 5 minutes }",), "'5 minutes' does not match"),
        (("notify: { pagerduty: { servce: a } }",), "'servce' was unexpected"),
    ],
)
def test_an_editor_says_what_is_wrong(lines: tuple[str, ...], said: str) -> None:
    assert any(said in problem for problem in problems(with_lines(*lines)))


@pytest.mark.parametrize(
    "lines",
    [
        ('  - fake.scale: { by: "{{ labels.n }}", max: 3 }',),
        ('notify: { slack: "#a", pagerduty: payments }',),
        ("notify: { webhook: audit, email: [a@b.example], teams: [a, b], slack_webhook: a, apprise: a }",),
        ('notify: { slack: ["#a"], pagerduty: { service: payments, states: [failed] } }',),
        ("approval: { from: role:operator }",),
        ("when: [ { query: up, at_least: 1% }, { query: up, equals: 0 } ]",),
        ("mute_time_intervals: [ nights, { weekdays: [sunday] } ]",),
        ("    accept: unfenced",),
    ],
)
def test_what_loads_fits_the_schema(lines: tuple[str, ...]) -> None:
    text = with_lines(*lines)
    load_playbook(text, "a.yaml", CATALOGUE, None)
    assert problems(text) == []


def test_defaults_are_written_as_an_author_would() -> None:
    assert FAKE["definitions"]["ConditionShape"]["properties"]["within"]["default"] == "5m"
