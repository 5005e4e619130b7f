"""Facts: logged and counted together, and no secret in any line."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

import responder
from responder.domain.errors import SettingsError
from responder.telemetry import FACTS, Metrics, Redactor, Telemetry, configure_logging

SECRET = 'pa"ss w0rd/ünïcode'


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def samples(telemetry: Telemetry) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(telemetry.metrics.render()[0].decode())
    return {
        (one.name, tuple(one.labels.values())): one.value
        for family in families
        for one in family.samples
        if one.name.startswith("responder_")
    }


def test_what_a_store_that_is_down_makes_fail_is_logged_at_first_and_then_once_a_minute() -> None:
    now = [100.0]
    out, telemetry = io.StringIO(), Telemetry(Metrics(), monotonic=lambda: now[0])
    configure_logging("info", "json", Redactor(), out)
    for _ in range(50):
        telemetry.fact("worker_waits", queue="runs", error="down", failures=1)
        telemetry.fact("worker_waits", queue="outbox", error="down", failures=1)
        telemetry.fact("chore_failed", chore="seal", error="down")
        now[0] += 1.0
    assert len(out.getvalue().splitlines()) == 3
    now[0] += 10.0
    telemetry.fact("worker_waits", queue="runs", error="down", failures=51)
    assert len(out.getvalue().splitlines()) == 4
    assert samples(telemetry)["responder_problems_total", ("worker_waits",)] == 101


def test_a_fact_is_logged_and_counted_at_once() -> None:
    out, telemetry = io.StringIO(), Telemetry(Metrics())
    configure_logging("info", "json", Redactor(), out)
    telemetry.fact("decision", verdict="cooldown", playbook="p", episode="e", target="t", reason="r")
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["verdict"]) == ("decision", "info", "cooldown")
    assert line["ts"].endswith("Z")
    assert samples(telemetry)["responder_decisions_total", ("cooldown",)] == 1


def test_warnings_are_counted_by_name() -> None:
    out, telemetry = io.StringIO(), Telemetry(Metrics())
    configure_logging("error", "logfmt", Redactor(), out)
    telemetry.fact("turn_lost", run="r", error="e")
    telemetry.fact("turn_crashed", run="r", error="x y")
    assert 'level=error event=turn_crashed run=r error="x y"' in out.getvalue()
    assert "turn_lost" not in out.getvalue()
    found = samples(telemetry)
    assert found["responder_problems_total", ("turn_lost",)] == 1
    assert found["responder_problems_total", ("turn_crashed",)] == 1


@pytest.mark.promise(19)
@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_no_secret_is_logged_in_any_field_form_or_traceback(log_format: str) -> None:
    out, redactor = io.StringIO(), Redactor()
    configure_logging("debug", log_format, redactor, out)
    redactor.learn([SECRET, "plain-secret"])
    telemetry = Telemetry(Metrics())
    telemetry.fact("turn_failed", error=f"GET http://u:{SECRET}@host failed", nested={"a": [SECRET, "plain-secret"]})
    try:
        int(SECRET)
    except ValueError:
        logging.getLogger("some.library").exception("with %s", "plain-secret")
    text = out.getvalue()
    assert text.count("\n") == 2
    assert "plain-secret" not in text
    assert "w0rd" not in text


def test_a_reload_that_fails_keeps_the_old_hash_and_is_an_error() -> None:
    telemetry = Telemetry(Metrics())
    telemetry.fact("reload", ok=True, digest="0123456789abcdef")
    good = samples(telemetry)["responder_config_hash", ()]
    telemetry.fact("reload", ok=False, error="x")
    found = samples(telemetry)
    assert found["responder_config_last_reload_successful", ()] == 0
    assert found["responder_config_hash", ()] == good == 0x0123456789AB
    assert found["responder_problems_total", ("reload",)] == 1


def test_a_mended_playbook_no_longer_has_errors() -> None:
    telemetry = Telemetry(Metrics())
    telemetry.fact("playbooks", loaded=2, stale=1, errors={"a.yaml": 3})
    assert samples(telemetry)["responder_playbook_load_errors", ("a.yaml",)] == 3
    telemetry.fact("playbooks", loaded=3, stale=0, errors={})
    assert ("responder_playbook_load_errors", ("a.yaml",)) not in samples(telemetry)


def test_messages_are_counted_by_kind_and_never_by_channel() -> None:
    telemetry = Telemetry(Metrics())
    telemetry.fact("told", destination="slack:#oncall", incident="i", revision=1, seconds=0.2)
    telemetry.fact("tell_later", destination="slack:#oncall", incident="i", seconds=1.0, failed=False, error="")
    assert samples(telemetry)["responder_notifications_total", ("slack", "delivered")] == 1
    assert samples(telemetry)["responder_notifications_total", ("slack", "paced")] == 1


@pytest.mark.parametrize("name", sorted(FACTS))
def test_no_fact_raises_for_what_it_lacks_or_holds(name: str) -> None:
    telemetry = Telemetry(Metrics())
    telemetry.fact(name)
    telemetry.fact(name, digest="not hexadecimal", seconds="soon", errors=3, event="x", ok=True, count=-1)


def test_an_unknown_fact_is_logged_too() -> None:
    out = io.StringIO()
    configure_logging("info", "json", Redactor(), out)
    Telemetry(Metrics()).fact("something_new", a=1)
    assert json.loads(out.getvalue())["event"] == "something_new"


def test_every_fact_that_the_program_emits_is_in_the_table() -> None:
    emitted = set()
    for path in Path(responder.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                first = node.args[0] if node.args else None
                if called in ("on_fact", "_on_fact") and isinstance(first, ast.Constant):
                    emitted.add(first.value)
    assert emitted - set(FACTS) == set()


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ({"a": {"b": [1, "x plain-secret y"]}}, True),
        ({"plain-secret": 1}, True),
        ("abc", True),
        ("xabcx", False),
        (12345678, True),
        (True, False),
        (None, False),
        ({"a": ["harmless"]}, False),
    ],
)
def test_an_image_that_holds_a_secret_is_recognised(value: object, held: bool) -> None:  # noqa: FBT001 - a table's column
    redactor = Redactor(["plain-secret", "abc", "12345678"])
    assert redactor.holds_secret(value) is held  # type: ignore[arg-type] # every row is JSON


@pytest.mark.parametrize(("errors", "level"), [({}, "info"), ({"a.yaml": 2}, "warning")])
def test_playbooks_with_errors_are_told_as_a_warning(errors: dict[str, int], level: str) -> None:
    out = io.StringIO()
    configure_logging("info", "json", Redactor(), out)
    Telemetry(Metrics()).fact("playbooks", loaded=1, stale=0, errors=errors)
    assert json.loads(out.getvalue())["level"] == level


@pytest.mark.parametrize(("severity", "level"), [("warning", "warning"), ("error", "error")])
def test_a_complaint_is_as_loud_as_it_says(severity: str, level: str) -> None:
    out = io.StringIO()
    configure_logging("info", "json", Redactor(), out)
    Telemetry(Metrics()).fact("complaint", text=f"a.yaml:1:1: {severity}: x", severity=severity)
    assert json.loads(out.getvalue())["level"] == level


def test_a_wrong_level_says_which_there_are() -> None:
    with pytest.raises(SettingsError, match=r"--log\.level: 'verbose' is not one of debug, info, warn, error"):
        configure_logging("verbose", "json", Redactor())
    with pytest.raises(SettingsError, match=r"--log\.format: 'xml' is not one of json, logfmt"):
        configure_logging("info", "xml", Redactor())
