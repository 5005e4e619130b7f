"""A load that insists: each alert is posted until it is acknowledged, as Alertmanager does; and what came of it."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.attack.lives import FINAL
from tests.attack.scenarios import AFTER, BEFORE
from tests.attack.verdict import Findings
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.ledger import Entry
from tests.bed.target_process import TargetProcess
from tests.bed.web import JsonObject
from tests.process_bed import WEBHOOK_TOKEN, Responder

WITHIN = 150.0
"""Seconds without any progress until nothing more is expected: leases of half a minute run out, some of them twice."""
_BACK_OFF = 0.2
_ANSWER = aiohttp.ClientTimeout(total=5)
ENDS = {"kept": ("verified", [AFTER]), "helpless": ("rolled_back", [AFTER, BEFORE])}
"""How a run of each playbook ends, and what its item is set to."""


@dataclass(slots=True)
class Load:
    """Posts to whichever of ``urls`` takes it. ``items`` are those that were acknowledged, with their playbook."""

    urls: Sequence[str]
    target: TargetProcess
    session: aiohttp.ClientSession
    items: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    turned_away: int = 0

    async def fire(self, playbook: str, item: str, **labels: str) -> None:
        """Make an item at the target and deliver its alert."""
        await self._make(item)
        await self.again(playbook, item, **labels)
        self.items[item] = playbook

    async def _make(self, item: str) -> None:
        while True:
            async with self.session.put(f"{self.target.url}/admin/{item}", json={"workers": BEFORE}) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(_BACK_OFF)  # the target has a fault to get rid of

    async def again(self, playbook: str, item: str, **labels: str) -> None:
        """Deliver an alert once more."""
        await self._deliver(webhook([_alert(playbook, item, labels)], group_by=["item"]))

    async def resolve(self, playbook: str, item: str, **labels: str) -> None:
        """Deliver the end of an alert."""
        await self._deliver(webhook([resolved(_alert(playbook, item, labels))], group_by=["item"]))

    async def _deliver(self, body: JsonObject) -> None:
        data = json.dumps(body)
        headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}
        attempt = self.taken  # spreads the load over the replicas
        while True:
            attempt += 1
            url = f"{self.urls[attempt % len(self.urls)]}/webhook/alertmanager"
            try:
                async with self.session.post(url, data=data, headers=headers, timeout=_ANSWER) as answer:
                    if answer.status == 200:
                        self.taken += 1
                        return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            self.turned_away += 1
            await asyncio.sleep(_BACK_OFF)


def _alert(playbook: str, item: str, labels: Mapping[str, str]) -> JsonObject:
    return alert({"alertname": playbook, "item": item, **labels})


async def ends(running: Responder, load: Load, within: float = WITHIN) -> list[JsonObject]:
    """Wait until every acknowledged item has a run at its end, and return the runs, whatever became of them.

    ``within`` counts from the last progress: a backlog on a busy machine is slow, and not lost.
    """
    until, runs, before = time.monotonic() + within, list[JsonObject](), (-1, -1)
    while time.monotonic() < until:
        try:
            runs = await asyncio.to_thread(running.items, "runs")
            status = await asyncio.to_thread(running.get, "status")
        except (OSError, AssertionError):  # between two lives, or without its store
            await asyncio.sleep(1)
            continue
        waiting = int(status["queues"]["deliveries"]["waiting"])
        awaited = [run for run in runs if item_of(run) in load.items]
        over = [run for run in awaited if run["state"] in FINAL]
        if waiting == 0 and len(over) == len(awaited) and {item_of(run) for run in over}.issuperset(load.items):
            break
        if (waiting, len(over)) != before:
            before, until = (waiting, len(over)), time.monotonic() + within
        await asyncio.sleep(0.5)
    return runs


def item_of(run: JsonObject) -> str:
    """Return the item that a run changes."""
    return str(run["target"]).rpartition("/")[2]


def judge_all(items: Mapping[str, str], runs: Sequence[JsonObject], entries: Sequence[Entry]) -> Findings:
    """Compare every item with what its playbook makes of it; the target's ledger is the judge."""
    found, landed = Findings(), defaultdict[str, list[object]](list)
    for entry in entries:
        if entry.applied and entry.key:
            landed[entry.name].append((entry.after or {}).get("workers"))
    keys = Counter(entry.key for entry in entries if entry.applied and entry.key)
    found.repeated += [f"{count} × {key}" for key, count in keys.items() if count > 1]
    states, why = defaultdict[str, list[str]](list), dict[str, str]()
    for run in runs:
        if run["state"] != "skipped":  # nothing was changed, and it was tried again: the target said no for a moment
            states[item_of(run)].append(run["state"])
            why[item_of(run)] = f"{run['id']} of {run['created_at']}: {run['reason']}"
    for item, playbook in items.items():
        state, values = ENDS[playbook]
        if not states[item]:
            found.lost.append(f"{item}: acknowledged, and no run")
        elif states[item] != [state]:
            found.violations.append(f"{item}: {playbook} ended {', '.join(states[item])} ({why[item]})")
        elif landed[item] != values:
            found.violations.append(f"{item}: set to {landed[item]} instead of {values}")
    return found
