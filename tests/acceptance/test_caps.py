"""Limits that playbooks share, from outside: as they stand in the configuration and in other playbooks."""

import asyncio
from datetime import timedelta

import pytest

from tests.act_bed import playbook_text
from tests.bed.alerts import alert, webhook
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import Responder, config, responder

HALF_A_MINUTE = timedelta(seconds=30)
FIRST = playbook_text()
POLICY = {"policies": [{"matchers": ['team="shop"'], "limits": {"rate": "1 per 1h"}}]}
RADIUS = "limits:\n  blast_radius:\n    share: 20%\n    of: owner"


def second(limits: str = "") -> str:
    """Return another playbook for another alert, beside the first one's target."""
    text = playbook_text(limits=limits, verify="equals: 8").replace("add-workers", "more").replace("Overloaded", "Slow")
    return text.replace("target: http/checkout/workers", "target: http/checkout/cache").replace(
        "/admin/workers", "/admin/cache"
    )


async def _verdict(of: Responder, playbook: str, *, after: str) -> JsonObject:
    async def look() -> JsonObject | None:
        rows = [*await asyncio.to_thread(of.items, "decisions"), *await asyncio.to_thread(of.items, "runs")]
        return next((row for row in rows if row["playbook"] == playbook and row["verdict"] == after), None)

    found = await eventually(look, HALF_A_MINUTE)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("settings", "limits", "word", "said"),
    [(POLICY, "", "policy_rate", 'the policy for team="shop"'), ({}, RADIUS, "blast_radius", "below http/checkout")],
)
async def test_what_one_playbook_did_is_counted_when_another_one_wants_to_act(
    target_process: TargetProcess, settings: JsonObject, limits: str, word: str, said: str
) -> None:
    for item in ("workers", "cache"):
        await asyncio.to_thread(target_process._send, "PUT", f"/admin/{item}", {"workers": 4})
    playbooks = {"first.yaml": FIRST, "second.yaml": second(limits)}
    with responder(playbooks, config("sqlite:///responder.db", target_process.url, **settings)) as running:
        await asyncio.to_thread(running.start)
        await asyncio.to_thread(running.deliver, webhook([alert(alertname="Overloaded", team="shop")]))
        await _verdict(running, "add-workers", after="verified")
        await asyncio.to_thread(running.deliver, webhook([alert(alertname="Slow", team="shop")]))
        refused = await _verdict(running, "more", after=word)
        if "reason" in refused:
            assert said in str(refused["reason"])
    assert target_process.resource("cache") == {"workers": 4}
