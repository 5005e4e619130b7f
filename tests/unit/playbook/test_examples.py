"""Every action and probe shows an example, and the example loads."""

import textwrap

import pytest

from responder.app import catalogue
from responder.playbook.schema import load_playbook

CATALOGUE = catalogue()
START = 'name: example\nmatchers:\n  - alertname="HighLoad"\ntarget: TARGET\n'
CHANGES = "  - http.request: { service: it, send: PUT /it, json: { a: 1 }, undo_json: { a: 2 } }\n"
"""A step that changes something: those that stand between changes are none by themselves."""


def as_item(key: str, example: str, target: str = "http/checkout", more: str = "") -> str:
    item = textwrap.indent(example.strip() + more, "    ")
    return f"{START}{key}:\n  - {item[4:]}\n".replace("TARGET", target)


@pytest.mark.parametrize("name", sorted(CATALOGUE.actions))
def test_the_example_of_an_action_is_a_step(name: str) -> None:
    kind = CATALOGUE.actions[name]
    own = "http/it" if kind.between else ""
    target = f"{kind.kinds[0] if kind.kinds else (kind.reach or name).partition('/')[0].partition('.')[0]}/checkout"
    undo = "\nundo: none" if kind.undoes == "impossible" and "undo:" not in kind.example else ""
    text = as_item("steps", kind.example, own or target, undo)
    more = (CHANGES if kind.between else "") + ("revert_after: 10m\n" if kind.ended_by else "")
    playbook = load_playbook(text + more, "a.yaml", CATALOGUE, None)
    assert playbook.steps[0].action is kind


@pytest.mark.parametrize("name", sorted(CATALOGUE.probes))
def test_the_example_of_a_probe_is_a_condition(name: str) -> None:
    playbook = load_playbook(as_item("verify", CATALOGUE.probes[name].example), "a.yaml", CATALOGUE, None)
    assert playbook.verify[0].limits
