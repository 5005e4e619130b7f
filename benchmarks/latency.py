"""From the instant a webhook is posted to the instant the change arrives at its target, at a steady rate."""

import asyncio
import json
import time
from collections.abc import Mapping

import aiohttp

from benchmarks.bodies import bodies
from benchmarks.place import Place, module, serving
from benchmarks.playbooks import ACTING, acting
from benchmarks.report import Goal, Result, Row, quantile
from benchmarks.sizes import Sizes
from tests.bed.target_process import TargetProcess, target_process
from tests.process_bed import WEBHOOK_TOKEN

PATIENCE = 30.0
"""Seconds after the last webhook in which its change must have arrived."""


def measure(place: Place, sizes: Sizes) -> Result:
    """Post at a steady rate to a responder, then to a bare server that stores and sends."""
    with place.database() as store, target_process() as target, serving(store, target.url, acting()) as running:
        ours = _delays(running.url, target, sizes)
    with place.database() as store, target_process() as target:
        arguments = ("--store", store, "--target", target.url)
        with module("benchmarks.bare", *arguments) as (url, _):
            bare = _delays(url, target, sizes)
    goals = {0.5: Goal("most", 50, timed=True), 0.99: Goal("most", 250, timed=True)}
    rows = [
        Row(f"p{share * 100:g}", quantile(ours, share), "ms", quantile(bare, share), goal)
        for share, goal in goals.items()
    ]
    return Result(
        title=f"latency: webhook to change at the target, {sizes.latency_rate} a second "
        f"for {sizes.latency_seconds:g} s",
        rows=rows,
        ceiling="one process: aiohttp, one commit, the PUT; no plan, no record, no before-image",
        quote=f"half of the changes reach their target within {rows[0].figure:.0f} ms of the webhook, "
        f"99 of 100 within {rows[1].figure:.0f} ms, each recorded with its before-image first",
    )


def _delays(url: str, target: TargetProcess, sizes: Sizes) -> list[float]:
    """Return the delay of each change in milliseconds, sorted; all must arrive."""
    warm = max(1, sizes.latency_rate)
    count = warm + round(sizes.latency_rate * sizes.latency_seconds)
    posted = asyncio.run(_post(url, target.url, count, sizes.latency_rate))
    until = time.monotonic() + PATIENCE
    while len(began := _began(target, posted)) < count:
        assert time.monotonic() < until, f"{count - len(began)} of {count} changes never arrived"
        time.sleep(0.2)
    measured = list(posted)[warm:]
    return sorted((began[item] - posted[item]) * 1000 for item in measured)


def _began(target: TargetProcess, posted: Mapping[str, float]) -> dict[str, float]:
    """Return when the first write of each item that was not ours arrived."""
    return {
        entry.name: entry.began
        for entry in reversed(target.entries())
        if entry.name in posted and entry.body == {"workers": 6}
    }


async def _post(url: str, target: str, count: int, rate: int) -> dict[str, float]:
    """Post ``count`` webhooks, each with an alert of its own; return when each item's left."""
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}
    every = [json.loads(body) for body in bodies(count, 1, "Overloaded")]
    posted: dict[str, float] = {}
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for number, body in enumerate(every):
            item = sharded(body, number)
            async with session.put(f"{target}/admin/{item}", json={"workers": 2}):
                pass

        async def one(body: object, item: str) -> None:
            posted[item] = time.time()
            async with session.post(f"{url}/webhook/alertmanager", json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()

        started = time.monotonic()
        for number, body in enumerate(every):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            tasks.create_task(one(body, body["alerts"][0]["labels"]["item"]))
    return posted


def sharded(body: dict[str, list[dict[str, dict[str, str]]]], number: int) -> str:
    """Say which of the acting playbooks is to serve the body's alert, and return its item."""
    labels = body["alerts"][0]["labels"]
    labels["shard"] = str(number % ACTING)
    return labels["item"]
