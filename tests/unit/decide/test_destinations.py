"""Where an incident is told."""

from dataclasses import dataclass
from typing import Literal

from responder.decide.destinations import destinations
from responder.decide.rules import Rules
from responder.domain.modes import Mode
from responder.language.matchers import Matcher
from responder.playbook.model import NotifyRule
from tests.unit.decide.bed import alert, matchers, playbook, scene


@dataclass(frozen=True)
class Route:
    destinations: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()
    incidents: Literal["handled", "unhandled", "all"] = "handled"
    continue_: bool = False


def test_the_first_route_that_fits_wins() -> None:
    rules = Rules(routes=[Route(("a",), matchers('x="1"')), Route(("b",)), Route(("c",))])
    assert destinations({"x": "1"}, rules, handled=True) == {"a"}
    assert destinations({}, rules, handled=True) == {"b"}


def test_continue_goes_on() -> None:
    rules = Rules(routes=[Route(("a",), continue_=True), Route(("b",)), Route(("c",))])
    assert destinations({}, rules, handled=True) == {"a", "b"}


def test_a_route_says_which_incidents_it_wants() -> None:
    rules = Rules(routes=[Route(("h",)), Route(("u",), incidents="unhandled")])
    assert destinations({}, rules, handled=True) == {"h"}
    assert destinations({}, rules, handled=False) == {"u"}
    rules = Rules(routes=[Route(("all",), incidents="all")])
    assert destinations({}, rules, handled=True) == destinations({}, rules, handled=False) == {"all"}


def test_a_playbook_adds_its_destinations_or_replaces_the_routes() -> None:
    rules = Rules(routes=[Route(("a",))])
    adds = playbook(notify=NotifyRule(("slack:#team",)))
    replaces = playbook(notify=NotifyRule(("slack:#team",), replace=True))
    assert destinations({}, rules, handled=True, playbook=adds) == {"a", "slack:#team"}
    assert destinations({}, rules, handled=True, playbook=replaces) == {"slack:#team"}


async def test_the_pager_has_its_row_before_a_person_is_needed() -> None:
    s = scene(playbook(notify=NotifyRule(("slack:#team",), replace=True)), page="pagerduty:p")
    await s.turn(alert(), alert(alertname="Unknown", service="x"), group_key="one")
    await s.turn(alert(alertname="Unknown"), group_key="two")
    told = {s.world.incidents[one].group_key: where for one, where in s.world.outbox.items()}
    assert told == {"one": {"pagerduty:p", "slack:#team"}, "two": set()}


async def test_an_incident_without_a_playbook_goes_where_unhandled_ones_go() -> None:
    s = scene(playbook("off", mode=Mode.DISABLED), routes=[Route(("u",), incidents="unhandled")])
    await s.turn(alert())
    assert list(s.world.outbox.values()) == [{"u"}]
