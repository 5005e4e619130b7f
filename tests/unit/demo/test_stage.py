"""What the demonstration sets up: a configuration and playbooks without a fault, webhooks like the real ones."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from responder.app import catalogue, names_of
from responder.demo.alerts import DemoAlert, webhook
from responder.demo.backstage import write_folder
from responder.demo.screen import Screen, gauge
from responder.demo.story import ACTS, ENDS
from responder.domain.runs import FINAL
from responder.playbook.library import load_library
from responder.settings import cross_check, load_settings

PAYLOADS = Path(__file__).parents[2] / "payloads"
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ALERT = DemoAlert("CheckoutErrors", "warning", "errors", "up", NOON)


def test_the_configuration_and_the_playbooks_are_without_a_fault(tmp_path: Path) -> None:
    write_folder(tmp_path, "http://127.0.0.1:8081")
    settings = load_settings(tmp_path / "responder.yml", {})
    library = load_library(settings.playbooks, catalogue(), names_of(settings), {})
    assert library.complaints == {}
    assert cross_check(settings, {name: one.mode for name, one in library.playbooks.items()}) == ()


def test_each_act_is_for_one_playbook_that_matches_its_alert(tmp_path: Path) -> None:
    write_folder(tmp_path, "http://127.0.0.1:8081")
    library = load_library([tmp_path / "playbooks"], catalogue(), None, {})
    for act in ACTS:
        labels = DemoAlert(act.alertname, act.severity, act.summary, "up", NOON).labels
        assert [playbook.name for playbook in library.candidates(labels)] == [act.playbook]


def test_tokens_are_for_their_owner_alone_and_never_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path, "http://127.0.0.1:8081")
    tokens = [tmp_path / "alertmanager.token", tmp_path / "you.token"]
    assert [file.stat().st_mode & 0o077 for file in tokens] == [0, 0]
    assert len({file.read_text() for file in tokens}) == 2


def test_webhooks_have_the_shape_of_captured_ones() -> None:
    captured = json.loads((PAYLOADS / "0.33.1_firing_single.json").read_text())
    ours = webhook(ALERT, "firing")
    assert set(ours) == set(captured)
    [alert] = json.loads(json.dumps(ours))["alerts"]
    assert set(alert) == set(captured["alerts"][0])
    assert alert["endsAt"] == captured["alerts"][0]["endsAt"]


def test_links_to_the_graph_hold_the_expression_that_a_rule_would_have() -> None:
    for act in ACTS:
        alert = DemoAlert(act.alertname, act.severity, act.summary, act.expression, NOON)
        [sent] = json.loads(json.dumps(webhook(alert, "firing")))["alerts"]
        asked = parse_qs(urlsplit(sent["generatorURL"]).query)["g0.expr"]
        assert asked == [act.expression]
        assert act.playbook not in act.expression


def test_a_resolved_webhook_keeps_the_identity_of_its_alert() -> None:
    [firing] = json.loads(json.dumps(webhook(ALERT, "firing")))["alerts"]
    [resolved] = json.loads(json.dumps(webhook(ALERT, "resolved", NOON)))["alerts"]
    assert resolved["status"] == "resolved"
    assert resolved["fingerprint"] == firing["fingerprint"]
    assert resolved["startsAt"] == firing["startsAt"] == "2026-01-05T12:00:00.000Z"


def test_the_ends_that_the_story_waits_for_are_all_there_are() -> None:
    assert {state.value for state in FINAL} == ENDS


class Tty(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_lines_and_no_moving_one() -> None:
    pipe = io.StringIO()
    screen = Screen(pipe, {})
    screen.title("one")
    screen.status(gauge(0.5, 4, 64))
    screen.line("kept", "green")
    assert "\033" not in pipe.getvalue()
    assert "of requests fail" not in pipe.getvalue()
    assert pipe.getvalue().endswith("kept\n")


def test_no_color_is_respected_on_a_terminal() -> None:
    terminal = Tty()
    Screen(terminal, {"NO_COLOR": "1", "TERM": "xterm"}).line("kept", "green")
    assert terminal.getvalue() == "kept\n"


def test_a_terminal_has_colours_and_a_line_that_follows_the_service() -> None:
    terminal = Tty()
    screen = Screen(terminal, {"TERM": "xterm"})
    screen.status(gauge(0.5, 4, 64))
    screen.line("kept", "green")
    assert "\033[32mkept\033[0m\n" in terminal.getvalue()
    assert terminal.getvalue().count("50% of requests fail") == 2


@pytest.mark.parametrize(("rate", "bar"), [(0.0, "·" * 20), (0.5, "█" * 10 + "·" * 10), (1.0, "█" * 20)])
def test_the_gauge_is_as_full_as_requests_fail(rate: float, bar: str) -> None:
    assert bar in gauge(rate, 4, 64)


def test_what_the_channel_says_waits_while_a_command_has_the_word() -> None:
    pipe = io.StringIO()
    screen = Screen(pipe, {})
    with screen.uninterrupted():
        screen.aside("message")
        screen.line("output of the command")
    screen.aside("next")
    assert pipe.getvalue() == "output of the command\n  ▏ message\n  ▏ next\n"
