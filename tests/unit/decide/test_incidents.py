"""Incidents: what people see of a group."""

from dataclasses import replace

from responder.domain.alerts import Severity
from responder.domain.runs import RunState
from tests.unit.decide.bed import MINUTE, START, Scene, alert, playbook, scene

END = START + 10 * MINUTE


def by_label(labels: dict[str, str]) -> Severity:
    return Severity(labels.get("severity", "medium"))


async def resolve(s: Scene, service: str = "checkout") -> None:
    await s.turn(alert("resolved", ends_at=END, service=service), at=11 * MINUTE)


async def test_alerts_of_one_group_share_an_incident_with_the_worst_severity() -> None:
    s = scene(severity_of=by_label)
    await s.turn(alert(severity="low"))
    await s.turn(alert(severity="low"), alert(severity="critical"), at=MINUTE)
    assert [one.severity for one in s.world.open_incidents()] == ["critical"]
    await s.turn(alert("resolved", severity="critical", ends_at=END), at=11 * MINUTE)
    assert [one.severity for one in s.world.open_incidents()] == ["low"]


async def test_a_slice_of_an_incident_that_stands_as_it_is_does_not_ask_about_its_other_alerts() -> None:
    s = scene(severity_of=by_label)
    await s.turn(alert(severity="high"), alert(severity="low"))
    s.world.statements.clear()
    await s.turn(alert(severity="high", service="other"))
    as_it_is = sum(s.world.statements)
    s.world.statements.clear()
    await s.turn(alert(severity="low", service="more"))
    assert sum(s.world.statements) > as_it_is, "the worst of the others counts: an incident may have thousands"
    await s.turn(alert("resolved", severity="high", ends_at=END), at=11 * MINUTE)
    await s.turn(alert("resolved", severity="high", service="other", ends_at=END), at=11 * MINUTE)
    assert [one.severity for one in s.world.open_incidents()] == ["low"]


async def test_teams_of_one_group_have_incidents_of_their_own() -> None:
    s = scene()
    await s.turn(alert(team="shop"), alert(team="search"))
    assert sorted(one.team for one in s.world.open_incidents()) == ["search", "shop"]


async def test_an_incident_closes_with_its_last_episode() -> None:
    s = scene()
    await s.turn(alert(), alert(service="other"))
    await resolve(s)
    assert s.world.open_incidents()
    await resolve(s, service="other")
    assert [(one.open, one.closed_reason) for one in s.world.incidents.values()] == [(False, "resolved")]


async def test_an_unfinished_run_keeps_its_incident_open() -> None:
    s = scene(playbook())
    await s.turn(alert())
    await resolve(s)
    assert s.world.open_incidents()


async def test_an_alert_that_is_only_late_neither_keeps_nor_makes_an_incident() -> None:
    s = scene()
    await s.turn(alert())
    await resolve(s)
    await s.turn(alert(), alert(service="other"), at=12 * MINUTE)  # a copy from before the end, and one that is new
    late, fresh = sorted(s.world.incidents.values(), key=lambda one: one.open)
    assert (late.closed_reason, fresh.open) == ("resolved", True)
    await s.turn(alert("resolved", service="other", ends_at=END), at=13 * MINUTE)
    assert not s.world.open_incidents()


async def test_a_needed_person_keeps_the_incident_open() -> None:
    s = scene()
    await s.turn(alert())
    (one,) = s.world.open_incidents()
    s.world.incidents[one.id] = replace(one, needs_person="look")
    await resolve(s)
    assert s.world.open_incidents()


async def test_an_alert_under_another_group_key_moves_and_leaves_a_regrouped_incident() -> None:
    s = scene()
    await s.turn(alert(), group_key="old")
    await s.turn(alert(), group_key="new", at=MINUTE)
    reasons = {one.group_key: (one.open, one.closed_reason) for one in s.world.incidents.values()}
    assert reasons == {"old": (False, "regrouped"), "new": (True, "")}
    assert len(s.world.open_episodes()) == 1


def heirs(s: Scene) -> dict[str, str]:
    """Return who took over from whom, by group key."""
    by_id = {one.id: one.group_key for one in s.world.incidents.values()}
    return {by_id[old]: by_id[heir] for old, heir in s.world.heirs.items()}


async def test_what_was_told_of_a_regrouped_incident_follows_the_alert() -> None:
    s = scene()
    await s.turn(alert(), group_key="old")
    await s.turn(alert(), group_key="new", at=MINUTE)
    assert heirs(s) == {"old": "new"}


async def test_an_incident_that_somebody_stays_in_hands_nothing_over() -> None:
    s = scene()
    await s.turn(alert(), alert(service="other"), group_key="old")
    await s.turn(alert(), group_key="new", at=MINUTE)
    await resolve(s, service="other")
    assert heirs(s) == {}


async def test_an_alert_that_moves_twice_at_once_hands_over_to_where_it_ends() -> None:
    s = scene()
    await s.turn(alert(), group_key="old")
    s.world.now = START + MINUTE
    s.world.deliver(alert(), group_key="newer")
    s.world.deliver(alert(), group_key="newest")
    await s.decider.turn()
    assert heirs(s) == {"old": "newest", "newer": "newest"}


async def test_an_alert_that_moves_there_and_back_leaves_its_incident_as_it_was() -> None:
    s = scene()
    await s.turn(alert(), group_key="old")
    s.world.now = START + MINUTE
    s.world.deliver(alert(), group_key="new")
    s.world.deliver(alert(), group_key="old")
    await s.decider.turn()
    assert heirs(s) == {"new": "old"}
    assert [one.group_key for one in s.world.open_incidents()] == ["old"]


async def test_the_rest_of_a_group_stays_when_one_alert_moves() -> None:
    s = scene()
    await s.turn(alert(), alert(service="other"), group_key="old")
    await s.turn(alert(), group_key="new", at=MINUTE)
    assert sorted(one.group_key for one in s.world.open_incidents()) == ["new", "old"]


async def test_both_incidents_are_told_when_an_alert_moves_between_them() -> None:
    s = scene()
    await s.turn(alert(), alert(service="other"), group_key="old")
    await s.turn(alert(service="third"), group_key="new")
    s.world.told.clear()
    await s.turn(alert(), group_key="new", at=MINUTE)
    assert sorted(s.world.told) == sorted(s.world.incidents)


async def test_another_receiver_hears_of_the_same_alert_without_a_second_incident_or_run() -> None:
    s = scene(playbook())
    await s.turn(alert(), receiver="a", group_key="by alert")
    await s.turn(alert(), receiver="b", group_key="by service", at=MINUTE)
    await s.turn(alert(), receiver="a", group_key="by alert", at=2 * MINUTE)
    assert len(s.world.incidents) == 1
    assert len(s.world.runs) == 1


async def test_what_people_see_is_told_and_what_they_do_not_is_not() -> None:
    s = scene(playbook())
    await s.turn(alert())
    assert len(s.world.told) == 1
    s.world.end(s.world.run, RunState.VERIFIED)
    for minute in range(1, 5):
        await s.turn(alert(), at=minute * MINUTE)
    assert len(s.world.told) == 2  # that the playbook has run, once
    await resolve(s)
    assert len(s.world.told) == 3
