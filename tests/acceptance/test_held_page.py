"""A page that is held back while a fix waits, from outside: two replicas, one killed, and PagerDuty called once."""

import asyncio
import contextlib
from datetime import timedelta

from tests.act_bed import playbook_text
from tests.bed.alerts import alert, webhook
from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import Responder, config, responder

HALF_A_MINUTE = timedelta(seconds=30)
AFTER = 5.0
SOME_LOOKS = 3.0
"""Seconds in which every replica looks at the held pages a few times."""


def _settings(store: str, target: TargetProcess, pagerduty: PagerDutyPeer) -> JsonObject:
    services = {"payments": {"routing_key": ROUTING_KEY}}
    return config(
        store,
        target.url,
        notify={"console": True, "pagerduty": {"services": services, "api_url": pagerduty.url}},
        page={"pagerduty": "payments", "after": f"{AFTER:.0f}s"},
    )


async def _run(of: Responder, state: str) -> str:
    async def look() -> str:
        rows = await asyncio.to_thread(of.items, "runs")
        return next((str(row["id"]) for row in rows if row["state"] == state), "")

    return await eventually(look, HALF_A_MINUTE)


async def test_a_fix_that_nobody_approves_in_time_pages_once_and_its_page_is_taken_back_when_it_helped(
    postgres_url: str, target_process: TargetProcess, pagerduty: PagerDutyPeer
) -> None:
    await asyncio.to_thread(target_process._send, "PUT", "/admin/workers", {"workers": 4})
    settings = _settings(postgres_url, target_process, pagerduty)
    playbooks = {"fix.yaml": playbook_text(mode="approve")}
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(responder(playbooks, settings, name)) for name in ("one", "two"))
        await asyncio.to_thread(one.start)
        await asyncio.to_thread(two.start)
        await asyncio.to_thread(one.deliver, webhook([alert(alertname="Overloaded", severity="critical")]))
        run = await _run(one, "awaiting_approval")
        assert pagerduty.events == []
        one.kill()
        await asyncio.to_thread(one.start)

        (call,) = await eventually(lambda: list(pagerduty.events), HALF_A_MINUTE)
        assert call["event_action"] == "trigger"
        assert f"responder approve {run}" in call["payload"]["summary"]
        await asyncio.sleep(SOME_LOOKS)
        assert len(pagerduty.events) == 1

        done = await asyncio.to_thread(two.cli, "approve", run)
        assert done.returncode == 0, done.stderr
        await _run(two, "verified")
        await eventually(lambda: pagerduty.open() == [], HALF_A_MINUTE)
        assert [event["event_action"] for event in pagerduty.events] == ["trigger", "resolve"]


async def test_whoever_answers_is_not_called(
    postgres_url: str, target_process: TargetProcess, pagerduty: PagerDutyPeer
) -> None:
    settings = _settings(postgres_url, target_process, pagerduty)
    with responder({"fix.yaml": playbook_text(mode="approve")}, settings) as running:
        await asyncio.to_thread(running.start)
        await asyncio.to_thread(running.deliver, webhook([alert(alertname="Overloaded", severity="critical")]))
        await _run(running, "awaiting_approval")
        (incident,) = await asyncio.to_thread(running.items, "incidents")
        done = await asyncio.to_thread(running.cli, "ack", str(incident["id"]))
        assert done.returncode == 0, done.stderr
        await asyncio.sleep(AFTER + SOME_LOOKS)
        assert pagerduty.events == []
