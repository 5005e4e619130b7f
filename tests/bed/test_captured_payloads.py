"""Every captured notification is rebuilt from its alerts alone: the builders write as Alertmanager does."""

import json
from pathlib import Path

import pytest

from tests.bed.alerts import alert, webhook
from tests.bed.web import JsonObject

PAYLOADS = Path(__file__).parents[1] / "payloads"


def captured(version: str) -> list[Path]:
    """Return the notifications; the other files are headers and custom bodies."""
    found = [path for path in sorted(PAYLOADS.glob(f"{version}_*.json")) if "alerts" in json.loads(path.read_text())]
    assert len(found) > 10
    return found


def label(path: Path) -> str:
    return path.stem


def rebuilt(one: JsonObject) -> JsonObject:
    """Build an alert again; instants keep the captured digits, which are finer than ours."""
    defaults_gone = {"alertname": "", "severity": ""}
    built = alert(
        {**defaults_gone, **one["labels"]},
        status=one["status"],
        annotations=one["annotations"],
        generator_url=one["generatorURL"],
    )
    return built | {"startsAt": one["startsAt"], "endsAt": one["endsAt"]}


@pytest.mark.parametrize("path", captured("0.33.1"), ids=label)
def test_a_notification_rebuilt_from_its_alerts_is_the_captured_one(path: Path) -> None:
    body: JsonObject = json.loads(path.read_text())
    ours = webhook(
        [rebuilt(one) for one in reversed(body["alerts"])],
        receiver=body["receiver"],
        group_by=tuple(body["groupLabels"]),
        group_key=body["groupKey"],
        external_url=body["externalURL"],
        notification_reason=body["notification_reason"],
        truncatedAlerts=body["truncatedAlerts"],
    )
    assert ours == body
    assert list(ours) == list(body)


@pytest.mark.parametrize("path", captured("0.25.0"), ids=label)
def test_fingerprints_are_those_of_an_older_version_too(path: Path) -> None:
    for one in json.loads(path.read_text())["alerts"]:
        assert rebuilt(one)["fingerprint"] == one["fingerprint"]


def test_alerts_come_in_alertmanagers_order() -> None:
    placed = [alert(job="a", instance="2"), alert(job="b", instance="1"), alert(job="b")]
    unplaced = [alert(), alert(pod="a"), alert(pod="b"), alert(node="a"), alert(node="a", pod="a")]
    assert webhook(reversed([*placed, *unplaced]))["alerts"] == [*placed, *unplaced]
