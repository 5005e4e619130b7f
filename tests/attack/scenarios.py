"""What happens while a responder is hurt: from an alert to the end of its run, with people doing their part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.bed.playbooks import change_item
from tests.bed.web import JsonObject

_FAILING_STEP = """\
  - id: impossible
    http.request:
      service: checkout
      read: "GET /admin/{{ labels.item }}"
      send: "PUT /nothing/{{ labels.item }}"
      json:
        workers: 9
"""
QUESTION = """\
  - ask:
      question: Go on?
      timeout: 5m
"""
HARDER_STEP = """\
  - id: harder
    retries: 3
    http.request:
      service: checkout
      read: "GET /admin/{{ labels.item }}"
      send: "PUT /admin/{{ labels.item }}"
      set:
        workers:
          by: 2
"""


def in_portions(at_most: int) -> str:
    """Return the keys of a step that adds one worker at a time, as long as there are no more than ``at_most``."""
    return f"""\
    gradual:
      by: 1
    verify:
      - name: not too many
        probe: http.get
        with:
          service: checkout
          path: "/admin/{{{{ labels.item }}}}"
          pointer: /workers
        at_most: {at_most}
        within: 250ms
"""


LISTED = """\
schema: 1
name: listed
mode: auto
matchers:
  - alertname="listed"
target: http/checkout/{{ labels.item }}
limits:
  mass_failure: off
steps:
  - id: each
    retries: 3
    items:
      probe: http.get
      with:
        service: checkout
        path: /admin/levels
        pointer: /names
      max: 4
    http.request:
      service: checkout
      read: "GET /admin/{{ labels.item }}"
      send: "PUT /admin/{{ labels.item }}"
      json:
        workers: "{{ item.to }}"
verify:
  - name: workers
    probe: http.get
    with:
      service: checkout
      path: "/admin/{{ labels.item }}"
      pointer: /workers
    at_most: 5
    within: 250ms
"""
LEVELS: JsonObject = {"names": [{"name": f"to-{to}", "to": to} for to in (5, 6, 7)]}
"""To what the scenario ``listed`` sets its item, one after the other; the second one is too much."""
BEFORE, AFTER = 4, 5
"""What an item is set to before a case, and what the first step makes of it."""


PLAYBOOKS: Mapping[str, str] = {
    f"{name}.yaml": text
    for name, text in {
        "kept": change_item("kept"),
        "helpless": change_item("helpless", wanted=99, within="250ms"),
        "breaks": change_item("breaks", more_steps=_FAILING_STEP),
        "asks": change_item("asks", mode="approve"),
        "escalates": change_item("escalates", more_steps=HARDER_STEP, wanted=6, within="250ms")
        + "steps_until: verified\n",
        "lends": change_item("lends").replace("equals: 5", "at_least: 1") + "revert_after: 500ms\n",
        "listed": LISTED,
        # Of three workers the third is too much.
        "gradual": change_item("gradual", more_keys=in_portions(at_most=6), adds=3),
        "patient": change_item("patient", wanted=99, within="2m"),
        "questions": change_item("questions", limits="  attempts: 3\n", more_steps=QUESTION + HARDER_STEP, wanted=7),
    }.items()
}


class Person(Protocol):
    """What a scenario does, whatever happens to the responder meanwhile: all is repeated until it is answered."""

    def fire(self, playbook: str, item: str) -> None:
        """Deliver a firing alert."""
        ...

    def until(self, item: str, *states: str, kind: str = "forward") -> JsonObject:
        """Wait for the item's run to be in one of ``states`` or at its end, and return it."""
        ...

    def approve(self, run: JsonObject) -> None:
        """Say yes to the plan that is shown."""
        ...

    def decline(self, run: JsonObject) -> None:
        """Say no to the question between two steps, once it is asked."""
        ...

    def ask(self, what: str, run: JsonObject) -> bool:
        """Ask for a ``stop`` or a ``rollback``; false when it was done before or comes too late."""
        ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to the end. ``ends`` are the (kind, state) that its runs may have by then.

    ``lands`` is what the target is set to on the way, where it is more than one change that is kept or undone.
    """

    name: str
    ends: frozenset[tuple[str, str]]
    play: Callable[[Person, str], None]
    lands: tuple[int, ...] = ()


def _simply(playbook: str) -> Callable[[Person, str], None]:
    def play(person: Person, item: str) -> None:
        person.fire(playbook, item)
        person.until(item)

    return play


def _approval(person: Person, item: str) -> None:
    person.fire("asks", item)
    asking = person.until(item, "awaiting_approval")
    person.approve(asking)
    person.until(item)


def _stop(person: Person, item: str) -> None:
    person.fire("patient", item)
    person.ask("stop", person.until(item, "verifying"))
    person.until(item)


def _declined(person: Person, item: str) -> None:
    person.fire("questions", item)
    person.decline(person.until(item, "acting"))
    person.until(item)


def _rollback(person: Person, item: str) -> None:
    person.fire("kept", item)
    person.ask("rollback", person.until(item))
    person.until(item, kind="rollback")


def _ends(*states: str) -> frozenset[tuple[str, str]]:
    return frozenset(("forward", state) for state in states)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("kept", _ends("verified"), _simply("kept")),
    Scenario("helpless", _ends("rolled_back"), _simply("helpless")),
    # Unknown when it dies while the second step is out: its refusal may then come from the first send having landed.
    Scenario("breaks", _ends("rolled_back", "unknown"), _simply("breaks")),
    Scenario("escalates", _ends("verified"), _simply("escalates"), lands=(AFTER, BEFORE, BEFORE + 2)),
    Scenario("lends", _ends("verified"), _simply("lends"), lands=(AFTER, BEFORE)),
    Scenario("listed", _ends("rolled_back"), _simply("listed"), lands=(AFTER, AFTER + 1, AFTER, BEFORE)),
    Scenario("gradual", _ends("rolled_back"), _simply("gradual"), lands=(5, 6, 7, 6, 5, 4)),
    Scenario("approval", _ends("verified"), _approval),
    Scenario("stop", _ends("rolled_back"), _stop),
    Scenario("declined", _ends("rolled_back"), _declined, lands=(AFTER, BEFORE)),
    Scenario("rollback", _ends("verified") | {("rollback", "rolled_back")}, _rollback),
)
