"""The files in alertmanager/: Prometheus and Alertmanager take them, and they fit the playbooks and the metrics."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from responder.app import catalogue
from responder.playbook.library import load_library
from responder.telemetry import Metrics
from tests.alerting_files import ALERTMANAGER, FOLDER, PROMETHEUS, read, rule_files, rules
from tests.bed.processes import program
from tests.bed.servers import missing
from tests.bed.web import JsonObject

ROOT = FOLDER.parent
TESTS = sorted(FOLDER.glob("rules/*.test.yml"))
ALERTS = [rule for rule in rules() if "alert" in rule]
PLAYBOOKS = load_library([ROOT / "playbooks"], catalogue(), None, {})


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool that comes with the servers; its output is what a failing test shows."""
    found = program(tool, "usr/bin", "usr/local/bin", "opt/*")
    if found is None:
        missing(tool)
    argv = [str(found), *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.server
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("amtool", ["check-config", ALERTMANAGER]),
        ("promtool", ["check", "config", PROMETHEUS]),
        ("promtool", ["check", "rules", *rule_files()]),
        ("promtool", ["test", "rules", *TESTS]),
    ],
    ids=["alertmanager.yml", "prometheus.yml", "rules", "tests of rules"],
)
def test_the_servers_own_tools_find_nothing_wrong(tool: str, arguments: list[str | Path]) -> None:
    done = run(tool, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.server
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=QueueBacklogGrowing", "responder,people"),
        ("alertname=NobodyHasAPlaybookForThis", "responder,people"),
        ("alertname=ResponderDown", "people"),
        ("alertname=Watchdog", "deadman"),
    ],
)
def test_an_alert_goes_where_it_should(labels: str, receivers: str) -> None:
    route = ["config", "routes", "test", f"--config.file={ALERTMANAGER}", f"--verify.receivers={receivers}"]
    done = run("amtool", *route, labels)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_of_rules_is_used_and_has_its_tests() -> None:
    there = {path.name for path in FOLDER.glob("rules/*.yml")} - {path.name for path in TESTS}
    assert {path.name for path in rule_files()} == there
    assert {path.name.replace(".test.", ".") for path in TESTS} == there


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule: JsonObject) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "none"}
    texts = rule["annotations"]
    assert set(texts) == {"summary", "description", "runbook_url"}
    assert all(text.strip() for text in texts.values())
    assert texts["runbook_url"].startswith("https://")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_a_test_shows_an_alert_firing_and_another_shows_it_silent(rule: JsonObject) -> None:
    expected = [
        (bool(found), {one["exp_labels"]["severity"] for one in found})
        for path in TESTS
        for test in read(path)["tests"]
        for one_test in test["alert_rule_test"]
        if one_test["alertname"] == rule["alert"]
        for found in [one_test["exp_alerts"]]
    ]
    assert any(rule["labels"]["severity"] in severities for _, severities in expected)
    if rule["labels"]["severity"] != "none":  # the Watchdog is never silent
        assert any(not fires for fires, _ in expected)


def alert_labels(rule: JsonObject) -> Iterator[dict[str, str]]:
    """Go through label sets of the alerts that a rule can make, as its tests expect them."""
    for path in TESTS:
        for test in read(path)["tests"]:
            for one in test["alert_rule_test"]:
                if one["alertname"] == rule["alert"]:
                    yield from ({"alertname": rule["alert"], **alert["exp_labels"]} for alert in one["exp_alerts"])


def test_every_playbook_that_ships_is_well() -> None:
    assert sorted(PLAYBOOKS.playbooks) == sorted(path.stem for path in (ROOT / "playbooks").glob("*.yaml"))
    assert not PLAYBOOKS.errors


@pytest.mark.parametrize("name", sorted(PLAYBOOKS.playbooks))
def test_a_playbook_that_ships_answers_an_alert_that_a_rule_makes(name: str) -> None:
    answered = {one.name for rule in ALERTS for labels in alert_labels(rule) for one in PLAYBOOKS.candidates(labels)}
    assert name in answered


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_about_the_shop_has_a_playbook_and_one_about_the_responder_has_none(rule: JsonObject) -> None:
    answered = any(PLAYBOOKS.candidates(labels) for labels in alert_labels(rule))
    assert answered == (not re.match("Responder|Watchdog", rule["alert"]))


def test_every_metric_that_a_rule_asks_the_responder_for_is_one_that_it_has() -> None:
    metrics = Metrics()
    families = list(metrics.registry.collect())
    known = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    labels = {one._name: set(one._labelnames) for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    asked: set[str] = set()
    for rule in ALERTS:
        for name, selector in re.findall(r"\b(responder_[a-z_]+)(?:\{([^}]*)\})?", rule["expr"]):
            asked.add(name)
            assert name in known, f"{rule['alert']}: {name}"
            wanted = set(re.findall(r"(\w+)\s*[!=]", selector))
            assert wanted <= labels[name.removesuffix("_total")], f"{rule['alert']}: {name}{{{selector}}}"
    assert len(asked) > 5


def test_an_alert_about_the_responder_leads_to_its_paragraph() -> None:
    page = (ROOT / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")
    headings = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("### ")}
    for rule in ALERTS:
        if rule["alert"].startswith("Responder"):
            base, _, anchor = rule["annotations"]["runbook_url"].partition("#")
            assert base == "https://docs.example/operate"
            assert anchor == rule["alert"].lower()
            assert anchor in headings


def test_two_repeats_fit_into_the_age_up_to_which_evidence_counts() -> None:
    (route,) = [one for one in read(ALERTMANAGER)["route"]["routes"] if one["receiver"] == "responder"]
    minutes = int(route["repeat_interval"].removesuffix("m"))
    oldest = min(playbook.limits.max_age for playbook in PLAYBOOKS.playbooks.values())
    assert 2 * minutes * 60 < oldest.total_seconds()
