"""``storm``: a hundred thousand alerts in a minute, all of them cases for one playbook with limits.

None may be lost, every one is decided about, the limits hold by the target's own ledger, and memory stays bounded.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg

from tests.attack.verdict import Findings
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.postgres import private_cluster
from tests.bed.target_process import TargetProcess, target_process
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

ALERTS = 100_000
SECONDS = 60.0
PER_WEBHOOK = 50
MOST = 20
"""Effects that the playbook's limit allows while the storm lasts."""
MOST_MEMORY = 512.0
"""MiB."""
SETTLE = 300.0
_SENDERS = 16
_THERE = 1000
"""So many items are at the target; the limit is reached long before the alerts of others have their turn."""
_SHED = (503, 429)
_PLAYBOOK = change_item(
    "storm",
    alertname="Storm",
    limits=f"  per_playbook: {MOST} per 1h\n  cooldown: 0s\n",
    sets=6,
    wanted=6,
    within="30s",
)
"""Would act on every alert, and may on MOST."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a storm came to. ``decided_after``: seconds from its end until every alert was decided about."""

    alerts: int
    seconds: float
    turned_away: int
    decided_after: float
    effects: int
    memory: float
    findings: Findings

    def line(self) -> str:
        """Return the line to quote."""
        return (
            f"{self.alerts:,} alerts in {self.seconds:.0f} s ({self.alerts / self.seconds:,.0f}/s), {self.turned_away}"
            f" webhooks asked to come again: {len(self.findings.lost)} lost, all decided {self.decided_after:.1f} s"
            f" after the last, {self.effects} effects ({MOST} allowed), {len(self.findings.violations)} other findings,"
            f" {self.memory:.0f} MiB at the most"
        )


async def storm(alerts: int, seconds: float, say: Callable[[str], None]) -> Report:
    """Post ``alerts`` in ``seconds`` to one responder on PostgreSQL, wait until all is decided, and judge."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(private_cluster(durable=True))
        store = server.database()
        target = stack.enter_context(target_process())
        settings = config(store, target.url, routes=[])
        running = stack.enter_context(responder({"storm.yaml": _PLAYBOOK}, settings))
        await asyncio.to_thread(running.start)
        await _make(target, min(alerts, _THERE))
        began = time.monotonic()
        turned_away = await _post(running, alerts, seconds)
        took = time.monotonic() - began
        say(f"posted in {took:.0f} s")
        decided_after = await _decided(store, alerts)
        await _at_rest(store)
        assert running.child is not None
        memory = _peak(running.child.pid)
        findings = await _judged(store, alerts, target, memory)
        return Report(alerts, took, turned_away, decided_after, _effects(target), memory, findings)


async def _make(target: TargetProcess, items: int) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(items):
            async with session.put(f"{target.url}/admin/item-{number}", json={"workers": 2}) as answer:
                assert answer.status == 200


def _bodies(alerts: int) -> Iterator[bytes]:
    for first in range(0, alerts, PER_WEBHOOK):
        group = f"group-{first // PER_WEBHOOK}"
        every = [
            alert(alertname="Storm", group=group, item=f"item-{number}", severity="warning", namespace="shop")
            for number in range(first, min(first + PER_WEBHOOK, alerts))
        ]
        yield json.dumps(webhook(every, group_by=("alertname", "group"))).encode()


async def _post(running: Responder, alerts: int, seconds: float) -> int:
    """Post at an even rate, each webhook until it is acknowledged; returns how often one was asked to come again."""
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}
    bodies, count, began = _bodies(alerts), 0, time.monotonic()
    turned_away, pace = 0, seconds * PER_WEBHOOK / alerts

    async def sender(session: aiohttp.ClientSession) -> None:
        nonlocal count, turned_away
        for body in bodies:
            count += 1
            await asyncio.sleep(max(0.0, began + count * pace - time.monotonic()))
            while True:
                async with session.post(f"{running.url}/webhook/alertmanager", data=body, headers=headers) as answer:
                    if answer.status == 200:
                        break
                    assert answer.status in _SHED, answer.status
                turned_away += 1
                await asyncio.sleep(0.2)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(sender(session) for _ in range(_SENDERS)))
    return turned_away


async def _decided(store: str, alerts: int) -> float:
    """Return after how many seconds every alert was decided about."""
    began = time.monotonic()
    while time.monotonic() < began + SETTLE:
        if await _count(store, "SELECT count(DISTINCT episode_id) FROM decisions") >= alerts:
            break
        await asyncio.sleep(0.5)
    return time.monotonic() - began


async def _at_rest(store: str) -> None:
    """Wait until no run is under way."""
    until = time.monotonic() + SETTLE
    while time.monotonic() < until:
        if not await _count(store, "SELECT count(*) FROM runs WHERE finished_at IS NULL"):
            return
        await asyncio.sleep(0.5)


async def _judged(store: str, alerts: int, target: TargetProcess, memory: float) -> Findings:
    found = Findings()
    kept = await _count(store, "SELECT count(*) FROM episodes")
    decided = await _count(store, "SELECT count(DISTINCT episode_id) FROM decisions")
    found.lost += [f"alert {number}" for number in range(kept, alerts)]
    found.violations += [f"{alerts - decided} alerts without a decision"] * (decided < alerts)
    effects = _effects(target)
    found.violations += [f"{effects} effects, and {MOST} are allowed"] * (effects > MOST)
    found.violations += ["nothing was done at all"] * (effects == 0)
    found.violations += [f"{memory:.0f} MiB of memory"] * (memory >= MOST_MEMORY)
    dead = await _count(store, "SELECT count(*) FROM deliveries WHERE state = 'dead'")
    found.violations += [f"{dead} deliveries were set aside"] * (dead > 0)
    return found


def _effects(target: TargetProcess) -> int:
    return sum(entry.applied and bool(entry.key) for entry in target.entries())


async def _count(store: str, query: str) -> int:
    connection = await asyncpg.connect(store)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


def _peak(pid: int) -> float:
    """Return the most memory that a process has held, in MiB."""
    lines: Sequence[str] = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
