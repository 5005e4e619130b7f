"""An alert that arrives under another group key takes its message along: decide, store and tell together."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from responder.clients.slack import SlackClient
from responder.decide.decider import Decider
from responder.decide.rules import Rules
from responder.domain.ids import new_id
from responder.intake.formats import parse
from responder.notifiers.slack import SlackNotifier
from responder.playbook.library import load_library
from responder.ports.store import NewDelivery, Store
from responder.settings.model_channels import Route
from responder.stores.registry import open_store
from responder.tell.courier import Courier
from tests.act_bed import Wall
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.paces import FREE
from tests.bed.slack_peer import SlackPeer
from tests.bed.stores import embedded
from tests.bed.web import Rate
from tests.unit.playbook.fakes import CATALOGUE


@dataclass(frozen=True, slots=True)
class Desk:
    """A store, who decides and who tells."""

    store: Store
    decider: Decider
    courier: Courier

    async def deliver(self, body: object) -> None:
        """Deliver, decide and tell."""
        raw = json.dumps(body).encode()
        await self.store.accept([NewDelivery(new_id(), "am", self.store.now(), raw, 1)])
        await self.decider.turn()
        async with asyncio.timeout(10):
            while await self._behind():
                await self.courier.turn()
                await self.courier.drain()
                await asyncio.sleep(0.02)  # a destination has its pace

    async def _behind(self) -> bool:
        page = await self.store.page("outbox", {}, 10, "")
        return any(row["state"] != "told" for row in page.items)

    async def incidents(self) -> list[str]:
        """Return how the incidents stand, newest first."""
        page = await self.store.page("incidents", {}, 10, "")
        return [str(row["status"]) for row in page.items]


@pytest.fixture(params=["sqlite", "postgresql"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path, slack: SlackPeer) -> AsyncIterator[Desk]:
    url = embedded(tmp_path / "r.db") if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    store = open_store(url)
    await store.open()
    slack.posts = Rate(None, 1.0)
    client = SlackClient(slack.token, api_url=slack.api_url, timeout=timedelta(seconds=3), pace=FREE)
    library, rules = load_library([], CATALOGUE, None, {}), Rules(routes=[Route(("slack:C0ALERTS",), incidents="all")])
    decider = Decider(
        store, lambda: library, lambda: rules, lambda _, body: parse("alertmanager", body), on_fact=_no_failure
    )
    courier = Courier(
        store,
        Wall(store),
        {"slack": SlackNotifier(client, post_every=0.0)},
        docs_of=lambda _: None,
        external_url="",
        on_fact=_no_failure,
    )
    yield Desk(store, decider, courier)
    await client.close()
    await store.close()


def _no_failure(name: str, /, **fields: object) -> None:
    assert "failed" not in name, f"{name} {fields}"


async def test_a_regrouped_incident_goes_on_in_the_message_that_is_there(desk: Desk, slack: SlackPeer) -> None:
    firing = alert(alertname="Overloaded")
    await desk.deliver(webhook([firing], group_key="by alert"))
    await desk.deliver(webhook([firing], group_key="by alert and cluster"))
    assert await desk.incidents() == ["open", "regrouped"]
    (message,) = [one for one in slack.messages if one.thread_ts in {None, one.ts}]
    assert "Firing" in message.text

    await desk.deliver(webhook([resolved(firing)], group_key="by alert and cluster"))

    assert len([one for one in slack.messages if one.thread_ts in {None, one.ts}]) == 1
    assert "Resolved" in message.text
    assert sum("firing: Overloaded" in one.text for one in slack.messages) == 1, "the thread says it once"
