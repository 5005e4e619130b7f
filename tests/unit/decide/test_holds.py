"""For which incidents a page is held back, and until when."""

import pytest

from responder.domain.alerts import Severity
from responder.domain.modes import Mode
from responder.domain.runs import RunState
from tests.unit.decide.bed import MINUTE, START, Scene, alert, playbook, scene


def paging(*playbooks: object, severity: Severity = Severity.CRITICAL, page: str = "pagerduty:p") -> Scene:
    return scene(*playbooks, severity_of=lambda _: severity, page=page, page_after=5 * MINUTE)  # type: ignore[arg-type] # playbooks


async def test_a_page_is_held_back_while_a_playbook_may_act() -> None:
    s = paging(playbook())
    await s.turn(alert())
    (incident,) = s.world.incidents
    assert s.world.holds == {incident: START + 5 * MINUTE}


async def test_it_is_held_back_even_when_the_playbook_is_refused_for_now() -> None:
    s = paging(playbook())
    s.world.doubts["http/checkout"] = "nobody knows how it stands"
    await s.turn(alert())
    assert s.world.runs == {}
    assert len(s.world.holds) == 1


@pytest.mark.parametrize(
    ("mode", "severity", "page", "held"),
    [
        (Mode.AUTO, Severity.HIGH, "pagerduty:p", 1),
        (Mode.APPROVE, Severity.CRITICAL, "pagerduty:p", 1),
        (Mode.OBSERVE, Severity.CRITICAL, "pagerduty:p", 0),
        (Mode.DISABLED, Severity.CRITICAL, "pagerduty:p", 0),
        (Mode.AUTO, Severity.MEDIUM, "pagerduty:p", 0),
        (Mode.AUTO, Severity.LOW, "pagerduty:p", 0),
        (Mode.AUTO, Severity.CRITICAL, "", 0),
    ],
)
async def test_it_takes_a_playbook_that_changes_things_a_severe_alert_and_a_pager(
    mode: Mode, severity: Severity, page: str, held: int
) -> None:
    s = paging(playbook(mode=mode), severity=severity, page=page)
    await s.turn(alert())
    assert len(s.world.holds) == held


async def test_what_is_only_told_and_what_matches_nothing_is_not_held_back() -> None:
    s = paging(playbook(steps=0))
    await s.turn(alert(), alert(alertname="Unknown"))
    assert s.world.holds == {}


async def test_a_later_run_in_the_same_incident_changes_nothing_about_the_time() -> None:
    s = paging(playbook("first"), playbook("second"))
    await s.turn(alert())
    before = dict(s.world.holds)
    s.world.now += MINUTE
    s.world.end(s.world.run, RunState.ROLLED_BACK, after=True, due=True)
    await s.turn()
    assert [run.playbook for run in s.world.runs.values()] == ["first", "second"]
    assert s.world.holds == before
