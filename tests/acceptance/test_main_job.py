"""The main job, all of it real: Prometheus fires, Alertmanager posts, a service is changed, checked, kept or undone.

Prometheus and Alertmanager run the files of alertmanager/, the responder a playbook that ships.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.alerting_files import alertmanager_config, prometheus_config, quick, rule_files
from tests.bed import ledger
from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.servers import Alertmanager, Prometheus, missing, private_prometheus
from tests.bed.slack_peer import SlackPeer
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import ROOT, WEBHOOK_TOKEN, Responder, config, responder

PATIENCE = timedelta(seconds=100)
PLAYBOOK = (ROOT / "playbooks" / "add-workers-on-backlog.yaml").read_text(encoding="utf-8")
BACKLOG, NO_BACKLOG = 5000.0, 10.0
INTERVAL = "1s"
"""Of scraping, and so of its patience: a scrape that a busy machine cuts off is a metric without data."""


def _playbook(within: str) -> str:
    """Return the playbook that ships, allowed to act by itself, once, and quick to judge."""
    text = PLAYBOOK
    for shipped, here in (
        ("mode: observe", "mode: auto"),
        ("attempts: 2", "attempts: 1"),
        ("within: 10m", f"within: {within}"),
        ("    for: 1m\n", ""),
        ("    or_improves_by: 20%\n", ""),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    return text


@dataclass
class World:
    """Every server of the story, and the responder between them."""

    slack: SlackPeer
    pagerduty: PagerDutyPeer
    alertmanager: Alertmanager
    prometheus: Prometheus
    target: TargetProcess
    store: str
    redis: str

    def settings(self) -> JsonObject:
        """Return the responder's configuration."""
        credentials = {"credentials": WEBHOOK_TOKEN}
        source = {"kind": "alertmanager", "authorization": credentials, "api_url": self.alertmanager.url}
        return config(
            self.store,
            self.target.url,
            sources={"alertmanager": source},
            redis={"url": self.redis},
            prometheus={"default": {"url": self.prometheus.url}},
            notify={
                "slack": {"token": self.slack.token, "signing_secret": "s", "api_url": self.slack.api_url},
                "pagerduty": {
                    "services": {"payments": {"routing_key": ROUTING_KEY}},
                    "api_url": self.pagerduty.url,
                },
            },
            page={"pagerduty": "payments"},
            routes=[{"slack": "#oncall"}],
        )

    async def begin(self, running: Responder) -> None:
        """Start the responder, point Alertmanager at it, and let the queue grow."""
        await asyncio.to_thread(running.start)
        self.alertmanager.configure(alertmanager_config(f"{running.url}/webhook/alertmanager", WEBHOOK_TOKEN))
        await self.backlog(BACKLOG)
        places = {"checkout": self.target.url, "responder": running.url}
        hosts = {job: url.removeprefix("http://") for job, url in places.items()}
        alertmanager = self.alertmanager.url.removeprefix("http://")
        config = prometheus_config(hosts, alertmanager, INTERVAL)
        self.prometheus.load(config, {path.name: quick(path) for path in rule_files()})

    async def backlog(self, orders: float) -> None:
        """Let so many orders wait."""
        await asyncio.to_thread(self.target.metric, "queue_depth", orders)

    def messages(self) -> list[str]:
        """Return the texts of the messages in the channel, replies left out."""
        return [str(one.text) for one in self.slack.in_channel("oncall") if one.thread_ts in (None, one.ts)]

    def effects(self) -> int:
        """Count what was changed at the target."""
        return len(ledger.effects(self.target.entries(), "workers"))


@pytest.fixture
def prometheus(alertmanager_port: int) -> Iterator[Prometheus]:
    """Give each test a Prometheus of its own: what an earlier target showed would stay for five minutes.

    Prometheus marks the samples of a target as stale that leaves a job, and not those of a job that goes as a whole.
    """
    try:
        with private_prometheus(f"http://127.0.0.1:{alertmanager_port}") as server:
            yield server
    except FileNotFoundError:
        missing("Prometheus")


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """Give every server, all of them real but Slack and PagerDuty."""
    names = {
        "slack": "slack",
        "pagerduty": "pagerduty",
        "alertmanager": "alertmanager",
        "prometheus": "prometheus",
        "target": "target_process",
        "store": "postgres_url",
        "redis": "redis_url",
    }
    return World(**{name: request.getfixturevalue(fixture) for name, fixture in names.items()})


async def _ends(running: Responder, state: str) -> JsonObject:
    """Return the first run that ends in ``state``."""

    async def look() -> JsonObject | None:
        rows = await asyncio.to_thread(running.items, "runs")
        return next((row for row in rows if row["state"] == state), None)

    found = await eventually(look, PATIENCE)
    assert found is not None
    return found


@pytest.mark.timeout(300)
async def test_firing_changed_verified_resolved_and_told_in_one_message(world: World) -> None:
    with responder({"fix.yaml": _playbook("30s")}, world.settings()) as running:
        await world.begin(running)
        await eventually(world.effects, PATIENCE)
        await world.backlog(NO_BACKLOG)  # the change helps
        run = await _ends(running, "verified")
        assert run["target"] == "http/checkout/workers"
        await eventually(lambda: any("Resolved" in text for text in world.messages()), PATIENCE)
        assert len(world.messages()) == 1
        assert world.pagerduty.events == []
        assert world.effects() == 1


@pytest.mark.timeout(300)
async def test_a_change_that_does_not_help_is_undone_and_a_person_is_paged_once(world: World) -> None:
    before = await asyncio.to_thread(world.target.resource, "workers")
    with responder({"fix.yaml": _playbook("5s")}, world.settings()) as running:
        await world.begin(running)
        await _ends(running, "rolled_back")
        assert await asyncio.to_thread(world.target.resource, "workers") == before
        await eventually(lambda: world.pagerduty.events, PATIENCE)
        assert [event["event_action"] for event in world.pagerduty.events] == ["trigger"]
        await eventually(lambda: any("needs you" in text.lower() for text in world.messages()), PATIENCE)
        assert len(world.messages()) == 1
