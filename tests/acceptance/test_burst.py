"""An alert storm: 1,500 alerts in half a second, a slow target, a Slack that takes one message a second and channel."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import aiohttp
import pytest

from responder.intake.buffer import ANSWER_SECONDS
from tests.bed import ledger
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.slack_peer import SlackPeer
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

GROUPS, PER_GROUP, PER_TARGET, PER_WEBHOOK = 30, 50, 5, 25
ALERTS, TARGETS = GROUPS * PER_GROUP, GROUPS * PER_GROUP // PER_TARGET
CHANNELS = 6
STORM = 0.5
"""Seconds within which every webhook is sent."""
PATIENCE = timedelta(seconds=75)
"""The last edits may have to wait a minute: the workspace takes 50 of them (docs.slack.dev, chat.update)."""
FIX = """\
schema: 1
name: grow
summary: Have five workers.
mode: auto
matchers:
  - alertname="Overloaded"
target: http/checkout/{{ labels.item }}
limits:
  mass_failure: off
steps:
  - id: grow
    http.request:
      service: checkout
      read: "GET /admin/{{ labels.item }}"
      send: "PUT /admin/{{ labels.item }}"
      json:
        workers: 5
verify:
  - name: workers
    probe: http.get
    with:
      service: checkout
      path: "/admin/{{ labels.item }}"
      pointer: /workers
    equals: 5
    within: 20s
"""


def _targets() -> list[str]:
    return [f"item-{group}-{number}" for group in range(GROUPS) for number in range(PER_GROUP // PER_TARGET)]


def _alerts(group: int) -> list[JsonObject]:
    """Return a group's alerts: several pods of each target, of which one run takes care."""
    labels = {"alertname": "Overloaded", "group": str(group), "channel": str(group % CHANNELS)}
    return [
        alert({**labels, "item": f"item-{group}-{number // PER_TARGET}", "pod": f"{group}-{number}"})
        for number in range(PER_GROUP)
    ]


def _storm() -> list[JsonObject]:
    """Return the webhooks: several for each group, as Alertmanager sends a group that grows."""
    found = []
    for group in range(GROUPS):
        every = _alerts(group)
        found += [
            webhook(every[first : first + PER_WEBHOOK], group_by=["group"])
            for first in range(0, PER_GROUP, PER_WEBHOOK)
        ]
    return found


@pytest.fixture
def slow() -> Iterator[TargetProcess]:
    """Give a target with something to change for every target, which then takes 100 ms for each request."""

    async def seed(url: str) -> None:
        async with aiohttp.ClientSession() as session:

            async def put(name: str) -> None:
                async with session.put(f"{url}/admin/{name}", json={"workers": 4}) as answer:
                    assert answer.status == 200

            await asyncio.gather(*map(put, _targets()))

    with target_process() as running:
        asyncio.run(seed(running.url))
        running.settings(latency_ms=100)
        yield running


async def _post(running: Responder, bodies: list[JsonObject], within: float) -> list[float]:
    """Post every body, spread evenly over ``within`` seconds, none waiting for another, until each is acknowledged.

    Returns how long the slowest answer to each took.
    """
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}
    encoded = [json.dumps(body).encode() for body in bodies]
    async with aiohttp.ClientSession(headers=headers) as session:

        async def one(place: int, body: bytes) -> float:
            await asyncio.sleep(within * place / len(encoded))
            slowest = 0.0
            while True:
                started = time.monotonic()
                async with session.post(f"{running.url}/webhook/alertmanager", data=body) as answer:
                    slowest = max(slowest, time.monotonic() - started)
                    if answer.status == 200:
                        return slowest
                    assert answer.status == 503, await answer.text()
                await asyncio.sleep(0.2)

        return await asyncio.gather(*(one(place, body) for place, body in enumerate(encoded)))


def _tops(slack: SlackPeer) -> list[str]:
    """Return what the messages say, replies left out."""
    return [one.text for one in slack.messages if one.thread_ts in (None, one.ts)]


def _settings(store: str, target_url: str, slack: SlackPeer) -> JsonObject:
    routes = [{"matchers": [f'channel="{number}"'], "slack": f"#storm-{number}"} for number in range(CHANNELS)]
    peer = {"token": slack.token, "signing_secret": "s", "api_url": slack.api_url}
    return config(store, target_url, notify={"console": True, "slack": peer}, routes=routes)


@pytest.mark.timeout(240)
async def test_a_storm_is_stored_acted_on_once_each_and_told_in_one_message_a_group(
    postgres_url: str, slow: TargetProcess, slack: SlackPeer
) -> None:
    slack.channels |= {f"storm-{number}": f"C0STORM{number}" for number in range(CHANNELS)}
    seeded = len(slow.entries())
    with responder({"grow.yaml": FIX}, _settings(postgres_url, slow.url, slack)) as running:
        await asyncio.to_thread(running.start)
        took = await _post(running, _storm(), STORM)
        # From the first byte to the answer, though everything comes at once, on a machine that other tests share.
        assert max(took) < 2 * ANSWER_SECONDS

        async def idle() -> bool:
            """Say whether every alert was decided, every target changed and every run has ended."""
            status = await asyncio.to_thread(running.get, "status")
            if status["queues"]["deliveries"]["waiting"] or len(slow.entries()) - seeded < TARGETS:
                return False
            rows = await asyncio.to_thread(running.items, "runs")
            return all(row["finished_at"] for row in rows)

        await eventually(idle, PATIENCE, timedelta(seconds=0.5))
        episodes = await asyncio.to_thread(running.items, "episodes")
        assert sorted(one["labels"]["pod"] for one in episodes) == sorted(
            one["labels"]["pod"] for group in range(GROUPS) for one in _alerts(group)
        )
        entries = slow.entries()[seeded:]
        assert Counter(one.name for one in ledger.effects(entries)) == Counter(_targets())
        states = Counter(row["state"] for row in await asyncio.to_thread(running.items, "runs"))
        # An alert that was decided after its target's run had ended finds nothing to change.
        assert states["verified"] == TARGETS
        assert states.keys() <= {"verified", "skipped"}

        ended = [webhook([resolved(one) for one in _alerts(group)], group_by=["group"]) for group in range(GROUPS)]
        await _post(running, ended, STORM)
        await eventually(lambda: sum("Resolved" in text for text in _tops(slack)) == GROUPS, PATIENCE)
        assert len(_tops(slack)) == GROUPS
        incidents = await asyncio.to_thread(running.items, "incidents")
        assert [one["status"] for one in incidents] == ["resolved"] * GROUPS
        assert not any(one["needs_person"] for one in incidents)
    assert slow.entries()[seeded:] == entries
