"""``kill -9`` while runs are in every state; the judge is the target's own ledger, never our database."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.bed import ledger
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import Responder, config, responder

DELIVERIES = 500
KILLS = 5
FINAL = {"verified", "rolled_back"}
FILES = {"good.yaml": change_item("good"), "bad.yaml": change_item("bad", wanted=99)}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite:///responder.db"
    return str(request.getfixturevalue("durable_postgres_url"))


@pytest.fixture
def shop() -> Iterator[TargetProcess]:
    with target_process() as running:
        for item in range(DELIVERIES):
            running._send("PUT", f"/admin/item-{item}", {"workers": 4})
        running.settings(latency_ms=20)
        yield running


def _body(item: int) -> JsonObject:
    name = "good" if item % 2 else "bad"
    return webhook([alert({"alertname": name, "item": f"item-{item}"})], group_by=["item"])


async def _post_all(running: Responder) -> None:
    """Deliver every alert, again and again until it is acknowledged, as Alertmanager would."""

    async def one(item: int) -> None:
        while True:
            try:
                if await asyncio.to_thread(running.post, _body(item)) == 200:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.2)  # Alertmanager's own back-off

    for start in range(0, DELIVERIES, 50):
        await asyncio.gather(*(one(item) for item in range(start, start + 50)))


@pytest.mark.promise(1)
@pytest.mark.promise(4)
@pytest.mark.timeout(700)
async def test_nothing_is_lost_and_nothing_repeated_over_five_kills(store: str, shop: TargetProcess) -> None:
    settings = config(store, shop.url, notify={"console": True}, routes=[])
    seeded = len(shop.entries())
    with responder(FILES, settings) as running:
        await asyncio.to_thread(running.start)
        posting = asyncio.create_task(_post_all(running))
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.5, 2.5))  # noqa: S311 - the moment of a crash is meant to vary
            await asyncio.to_thread(running.kill)
            await asyncio.to_thread(running.start)
        await posting

        async def settled() -> bool:
            rows = await asyncio.to_thread(running.items, "runs")
            return len([row for row in rows if row["state"] in FINAL]) >= DELIVERIES

        try:
            await eventually(settled, timedelta(seconds=300), timedelta(seconds=1))
        except AssertionError:
            rows = await asyncio.to_thread(running.items, "runs")
            states = Counter(row["state"] for row in rows)
            stuck = [row for row in rows if row["state"] not in FINAL][:3]
            pytest.fail(f"{len(rows)} runs: {states}; {stuck}; {running.get('status')['queues']}")
        states = Counter(row["state"] for row in await asyncio.to_thread(running.items, "runs"))
    entries = shop.entries()[seeded:]
    assert states["verified"] == DELIVERIES // 2, states
    assert states["rolled_back"] == DELIVERIES // 2, states
    for item in range(DELIVERIES):
        effects = ledger.effects(entries, f"item-{item}")
        assert len(effects) == (1 if item % 2 else 2), (item, effects)
    assert ledger.twice(entries) == []
