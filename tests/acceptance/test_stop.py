"""Ending in order, and a store that goes away: nothing is cut in two, nothing acknowledged is lost."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from responder.intake.buffer import ANSWER_SECONDS
from responder.web.health import KEPT_SECONDS
from tests.bed import ledger
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.postgres import Cluster, Postgres
from tests.bed.processes import ServerError, free_port
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

MINUTE = timedelta(seconds=60)
EACH = 12
"""Alerts of each kind: more than enough for the stop to find runs in every state."""
STOP_SECONDS = 15.0
INTAKE_SECONDS = 2 * ANSWER_SECONDS
"""How long a sender may have to wait for an answer here, on a machine that other tests share."""
KINDS = {
    "good": change_item("good", within="30s"),
    "bad": change_item("bad", wanted=99, within="2s"),
    "asks": change_item("asks", mode="approve", within="30s"),
    "waits": change_item("waits", checked="signal", within="2m"),
}
"""One that is verified, one that is undone, one that asks, one whose check passes when the test says so."""
ENDS = {"good": "verified", "bad": "rolled_back", "asks": "verified", "waits": "verified"}
EFFECTS = {"good": 1, "bad": 2, "asks": 1, "waits": 1}
FILES = {f"{name}.yaml": text for name, text in KINDS.items()}


def _item(kind: str, number: int) -> str:
    return f"{kind}-{number}"


def _body(kind: str, number: int) -> JsonObject:
    labels = {"alertname": kind, "item": _item(kind, number), "signal": "signal"}
    return webhook([alert(labels)], group_by=["item"])


@pytest.fixture
def shop() -> Iterator[TargetProcess]:
    with target_process() as running:
        for kind in KINDS:
            for number in range(2 * EACH):
                running._send("PUT", f"/admin/{_item(kind, number)}", {"workers": 4})
        running._send("PUT", "/admin/signal", {"workers": 0})
        running.settings(latency_ms=150)
        yield running


@contextlib.asynccontextmanager
async def _sender(running: Responder) -> AsyncIterator[Callable[[str, int], "asyncio.Task[bool]"]]:
    """Give a function that sends one alert until it is acknowledged; what it returns says whether it was."""
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}"}
    tasks: set[asyncio.Task[bool]] = set()
    async with aiohttp.ClientSession(headers=headers) as session:

        async def one(kind: str, number: int) -> bool:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post(f"{running.url}/webhook/alertmanager", json=_body(kind, number)) as answer:
                        if answer.status == 200:
                            return True
                        assert answer.status == 503, await answer.text()
                await asyncio.sleep(0.2)

        def send(kind: str, number: int) -> "asyncio.Task[bool]":
            task = asyncio.create_task(one(kind, number))
            tasks.add(task)
            return task

        try:
            yield send
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _states(running: Responder) -> Counter[tuple[str, str]]:
    rows = await asyncio.to_thread(running.items, "runs")
    return Counter((row["playbook"], row["state"]) for row in rows)


def _records(directory: Path) -> list[tuple[str, str]]:
    """Return target and state of every rollback record; nobody has the store open."""
    with contextlib.closing(sqlite3.connect(directory / "responder.db")) as store:
        return store.execute("SELECT target, state FROM records").fetchall()


def _agree(records: list[tuple[str, str]], entries: list[ledger.Entry]) -> None:
    """Check that what was written down is what the target's own book says, with nothing in between."""
    assert {state for _, state in records} <= {"applied", "undone", "not_applied"}
    written: Counter[str] = Counter()
    for target, state in records:
        written[target.removeprefix("http/checkout/")] += {"applied": 1, "undone": 2}.get(state, 0)
    done = Counter(one.name for one in ledger.effects(entries))
    assert {name: count for name, count in written.items() if count} == done


@pytest.mark.parametrize("after", [0.7, 2.5])
async def test_a_stop_cuts_no_turn_and_the_next_start_goes_on(shop: TargetProcess, after: float) -> None:
    seeded = len(shop.entries())
    with responder(FILES, config("sqlite:///responder.db", shop.url, routes=[])) as running:
        await asyncio.to_thread(running.start)
        assert running.child is not None
        async with _sender(running) as send:
            sent = [send(kind, number) for number in range(EACH) for kind in KINDS]
            await asyncio.gather(*sent)
            late = [send(kind, EACH + number) for number in range(EACH) for kind in KINDS]
            await asyncio.sleep(after)
            found = await _states(running)
            assert len(found) > 2, found  # it is in the middle of things
            started = time.monotonic()
            assert await asyncio.to_thread(running.stop) == 0
            assert time.monotonic() - started < STOP_SECONDS
            log = running.child.output(1_000_000)
            assert '"event": "stopped"' in log
            assert not [event for event in ("turn_crashed", "turn_lost", "turn_failed") if f'"{event}"' in log]
            with pytest.raises(OSError, match="refused"):
                await asyncio.to_thread(running.call, "GET", "/-/healthy")
            _agree(_records(running.directory), shop.entries()[seeded:])

            await asyncio.to_thread(running.start)
            await asyncio.gather(*late)
        shop._send("PUT", "/admin/signal", {"workers": 5})
        await _answer_all(running)
        await _all_end(running, 2 * EACH)
        await asyncio.to_thread(running.stop)
        entries = [one for one in shop.entries()[seeded:] if one.name != "signal"]
        _agree(_records(running.directory), entries)
    _each_effect_once(entries, 2 * EACH)


async def _answer_all(running: Responder) -> None:
    """Approve every run that asks, as it comes to ask."""

    async def asking() -> bool:
        for one in await asyncio.to_thread(running.items, "approvals?state=pending"):
            body = {"plan_hash": one["plan_hash"]}
            status, text = await asyncio.to_thread(running.call, "POST", f"/api/v1/runs/{one['run']}/approve", body)
            assert status == 200, text
        return not any(state == "awaiting_approval" for _, state in await _states(running))

    await eventually(asking, MINUTE)


async def _all_end(running: Responder, each: int) -> None:
    wanted = dict.fromkeys(ENDS.items(), each)

    async def ended() -> bool:
        await _answer_all(running)
        return await _states(running) == wanted

    try:
        await eventually(ended, MINUTE, timedelta(seconds=0.5))
    except AssertionError:
        assert await _states(running) == wanted


def _each_effect_once(entries: list[ledger.Entry], each: int) -> None:
    done = Counter(one.name for one in ledger.effects(entries))
    assert done == {_item(kind, number): EFFECTS[kind] for kind in KINDS for number in range(each)}
    assert ledger.twice(entries) == []


async def test_a_stop_waits_for_a_target_that_takes_its_time(shop: TargetProcess) -> None:
    """The send is under way when SIGTERM comes: its answer is waited for and written down."""
    shop.settings(latency_ms=3000)
    seeded = len(shop.entries())
    with responder(FILES, config("sqlite:///responder.db", shop.url, routes=[])) as running:
        await asyncio.to_thread(running.start)
        await asyncio.to_thread(running.deliver, _body("good", 0))

        async def acting() -> bool:
            return bool(await asyncio.to_thread(running.items, "records?state=intended"))

        await eventually(acting)
        started = time.monotonic()
        assert await asyncio.to_thread(running.stop) == 0
        assert time.monotonic() - started < STOP_SECONDS
        assert _records(running.directory) == [("http/checkout/good-0", "applied")]
        assert len(ledger.effects(shop.entries()[seeded:])) == 1


Outage = tuple[Callable[[Cluster], None], Callable[[Cluster], None]]
OUTAGES: dict[str, Outage] = {
    "stopped": (Cluster.stop, Cluster.start),
    "crashed": (Cluster.crash, Cluster.start),
    "frozen": (lambda cluster: _signal(cluster, signal.SIGSTOP), lambda cluster: _signal(cluster, signal.SIGCONT)),
}


def _signal(cluster: Cluster, what: signal.Signals) -> None:
    """Signal the server and every backend: a frozen postmaster alone leaves open sessions working."""
    pid = cluster.running.pid
    for one in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, what)


async def _refused_for(running: Responder, span: timedelta) -> None:
    """Check that alerts are refused in time, that it says so, and that the process itself is well."""
    began = time.monotonic()
    while time.monotonic() < began + span.total_seconds():
        started = time.monotonic()
        assert await asyncio.to_thread(running.post, _body("good", 0)) == 503
        assert time.monotonic() - started < INTAKE_SECONDS
        ready = (await asyncio.to_thread(running.call, "GET", "/-/ready"))[0]
        assert ready == 503 or started < began + KEPT_SECONDS  # what the store said last holds for a moment
        assert (await asyncio.to_thread(running.call, "GET", "/-/healthy"))[0] == 200


@pytest.mark.promise(11)
@pytest.mark.parametrize("outage", OUTAGES)
async def test_without_its_store_nothing_starts_and_it_recovers_by_itself(
    durable_postgres: Postgres, durable_postgres_url: str, shop: TargetProcess, outage: str
) -> None:
    cluster = durable_postgres.server
    assert cluster is not None
    down, up = OUTAGES[outage]
    seeded = len(shop.entries())
    with responder(FILES, config(durable_postgres_url, shop.url, routes=[])) as running:
        await asyncio.to_thread(running.start)
        assert running.child is not None
        pid = running.child.pid
        async with _sender(running) as send:
            await asyncio.gather(*(send(kind, number) for number in range(EACH) for kind in KINDS))
            down(cluster)
            gone_at = time.time()
            try:
                late = [send(kind, EACH + number) for number in range(EACH) for kind in KINDS]
                await _refused_for(running, timedelta(seconds=4))
                assert not any(task.done() for task in late)
                back_at = time.time()
            finally:
                up(cluster)
            await asyncio.gather(*late)
        shop._send("PUT", "/admin/signal", {"workers": 5})
        await _all_end(running, 2 * EACH)
        assert running.child.pid == pid
        assert running.child.running
    entries = [one for one in shop.entries()[seeded:] if one.name != "signal"]
    _each_effect_once(entries, 2 * EACH)
    # What was authorised before the store went away may be sent within 0.7 s.
    assert [one for one in entries if gone_at + 0.9 < one.began < back_at] == []


async def test_a_start_without_its_store_says_so_and_ends_with_3() -> None:
    """Whoever started it tries again; a wrong configuration would end with 2."""
    port = free_port()
    store = f"postgresql://nobody:hidden-from-all@127.0.0.1:{port}/none"
    wanted = rf"ended with 3\n.*the store cannot be reached: .*; it is PostgreSQL 127\.0\.0\.1:{port}/none"
    with (
        responder({}, config(store, "http://127.0.0.1:1", routes=[])) as running,
        pytest.raises(ServerError, match=wanted) as told,
    ):
        await asyncio.to_thread(running.start)
    assert "hidden-from-all" not in str(told.value)
