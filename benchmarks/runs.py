"""How many runs a second one responder completes: posted, decided, planned, changed, verified; distinct targets."""

import asyncio
import json
import time

import aiohttp
import asyncpg

from benchmarks.bodies import bodies
from benchmarks.place import Place, serving
from benchmarks.playbooks import ACTING, acting
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from benchmarks.turns import COMMITS, bare
from tests.bed.target_process import target_process
from tests.process_bed import WEBHOOK_TOKEN

GROUP = 10
"""Alerts per webhook: each group is an incident with as many runs."""
PATIENCE = 300.0


def measure(place: Place, sizes: Sizes) -> Result:
    """Post all alerts at once and wait until every run has come to its end."""
    with place.database() as store, target_process() as target:
        with serving(store, target.url, acting()) as running:
            ours = asyncio.run(_runs(running.url, store, target.url, sizes.runs))
        ceiling = asyncio.run(bare(store, target.url, sizes.runs))
    return Result(
        title="runs: from the webhook to a verified run, one responder",
        rows=[Row("completed runs", ours, "runs/s", ceiling, Goal("least", 250, timed=True))],
        ceiling=f"GET, PUT and GET with aiohttp and {COMMITS} commits of one row with asyncpg for each run",
        quote=f"{ours:,.0f} runs a second, webhook to verified, {ours / ceiling:.2f} of what bare clients do",
    )


async def _runs(url: str, store: str, target: str, count: int) -> float:
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}
    every = [json.loads(body) for body in bodies(count, GROUP, "Overloaded")]
    async with aiohttp.ClientSession() as session:
        for number, alert in enumerate(alert for body in every for alert in body["alerts"]):
            alert["labels"]["shard"] = str(number % ACTING)
            async with session.put(f"{target}/admin/{alert['labels']['item']}", json={"workers": 2}):
                pass
        started = time.monotonic()
        for body in every:
            async with session.post(f"{url}/webhook/alertmanager", json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
    connection = await asyncpg.connect(store)
    try:
        while await connection.fetchval("SELECT count(*) FROM runs WHERE finished_at IS NOT NULL") < count:
            assert time.monotonic() - started < PATIENCE, "not every run came to its end"
            await asyncio.sleep(0.2)
        ends = await connection.fetch("SELECT state, reason FROM runs WHERE state <> 'verified' LIMIT 3")
        assert not ends, f"not every run was verified: {ends}"
        seconds = await connection.fetchval(
            "SELECT extract(epoch FROM max(finished_at) - min(created_at))::float8 FROM runs"
        )
    finally:
        await connection.close()
    return count / float(seconds)
