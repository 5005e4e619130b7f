"""A process that acts and one that tells, over one PostgreSQL: each leaves to the other what is not its own."""

import asyncio
import contextlib
from datetime import timedelta

from tests.act_bed import playbook_text
from tests.bed.alerts import alert, webhook
from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.process_bed import Responder, config, responder

HALF_A_MINUTE = timedelta(seconds=30)
SOME_TURNS = 2.0
"""Seconds in which every worker takes a few turns."""


async def _verified(of: Responder) -> bool:
    return any(row["state"] == "verified" for row in await asyncio.to_thread(of.items, "runs"))


async def test_who_acts_leaves_telling_to_who_tells_and_the_other_way_round(
    postgres_url: str, target_process: TargetProcess, pagerduty: PagerDutyPeer
) -> None:
    await asyncio.to_thread(target_process._send, "PUT", "/admin/workers", {"workers": 4})
    services = {"payments": {"routing_key": ROUTING_KEY}}
    settings = config(
        postgres_url,
        target_process.url,
        notify={"pagerduty": {"services": services, "api_url": pagerduty.url}},
        page={"pagerduty": "payments"},
        routes=[{"pagerduty": "payments", "incidents": "all"}],
    )
    with contextlib.ExitStack() as stack:
        acting, telling = (
            stack.enter_context(responder({"fix.yaml": playbook_text()}, settings, name)) for name in ("act", "tell")
        )
        acting.command = (*acting.command, "--role", "act")
        telling.command = (*telling.command, "--role", "tell")

        # Whoever tells takes alerts, and leaves them to who acts.
        await asyncio.to_thread(telling.start)
        await asyncio.to_thread(telling.deliver, webhook([alert(alertname="Overloaded", severity="critical")]))
        await asyncio.sleep(SOME_TURNS)
        assert await asyncio.to_thread(telling.items, "decisions") == []
        assert (await asyncio.to_thread(telling.get, "status"))["role"] == "tell"

        # Whoever acts fixes it, and leaves the message to who tells.
        await asyncio.to_thread(telling.stop)
        await asyncio.to_thread(acting.start)
        await eventually(lambda: _verified(acting), HALF_A_MINUTE)
        await asyncio.sleep(SOME_TURNS)
        assert pagerduty.changes == []
        assert await asyncio.to_thread(acting.items, "outbox?state=waiting") != []

        await asyncio.to_thread(telling.start)
        await eventually(lambda: pagerduty.changes, HALF_A_MINUTE)
