"""A click that was answered is in the store: whatever happens to the process in the next moment."""

import asyncio
from datetime import timedelta

from tests.act_bed import playbook_text
from tests.bed.alerts import alert, webhook
from tests.bed.slack_clicks import ClickingSlack
from tests.bed.slack_peer import Message
from tests.bed.slack_peer import slack as serve_slack
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import Rate
from tests.process_bed import TOKEN, Responder, config, responder

HALF_A_MINUTE = timedelta(seconds=30)


async def _message(peer: ClickingSlack, label: str) -> Message:
    def look() -> Message | None:
        return next((one for one in peer.in_channel("#alerts") if label in peer.buttons(one)), None)

    found = await eventually(look, HALF_A_MINUTE)
    assert found is not None
    return found


async def _answered(peer: ClickingSlack, running: Responder, message: Message) -> tuple[str, bytes, dict[str, str]]:
    """Press until Slack is told that it arrived, as a person does who sees its warning; returns that request."""
    for _ in range(10):
        request = peer.request(peer.pressing(message, "Approve"))
        heard = await peer.call(running.url, *request)
        if heard.status == 200:
            return request
        assert heard.status == 503, heard
    raise AssertionError("never taken up")


async def _run(of: Responder, state: str) -> str:
    async def look() -> str:
        rows = await asyncio.to_thread(of.items, "runs")
        return next((str(row["id"]) for row in rows if row["state"] == state), "")

    return await eventually(look, HALF_A_MINUTE)


async def test_a_click_that_was_answered_survives_a_kill(target_process: TargetProcess) -> None:
    await asyncio.to_thread(target_process._send, "PUT", "/admin/workers", {"workers": 4})
    async with serve_slack(ClickingSlack(posts=Rate(None, 1.0), patience=25.0)) as peer:
        assert isinstance(peer, ClickingSlack)
        settings = config(
            "sqlite:///responder.db",
            target_process.url,
            access={
                "tokens": [{"name": "oncall", "role": "admin", "token": TOKEN}],
                "slack": {"U0ANA": {"name": "ana", "role": "operator"}},
            },
            notify={
                "slack": {"token": peer.token, "signing_secret": peer.signing_secret, "api_url": peer.api_url},
            },
            page={"slack": "#oncall"},
            routes=[{"slack": "#alerts"}],
        )
        with responder({"fix.yaml": playbook_text(mode="approve")}, settings) as running:
            await asyncio.to_thread(running.start)
            await asyncio.to_thread(running.deliver, webhook([alert(alertname="Overloaded", severity="critical")]))
            message = await _message(peer, "Approve")
            request = await _answered(peer, running, message)
            running.kill()
            await asyncio.to_thread(running.start)
            assert (await peer.call(running.url, *request)).status == 409, "what was seen is known after a restart"
            run = await _run(running, "verified")
            (asked,) = await asyncio.to_thread(running.items, f"approvals?run={run}")
            assert asked["decided_by"] == "ana"
