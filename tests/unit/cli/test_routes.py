"""``responder routes``: the routes as they are configured, and who hears of an alert."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Responder

CONFIG = """\
severity: { label: sev, map: { sev1: critical } }
notify:
  slack: { token: xoxb-planted-token }
  pagerduty: { services: { payments: { routing_key: planted-key } } }
page: { pagerduty: payments, after: 10m }
time_intervals:
  - name: nights
    time_intervals: [ { times: [ { start_time: "00:00", end_time: "07:00" } ] } ]
routes:
  - { severity: critical, slack: "#oncall", continue: true }
  - { team: [ payments, billing ], matchers: [ 'env="prod"' ], slack: [ "#payments", "#prod" ] }
  - { severity: low, slack: "#noise", mute_time_intervals: nights }
"""
ALL = '  - { slack: "#alerts", incidents: all }\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "responder.yml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    ("alert", "hears"),
    [
        (["sev=sev1", "team=payments", "env=prod"], "slack:#oncall,slack:#payments,slack:#prod"),
        (["sev=sev1", "team=payments"], "slack:#oncall"),
        (["sev=sev1", "--needs-person"], "pagerduty:payments,slack:#oncall"),
        (["sev=low", "--at", "2026-01-05T12:00:00Z"], "slack:#noise"),
    ],
)
def test_who_hears_of_an_alert_is_said(config: Path, responder: Responder, alert: list[str], hears: str) -> None:
    result = responder("routes", "test", *alert, "--config.file", str(config))
    assert (result.exit_code, result.stdout.strip()) == (0, hears)
    assert "route" in result.stderr


def test_a_silent_route_says_when_it_tells_and_is_no_finding(config: Path, responder: Responder) -> None:
    result = responder("routes", "test", "sev=low", "--at", "2026-01-05T03:00:00Z", "--config.file", str(config))
    assert (result.exit_code, result.stdout.strip()) == (0, "(nobody)")
    assert "2026-01-05T07:00:00+00:00" in result.stderr


def test_that_nobody_hears_or_not_who_should_is_a_finding(config: Path, responder: Responder) -> None:
    nobody = responder("routes", "test", "sev=sev3", "--config.file", str(config))
    assert (nobody.exit_code, nobody.stdout.strip()) == (1, "(nobody)")
    assert "no route takes it" in nobody.stderr
    other = responder("routes", "test", "sev=sev1", "--expect", "slack:#payments", "--config.file", str(config))
    assert other.exit_code == 1
    assert "expected: slack:#payments" in other.stderr
    config.write_text(CONFIG + ALL)
    right = responder("routes", "test", "x=y", "--unhandled", "--expect", "slack:#alerts", "--config.file", str(config))
    assert right.exit_code == 0


def test_the_routes_are_shown_in_order_with_what_is_left(config: Path, responder: Responder) -> None:
    lines = responder("routes", "--config.file", str(config)).stdout.splitlines()
    assert "1  severity critical (handled)  →  slack:#oncall, goes on" in lines[1]
    assert 'env="prod", team billing or payments (handled)  →  slack:#payments, slack:#prod' in lines[2]
    assert "mute nights" in lines[3]
    assert "whatever is left  →  nobody" in lines[4]
    assert "pagerduty:payments" in lines[5]
    config.write_text(CONFIG + ALL)
    assert "nothing is left" in responder("routes", "--config.file", str(config)).stdout


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("severity: urgent", "'urgent' is not one of critical, high, medium, low"),
        ("mute_time_intervals: night", 'did you mean "nights"?'),
        ("teem: x", 'did you mean "team"?'),
    ],
)
def test_what_is_wrong_in_a_route_is_named_with_its_place(
    config: Path, responder: Responder, wrong: str, says: str
) -> None:
    config.write_text(CONFIG + f'  - {{ slack: "#x", {wrong} }}\n')
    result = responder("routes", "--config.file", str(config))
    assert result.exception is not None
    assert says in str(result.exception)
    assert f"{config.name}:13" in str(result.exception)


@pytest.mark.parametrize(
    ("digest", "shown"), [("off", ""), ("{ after: 9, within: 1m }", "beyond 9 incidents within 1m")]
)
def test_a_storm_can_be_set_or_switched_off(config: Path, responder: Responder, digest: str, shown: str) -> None:
    config.write_text(f"{CONFIG}digest: {digest}\n")
    said = responder("routes", "--config.file", str(config)).stdout
    assert (shown in said) if shown else ("digest" not in said)
