"""Every action and probe shows an example, and the example loads."""

import textwrap

import pytest

from responder.app import catalogue
from responder.playbook.schema import load_playbook

CATALOGUE = catalogue()
START = 'name: example\nmatchers:\n  - alertname="HighLoad"\ntarget: {kind}/checkout\n'


def as_item(key: str, example: str, kind: str = "http") -> str:
    item = textwrap.indent(example.strip(), "    ")
    return f"{START.format(kind=kind)}{key}:\n  - {item[4:]}\n"


@pytest.mark.parametrize("name", sorted(CATALOGUE.actions))
def test_the_example_of_an_action_is_a_step(name: str) -> None:
    action = CATALOGUE.actions[name]
    text = as_item("steps", action.example, action.kinds[0] if action.kinds else "http")
    assert load_playbook(text, "a.yaml", CATALOGUE, None).steps[0].action is action


@pytest.mark.parametrize("name", sorted(CATALOGUE.probes))
def test_the_example_of_a_probe_is_a_condition(name: str) -> None:
    playbook = load_playbook(as_item("verify", CATALOGUE.probes[name].example), "a.yaml", CATALOGUE, None)
    assert playbook.verify[0].limits
