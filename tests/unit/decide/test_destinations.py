"""Where an incident is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from responder.decide.destinations import audience
from responder.decide.rules import Rules
from responder.domain.alerts import Severity
from responder.domain.modes import Mode
from responder.language.intervals import TimeInterval
from responder.language.matchers import Matcher
from responder.playbook.model import NotifyRule
from tests.unit.decide.bed import START, alert, matchers, playbook, scene


@dataclass(frozen=True)
class Route:
    destinations: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()
    incidents: Literal["handled", "unhandled", "all"] = "handled"
    continue_: bool = False
    severities: frozenset[Severity] = frozenset()
    teams: frozenset[str] = frozenset()
    active: tuple[TimeInterval, ...] = ()
    mute: tuple[TimeInterval, ...] = ()


MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
OFFICE = TimeInterval.parse({"weekdays": ["monday:friday"], "times": [{"start_time": "09:00", "end_time": "17:00"}]})
LUNCH = TimeInterval.parse({"times": [{"start_time": "12:00", "end_time": "13:00"}]})


def destinations(labels: Mapping[str, str], rules: Rules, **more: Any) -> frozenset[str]:  # noqa: ANN401 - as they are
    return audience(labels, rules, MONDAY, **more).destinations


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


def test_a_route_may_be_for_some_severities_and_teams_as_they_are_here() -> None:
    urgent = Route(("page",), severities=frozenset({Severity.CRITICAL, Severity.HIGH}))
    ours = Route(("ours",), teams=frozenset({"payments"}), incidents="all")
    words = {"sev1": Severity.CRITICAL, "sev3": Severity.MEDIUM}
    rules = Rules(routes=[urgent, ours], severity_of=lambda labels: words[labels["sev"]], team_label="squad")
    assert destinations({"sev": "sev1", "squad": "payments"}, rules, handled=True) == {"page"}
    assert destinations({"sev": "sev3", "squad": "payments"}, rules, handled=True) == {"ours"}
    assert destinations({"sev": "sev3", "squad": "search"}, rules, handled=True) == set()


def test_a_route_that_is_silent_now_has_taken_the_incident_and_says_when_it_speaks_again() -> None:
    rules = Rules(routes=[Route(("office",), active=(OFFICE,), mute=(LUNCH,)), Route(("always",))])
    lunch = audience({}, rules, MONDAY, handled=True)
    assert (lunch.destinations, lunch.taken, lunch.opens_at) == (frozenset(), (0,), MONDAY + timedelta(hours=1))
    assert not lunch.nobody
    evening = audience({}, rules, MONDAY.replace(day=9, hour=18), handled=True)
    assert evening.opens_at == MONDAY.replace(day=12, hour=9), "a Friday evening waits for Monday"
    assert audience({}, rules, MONDAY.replace(hour=10), handled=True).destinations == {"office"}


def test_who_speaks_now_does_not_wait_for_who_does_not() -> None:
    rules = Rules(routes=[Route(("quiet",), mute=(LUNCH,), continue_=True), Route(("always",))])
    hears = audience({}, rules, MONDAY, handled=True)
    assert (set(hears.destinations), hears.taken, hears.timed) == ({"always"}, (0, 1), True)
    assert hears.opens_at == MONDAY + timedelta(hours=1)


def test_that_nobody_hears_is_said() -> None:
    rules = Rules(routes=[Route(("a",), matchers('x="1"'))], page="pagerduty:p")
    assert audience({}, rules, MONDAY, handled=True).nobody
    assert not audience({}, rules, MONDAY, handled=True, page=True).nobody
    assert not audience({"x": "1"}, rules, MONDAY, handled=True).nobody


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


async def test_an_incident_that_no_route_takes_is_a_fact_once() -> None:
    s = scene(playbook("off", mode=Mode.DISABLED), routes=[Route(("u",), matchers('team="x"'), incidents="all")])
    await s.turn(alert())
    await s.turn(alert(), at=timedelta(minutes=10))
    assert [fields["alertname"] for name, fields in s.facts.seen if name == "unrouted"] == ["Down"]


async def test_what_a_silent_route_took_is_told_when_it_speaks() -> None:
    until = START + timedelta(hours=2)
    quiet = TimeInterval.parse({"times": [{"start_time": f"{START:%H:%M}", "end_time": f"{until:%H:%M}"}]})
    s = scene(playbook("off", mode=Mode.DISABLED), routes=[Route(("u",), incidents="all", mute=(quiet,))])
    await s.turn(alert())
    assert [where for where in s.world.outbox.values() if where] == []
    await s.wait(timedelta(hours=1))
    assert [where for where in s.world.outbox.values() if where] == []
    await s.wait(timedelta(hours=1, minutes=1))
    assert [where for where in s.world.outbox.values() if where] == [{"u"}]
