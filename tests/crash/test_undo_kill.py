"""Killed or frozen between sending and writing down: each effect, forward or compensating, lands once."""

import asyncio
import itertools
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

EACH = 12
FAULTS = ("applied_hang", "hang", "delayed", "late")
"""Applied without an answer; neither; not there yet, so that another request can overtake it; being worked on."""
SILENT = {"applied_hang", "hang"}
LEASE = timedelta(seconds=30)
PATIENCE = timedelta(seconds=90)
FILES = {"good.yaml": change_item("good", within="30s"), "bad.yaml": change_item("bad", wanted=99, within="4s")}
ENDS = {("good", "verified"): EACH, ("bad", "rolled_back"): EACH}
VALUES = {"good": [5], "bad": [5, 4]}
"""What each item is set to, one after the other."""


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite:///responder.db"
    return str(request.getfixturevalue("durable_postgres_url"))


@pytest.fixture
def shop() -> Iterator[TargetProcess]:
    with target_process() as running:
        for kind, number in itertools.product(("good", "bad"), range(EACH + 1)):
            running._send("PUT", f"/admin/{kind}-{number}", {"workers": 4})
        yield running
        running.child.kill()  # requests that it was told to leave hanging would keep it for ten seconds


def _body(kind: str, number: int) -> JsonObject:
    return webhook([alert({"alertname": kind, "item": f"{kind}-{number}"})], group_by=["item"])


async def _fire(running: Responder, kind: str) -> None:
    for number in range(EACH):
        await asyncio.to_thread(running.deliver, _body(kind, number))


async def _states(running: Responder) -> Counter[tuple[str, str]]:
    rows = await asyncio.to_thread(running.items, "runs")
    return Counter((row["playbook"], row["state"]) for row in rows)


async def _until(running: Responder, wanted: dict[tuple[str, str], int]) -> None:
    seen: Counter[tuple[str, str]] = Counter()

    async def reached() -> bool:
        nonlocal seen
        seen = await _states(running)
        return seen == wanted

    try:
        await eventually(reached, PATIENCE, timedelta(seconds=0.5))
    except AssertionError:
        assert seen == wanted


def _once_each(entries: list[ledger.Entry], kinds: tuple[str, ...] = ("good", "bad")) -> None:
    for kind, number in itertools.product(kinds, range(EACH)):
        landed = [(one.after or {}).get("workers") for one in ledger.effects(entries, f"{kind}-{number}")]
        assert landed == VALUES[kind], (kind, number, [one for one in entries if one.name == f"{kind}-{number}"])
    assert ledger.twice(entries) == []


@pytest.mark.promise(4)
@pytest.mark.timeout(240)
async def test_a_kill_between_send_and_commit_leaves_one_effect_and_one_undo(store: str, shop: TargetProcess) -> None:
    seeded = len(shop.entries())
    with responder(FILES, config(store, shop.url, routes=[])) as running:
        await asyncio.to_thread(running.start)
        await _fire(running, "bad")
        await _until(running, {("bad", "verifying"): EACH})
        for kind in FAULTS * EACH:
            shop.fault(kind, after_ms=2500)
        await _fire(running, "good")

        def in_doubt() -> bool:
            """Say whether some changes and some undos wait for an answer that will not come."""
            unanswered = Counter(one.name.partition("-")[0] for one in shop.entries()[seeded:] if one.how in SILENT)
            return unanswered["good"] >= 2 and unanswered["bad"] >= 2

        await eventually(in_doubt)
        states = {one["state"] for one in await asyncio.to_thread(running.items, "records")}
        assert {"intended", "undo_intended"} <= states
        await asyncio.to_thread(running.kill)
        shop._send("DELETE", "/faults")
        await asyncio.to_thread(running.start)
        await _until(running, ENDS)
    _once_each(shop.entries()[seeded:])


@pytest.mark.promise(7)
@pytest.mark.timeout(240)
async def test_a_frozen_replica_that_wakes_after_its_lease_causes_nothing_more(
    durable_postgres_url: str, shop: TargetProcess
) -> None:
    seeded = len(shop.entries())
    settings = config(durable_postgres_url, shop.url, routes=[])
    with responder(FILES, settings, "first") as first, responder(FILES, settings, "second") as second:
        await asyncio.to_thread(first.start)
        await _fire(first, "bad")
        await _until(first, {("bad", "verifying"): EACH})
        shop.settings(latency_ms=200)
        for kind in ("applied_hang", "hang") * (EACH // 4):
            shop.fault(kind)
        await _fire(first, "good")
        await eventually(lambda: any(one.how in SILENT for one in shop.entries()[seeded:]))
        assert first.child is not None
        first.child.pause()
        frozen_at = asyncio.get_running_loop().time()
        await asyncio.to_thread(second.start)
        await _until(second, ENDS)
        assert asyncio.get_running_loop().time() - frozen_at > LEASE.total_seconds()  # else nothing was taken over
        ended = shop.entries()[seeded:]
        first.child.resume()
        await eventually(first.ready)
        # What it had in hand it has looked at by the time that it does new work to its end.
        await asyncio.to_thread(first.deliver, _body("good", EACH))
        await _until(first, {**ENDS, ("good", "verified"): EACH + 1})
        new = [one for one in shop.entries()[seeded + len(ended) :] if one.name != f"good-{EACH}"]
    assert ledger.effects(new) == []
    _once_each(shop.entries()[seeded:])
