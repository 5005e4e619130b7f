"""Two replicas, each a process: one channel hears from both at its pace, and of each incident once."""

import asyncio
import re
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta

from responder.notifiers.slack import INCIDENT_EVENT
from tests.bed.alerts import alert, webhook
from tests.bed.slack_peer import SlackPeer
from tests.bed.waiting import eventually
from tests.process_bed import Responder, config, responder

INCIDENTS = 3
HALF_A_MINUTE = timedelta(seconds=30)
_DELIVERED = re.compile(r'^responder_notifications_total\{[^}]*result="delivered"[^}]*\} (\S+)$', re.MULTILINE)


def _told_by(one: Responder) -> float:
    return sum(map(float, _DELIVERED.findall(one.call("GET", "/metrics")[1])))


async def test_two_processes_keep_to_one_pace_and_post_nothing_twice(
    postgres_url: str, redis_url: str, slack: SlackPeer
) -> None:
    settings = config(
        postgres_url, "http://127.0.0.1:9",
        redis={"url": redis_url},
        digest="off",
        notify={"console": True, "slack": {"token": slack.token, "api_url": slack.api_url}},
        routes=[{"slack": "#alerts", "incidents": "all"}],
    )  # fmt: skip
    with ExitStack() as stack:
        both = [stack.enter_context(responder({}, settings, name)) for name in ("one", "two")]
        await asyncio.gather(*(asyncio.to_thread(one.start) for one in both))
        bodies = [webhook([alert(alertname=f"Slow{number}", severity="critical")]) for number in range(INCIDENTS)]

        def posted() -> Counter[str]:
            made = [one.arguments["metadata"] for one in slack.calls if one.method == "chat.postMessage"]
            events = [one["event_payload"] for one in made if one["event_type"] == INCIDENT_EVENT]
            return Counter(str(one["incident"]) for one in events)

        await asyncio.to_thread(both[0].deliver, bodies[0])
        await eventually(posted, HALF_A_MINUTE)  # whoever posts it has its thread to fill: the next are the other's
        await asyncio.gather(*(asyncio.to_thread(both[1].deliver, body) for body in bodies[1:]))

        async def told() -> bool:
            shares = [await asyncio.to_thread(_told_by, one) for one in both]
            return len(posted()) == INCIDENTS and all(shares)

        await eventually(told, HALF_A_MINUTE, timedelta(seconds=0.2))
        for one in both:
            one.kill()  # what their threads still wait for is nothing to wait for
        assert set(posted().values()) == {1}
    assert slack.limited <= 1, f"{slack.limited} posts came too soon"  # a busy machine may bring two together
