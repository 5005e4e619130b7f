"""What happens while a responder is hurt: from an alert to the end of its run, with people doing their part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.bed.web import JsonObject

_PLAYBOOK = """\
schema: 1
name: NAME
summary: Change one item.
mode: MODE
matchers:
  - alertname="NAME"
target: http/checkout/{{ labels.item }}
limits:
  mass_failure: off
steps:
  - id: change
    retries: 3
    http.request:
      service: checkout
      read: "GET /admin/{{ labels.item }}"
      send: "PUT /admin/{{ labels.item }}"
      set:
        workers:
          by: 1
MORE_STEPS
verify:
  - name: workers
    probe: http.get
    with:
      service: checkout
      path: "/admin/{{ labels.item }}"
      pointer: /workers
    equals: WANTED
    within: WITHIN
"""
_FAILING_STEP = """\
  - id: impossible
    http.request:
      service: checkout
      read: "GET /admin/{{ labels.item }}"
      send: "PUT /nothing/{{ labels.item }}"
      json:
        workers: 9
"""
BEFORE, AFTER = 4, 5
"""What an item is set to before a case, and what the first step makes of it."""


def _playbook(name: str, *, mode: str = "auto", wanted: int = AFTER, within: str = "1s", more: str = "") -> str:
    text = _PLAYBOOK.replace("MORE_STEPS\n", more)
    for place, value in {"NAME": name, "MODE": mode, "WANTED": str(wanted), "WITHIN": within}.items():
        text = text.replace(place, value)
    return text


PLAYBOOKS: Mapping[str, str] = {
    f"{name}.yaml": text
    for name, text in {
        "kept": _playbook("kept"),
        "helpless": _playbook("helpless", wanted=99, within="250ms"),
        "breaks": _playbook("breaks", more=_FAILING_STEP),
        "asks": _playbook("asks", mode="approve"),
        "patient": _playbook("patient", wanted=99, within="2m"),
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

    def ask(self, what: str, run: JsonObject) -> bool:
        """Ask for a ``stop`` or a ``rollback``; false when it was done before or comes too late."""
        ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to the end. ``ends`` are the (kind, state) that its runs may have by then."""

    name: str
    ends: frozenset[tuple[str, str]]
    play: Callable[[Person, str], None]


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
    Scenario("approval", _ends("verified"), _approval),
    Scenario("stop", _ends("rolled_back"), _stop),
    Scenario("rollback", _ends("verified") | {("rollback", "rolled_back")}, _rollback),
)
