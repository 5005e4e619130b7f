"""The builder writes what Alertmanager 0.33 writes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bed.alerts import alert, instant, resolved, webhook
from tests.bed.web import JsonObject

PAYLOADS = Path(__file__).parents[1] / "payloads"


def captured(name: str) -> JsonObject:
    body: JsonObject = json.loads((PAYLOADS / f"0.33.1_{name}.json").read_text())
    return body


def rebuilt(body: JsonObject) -> JsonObject:
    """Build a captured body again from what it is about."""
    alerts = [
        alert(
            one["labels"],
            status=one["status"],
            annotations=one["annotations"],
            starts_at=datetime.fromisoformat(one["startsAt"]),
            ends_at=None if one["endsAt"].startswith("0001") else datetime.fromisoformat(one["endsAt"]),
            generator_url=one["generatorURL"],
        )
        for one in body["alerts"]
    ]
    return webhook(
        alerts,
        receiver=body["receiver"],
        group_by=list(body["groupLabels"]),
        group_key=body["groupKey"],
        external_url=body["externalURL"],
        notification_reason=body["notification_reason"],
    )


@pytest.mark.parametrize(
    "name", ["firing_single", "resolved_single", "grouped_firing", "grouped_partial_resolved", "grouped_all_resolved"]
)
def test_a_captured_body_is_built_again(name: str) -> None:
    assert rebuilt(captured(name)) == captured(name)


def test_cutting_the_list_hides_what_still_fires() -> None:
    ended = [resolved(alert(instance=name)) for name in ("a", "b")]
    body = webhook([*ended, alert(instance="c")], max_alerts=2)
    assert (body["status"], body["truncatedAlerts"], len(body["alerts"])) == ("resolved", 1, 2)


def test_the_group_key_names_the_group() -> None:
    body = webhook([alert(cluster="eu")], group_by=["cluster", "alertname"])
    assert body["groupKey"] == '{}:{alertname="HighLatency", cluster="eu"}'


@pytest.mark.parametrize(
    ("microsecond", "text"), [(0, "10:00:00Z"), (120_000, "10:00:00.12Z"), (1, "10:00:00.000001Z")]
)
def test_instants_have_no_trailing_zeros(microsecond: int, text: str) -> None:
    assert instant(datetime(2026, 1, 5, 10, 0, 0, microsecond, UTC)) == f"2026-01-05T{text}"
