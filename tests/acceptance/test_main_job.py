"""The main job, all of it real: Prometheus fires, Alertmanager posts, a service is changed, checked, kept or undone."""

import asyncio
from datetime import timedelta

import pytest

from tests.act_bed import playbook_text
from tests.bed import ledger
from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.servers import Alertmanager, Prometheus, alertmanager_config
from tests.bed.slack_peer import SlackPeer
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

MINUTE = timedelta(seconds=60)
RULE: JsonObject = {
    "alert": "Overloaded",
    "expr": "demo_load > 10",
    "labels": {"severity": "critical", "team": "payments"},
    "annotations": {"summary": "the checkout is overloaded"},
}
VERIFY = """
verify:
  - name: load
    query: demo_load
    below: 10
    within: 20s
docs:
  by_hand: add workers
"""


def _playbook(within: str) -> str:
    text = playbook_text()
    return text[: text.index("verify:")] + VERIFY.strip().replace("20s", within) + "\n"


@pytest.fixture
def settings(
    postgres_url: str,
    redis_url: str,
    slack: SlackPeer,
    pagerduty: PagerDutyPeer,
    prometheus: Prometheus,
    target_process: TargetProcess,
) -> JsonObject:
    made = config(
        postgres_url,
        target_process.url,
        redis={"url": redis_url},
        prometheus={"default": {"url": prometheus.url}},
        notify={
            "slack": {"token": slack.token, "signing_secret": "s", "api_url": slack.api_url},
            "pagerduty": {"services": {"payments": {"routing_key": ROUTING_KEY}}, "api_url": pagerduty.url},
        },
        page={"pagerduty": "payments"},
        routes=[{"slack": "#oncall"}],
    )
    return made


async def _begin(
    running: Responder, alertmanager: Alertmanager, prometheus: Prometheus, target: TargetProcess
) -> None:
    await asyncio.to_thread(running.start)
    alertmanager.configure(alertmanager_config(f"{running.url}/webhook/alertmanager", token=WEBHOOK_TOKEN))
    target.settings()
    await asyncio.to_thread(target.metric, "demo_load", 50.0)
    prometheus.configure([target.url.removeprefix("http://")], [RULE], alertmanager=alertmanager.url)


async def _finished(running: Responder, state: str) -> JsonObject:
    async def look() -> JsonObject | None:
        rows = await asyncio.to_thread(running.items, "runs")
        return next((row for row in rows if row["state"] == state), None)

    found = await eventually(look, MINUTE)
    assert found is not None
    return found


async def test_firing_changed_verified_resolved_and_told_in_one_message(
    settings: JsonObject,
    slack: SlackPeer,
    pagerduty: PagerDutyPeer,
    alertmanager: Alertmanager,
    prometheus: Prometheus,
    target_process: TargetProcess,
) -> None:
    with responder({"fix.yaml": _playbook("30s")}, settings) as running:
        await _begin(running, alertmanager, prometheus, target_process)
        await eventually(lambda: ledger.effects(target_process.entries(), "workers"), MINUTE)
        await asyncio.to_thread(target_process.metric, "demo_load", 1.0)  # the change helps
        run = await _finished(running, "verified")
        assert run["target"] == "http/checkout/workers"
        await eventually(lambda: any("Resolved" in str(m.text) for m in slack.in_channel("#oncall")), MINUTE)
        tops = [message for message in slack.in_channel("#oncall") if not message.thread_ts]
        assert len(tops) == 1
        assert pagerduty.events == []
        assert len(ledger.effects(target_process.entries(), "workers")) == 1


async def test_a_change_that_does_not_help_is_undone_and_a_person_is_paged_once(
    settings: JsonObject,
    slack: SlackPeer,
    pagerduty: PagerDutyPeer,
    alertmanager: Alertmanager,
    prometheus: Prometheus,
    target_process: TargetProcess,
) -> None:
    with responder({"fix.yaml": _playbook("3s")}, settings) as running:
        await _begin(running, alertmanager, prometheus, target_process)
        before = await asyncio.to_thread(target_process.resource, "workers")
        await _finished(running, "rolled_back")
        assert (await asyncio.to_thread(target_process.resource, "workers"))["workers"] == before["workers"]
        await eventually(lambda: pagerduty.events, MINUTE)
        assert [event["event_action"] for event in pagerduty.events] == ["trigger"]
        tops = [message for message in slack.in_channel("#oncall") if not message.thread_ts]
        assert len(tops) == 1
        assert "needs you" in str(tops[0].text).lower()
