"""Promise 10: a pause takes hold within one second of its commit, survives restarts, and nothing automatic lifts it.

The responders are processes of their own and the target is slow; its own ledger is the judge.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.bed import ledger
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.process_bed import Responder, config, responder

ITEMS = 100
SLOW_MS = 1200
"""Longer than a permission lasts: what is read before an effect leaves is old by then."""
HOLDS_WITHIN = 1.0
WATCHED = 4.0
"""So long nothing may happen that must not; most of what could is past its reads by then."""
PATIENCE = timedelta(seconds=150)
DO, UNDO = 5, 4
"""What an item is set to, there and back."""
KINDS = ("good", "bad", "slow")
LIMITS = "  max_age: 1h\n"
FILES = {
    "good.yaml": change_item("good", within="60s", limits=LIMITS),
    "bad.yaml": change_item("bad", wanted=99, within="2s", limits=LIMITS),
    "slow.yaml": change_item("slow", wanted=99, within="20s", limits=LIMITS),
}
"""One that helps, one that is undone soon, and one that is undone when a halt has come."""


@pytest.fixture
def shop() -> Iterator[TargetProcess]:
    with target_process() as running:
        for item in range(ITEMS + 10):
            running._send("PUT", f"/admin/item-{item}", {"workers": 4})
        running.settings(latency_ms=SLOW_MS)
        yield running


def changes(shop: TargetProcess, value: int, since: float = 0.0) -> list[ledger.Entry]:
    """Return the requests that wanted ``value``, whatever came of them, which reached the target after ``since``."""
    entries = shop.entries()[ITEMS + 10 :]
    return [one for one in entries if one.body.get("workers") == value and one.began > since]


async def fire(running: Sequence[Responder], items: range) -> None:
    """Send one alert an item, by turns to each replica, spread over some time."""
    for item in items:
        body = webhook([alert({"alertname": KINDS[item % 3], "item": f"item-{item}"})], group_by=["item"])
        await asyncio.to_thread(running[item % len(running)].deliver, body)
        await asyncio.sleep(0.07)  # so that a brake finds runs at every point of their way


async def brake(by: Responder, command: str) -> float:
    """Put a brake on as a person does; returns an instant that is not before its commit, by the target's clock."""
    status, text = await asyncio.to_thread(by.call, "POST", "/api/v1/pauses", {"kind": command, "reason": "look"})
    assert status == 200, text
    return time.time()


async def ended(running: Responder, items: int) -> None:
    async def all_over() -> bool:
        rows = await asyncio.to_thread(running.items, "runs")
        over = {row["target"] for row in rows if row["state"] in ("verified", "rolled_back")}
        return len(over) >= items

    await eventually(all_over, PATIENCE, timedelta(seconds=1))


def as_it_should_be(shop: TargetProcess, items: int) -> None:
    """Every item was changed once, and changed back once where that did not help."""
    entries = shop.entries()[ITEMS + 10 :]
    for item in range(items):
        values = [one.body["workers"] for one in ledger.effects(entries, f"item-{item}")]
        assert values == ([DO] if item % 3 == 0 else [DO, UNDO]), (item, values)
    assert ledger.twice(entries) == []


@pytest.mark.promise(10)
@pytest.mark.timeout(400)
async def test_a_pause_takes_hold_within_a_second_on_every_replica_and_survives_their_restart(
    durable_postgres_url: str, shop: TargetProcess
) -> None:
    settings = config(durable_postgres_url, shop.url, routes=[])
    with responder(FILES, settings, "one") as one, responder(FILES, settings, "two") as two:
        both = (one, two)
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in both))
        firing = asyncio.create_task(fire(both, range(ITEMS)))
        await eventually(lambda: len(changes(shop, DO)) >= 8, timedelta(seconds=60))

        paused_at = await brake(one, "pause")
        await firing
        await eventually(lambda: changes(shop, UNDO, paused_at + HOLDS_WITHIN), timedelta(seconds=60))
        await asyncio.sleep(WATCHED)
        assert changes(shop, DO, paused_at + HOLDS_WITHIN) == []
        assert len(changes(shop, DO)) < ITEMS - 10, "too late to have held anything back"

        halted_at = await brake(two, "halt")
        await asyncio.sleep(HOLDS_WITHIN + WATCHED)
        for each in both:
            await asyncio.to_thread(each.kill)
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in both))
        await fire(both, range(ITEMS, ITEMS + 6))

        async def parked() -> bool:
            return bool(await asyncio.to_thread(one.items, "runs?state=parked"))

        await eventually(parked, timedelta(seconds=90), timedelta(seconds=1))
        await asyncio.sleep(WATCHED)
        assert changes(shop, UNDO, halted_at + HOLDS_WITHIN) == []
        assert changes(shop, DO, paused_at + HOLDS_WITHIN) == []
        for each in both:
            shown = await asyncio.to_thread(each.cli, "pauses", "-o", "json")
            assert '"kind": "pause"' in shown.stdout
            assert '"kind": "halt"' in shown.stdout

        shop.settings(latency_ms=10)
        resumed = await asyncio.to_thread(one.cli, "resume", "all")
        assert resumed.stdout == "lifted 2\n", resumed.stderr
        await ended(one, ITEMS + 6)
    as_it_should_be(shop, ITEMS + 6)


@pytest.mark.promise(10)
@pytest.mark.timeout(300)
async def test_a_brake_file_takes_hold_within_a_second_and_its_removal_lifts_it(
    shop: TargetProcess, tmp_path: Path
) -> None:
    file = tmp_path / "brake"
    settings = config("sqlite:///responder.db", shop.url, routes=[], brake_file=str(file))
    with responder(FILES, settings) as running:
        await asyncio.to_thread(running.start)
        firing = asyncio.create_task(fire([running], range(30)))
        await eventually(lambda: len(changes(shop, DO)) >= 5, timedelta(seconds=60))

        file.touch()
        paused_at = time.time()
        await firing
        await eventually(lambda: changes(shop, UNDO, paused_at + HOLDS_WITHIN), timedelta(seconds=60))
        assert changes(shop, DO, paused_at + HOLDS_WITHIN) == []

        file.write_text("halt\nthe shop burns\n", encoding="utf-8")
        halted_at = time.time()
        await asyncio.sleep(HOLDS_WITHIN + WATCHED)
        await asyncio.to_thread(running.kill)
        await asyncio.to_thread(running.start)
        resumed = await asyncio.to_thread(running.cli, "resume", "all")
        assert "still in force: halt of all by the file" in resumed.stderr
        await asyncio.sleep(WATCHED)
        assert changes(shop, UNDO, halted_at + HOLDS_WITHIN) == []
        assert changes(shop, DO, paused_at + HOLDS_WITHIN) == []
        assert "the shop burns" in (await asyncio.to_thread(running.cli, "pauses")).stdout

        shop.settings(latency_ms=10)
        file.unlink()
        await ended(running, 30)
        told = await asyncio.to_thread(running.items, "audit?subject=all")
        assert [row["action"] for row in reversed(told)][:3] == ["pause.begun", "halt.begun", "pause.lifted"]
        assert told[0]["action"] == "halt.lifted"
    as_it_should_be(shop, 30)


async def test_a_brake_of_the_environment_lasts_as_long_as_the_process(shop: TargetProcess) -> None:
    shop.settings(latency_ms=10)
    settings = config("sqlite:///responder.db", shop.url, routes=[])
    with responder(FILES, settings) as running:
        running.environment["RESPONDER_PAUSE"] = "playbook:good; team move"
        await asyncio.to_thread(running.start)
        await fire([running], range(2))  # good, bad
        await eventually(lambda: changes(shop, UNDO), timedelta(seconds=30))
        assert {one.name for one in changes(shop, DO)} == {"item-1"}
        (decided,) = await asyncio.to_thread(running.items, "decisions?verdict=paused")
        assert "paused playbook:good: “team move”" in decided["reason"]
        await asyncio.to_thread(running.stop)
        running.environment.clear()
        await asyncio.to_thread(running.start)
        await eventually(lambda: len(changes(shop, DO)) == 2, timedelta(seconds=20))
        await ended(running, 2)
