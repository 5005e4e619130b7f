"""How many runs come to their end: claim, plan, slot, record, read, PUT, look, finish; no web and no decide around.

Each run has a target of its own, works through ``http.request`` and verifies with ``http.get``. The ceiling makes the
same requests and as many commits of one row with bare clients, as concurrently.
"""

import asyncio
import json
import time
from dataclasses import replace
from datetime import datetime, timedelta

import aiohttp
import asyncpg

from benchmarks.place import Place
from benchmarks.playbooks import acting
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from responder.act.actor import CLAIM, Actor
from responder.app import catalogue
from responder.domain.alerts import Severity, fingerprint
from responder.domain.episodes import Episode, EpisodeState, Incident
from responder.domain.ids import new_id
from responder.domain.runs import Context, Run, RunState
from responder.playbook.model import Playbook
from responder.playbook.schema import load_playbook
from responder.ports.store import SliceChanges
from tests.act_bed import Bed, open_bed
from tests.bed.target_process import target_process

COMMITS = 4
"""What the effect protocol cannot do without: slot, intended, applied, end."""


def measure(place: Place, sizes: Sizes) -> Result:
    """Finish ``sizes.runs`` runs, then do the bare equivalent of as many."""
    with place.database() as store, target_process() as target:
        ours = asyncio.run(_runs(store, target.url, sizes.runs))
        ceiling = asyncio.run(bare(store, target.url, sizes.runs))
    return Result(
        title="turns: runs that end verified, in one process",
        rows=[Row("runs", ours, "/s", ceiling, Goal("least", 250, timed=True))],
        ceiling=f"GET, PUT and GET with aiohttp and {COMMITS} commits of one row with asyncpg for each run",
        quote=f"{ours:,.0f} recorded, checked and verified runs a second, {ours / ceiling:.2f} of bare clients",
    )


async def _runs(store: str, target: str, count: int) -> float:
    """Return how many runs a second come to their end; the first tenth warms up."""
    bed = await open_bed(store, target)
    total = count + count // 10 + 1
    ends: list[str] = []

    def on_fact(name: str, /, **fields: object) -> None:
        if name == "run_finished":
            ends.append(f"{fields['state']} {fields['reason']}")
        elif name in ("turn_lost", "turn_failed", "turn_crashed"):
            raise AssertionError(f"{name}: {fields}")

    try:
        await _begin(bed, target, total)
        actor = Actor(replace(bed.engine, on_fact=on_fact))
        warm, started = 0, 0.0
        while len(ends) < total:
            if not warm and len(ends) >= total - count:
                warm, started = len(ends), time.perf_counter()
            if not await actor.turn():
                await asyncio.sleep(0.002)
        seconds = time.perf_counter() - started
        await actor.drain()
        helped = sum(end.startswith("verified") for end in ends)
        assert helped == len(ends), f"{len(ends) - helped} runs were not verified: {sorted(set(ends))[:5]}"
        return (total - warm) / seconds
    finally:
        await bed.tools.close()
        await bed.store.close()


async def _begin(bed: Bed, target: str, count: int) -> None:
    """Create the runs as decide does, each with an episode and a target of its own, and what is there before."""
    known = catalogue()
    playbooks = [load_playbook(text, file, known, None) for file, text in acting().items()]
    for playbook in playbooks:
        bed.playbooks[playbook.revision] = playbook
        await bed.store.keep_playbook(playbook.name, playbook.revision, playbook.file, playbook.text)
    now = bed.store.now()
    made = [_run(playbooks[number % len(playbooks)], f"item-{number:06d}", now) for number in range(count)]
    async with aiohttp.ClientSession() as session:
        for run, _, _ in made:
            async with session.put(f"{target}/admin/{run.context.labels['item']}", json={"workers": 2}):
                pass
    for first in range(0, count, 200):
        some = made[first : first + 200]
        changes = SliceChanges(
            incidents=[incident for _, _, incident in some],
            episodes=[episode for _, episode, _ in some],
            runs=[(run, frozenset({episode.id})) for run, episode, _ in some],
            tell={incident.id: frozenset({"console:"}) for _, _, incident in some},
        )
        async with bed.store.slice() as tx:
            await tx.write(changes)


def _run(playbook: Playbook, item: str, now: datetime) -> tuple[Run, Episode, Incident]:
    labels = {"alertname": "Overloaded", "item": item}
    incident = Incident(
        id=new_id(),
        source="am",
        receiver="r",
        group_key=item,
        group_labels={},
        external_url="",
        severity=Severity.HIGH,
        opened_at=now,
    )
    episode = Episode(
        id=new_id(),
        source="am",
        fingerprint=fingerprint(labels),
        state=EpisodeState.OPEN,
        labels=labels,
        annotations={},
        generator_url="",
        severity=Severity.HIGH,
        starts_at=now,
        opened_at=now,
        evidence_at=now,
        incident_id=incident.id,
    )
    run = Run(
        id=new_id(),
        kind="forward",
        playbook=playbook.name,
        revision=playbook.revision,
        target=f"http/checkout/{item}",
        state=RunState.RESOLVING,
        mode=playbook.mode,
        severity=Severity.HIGH,
        incident_id=incident.id,
        context=Context(source="am", fingerprint=episode.fingerprint, labels=labels),
        created_at=now,
        due_at=now,
        deadline=now + timedelta(minutes=10),
    )
    return run, episode, incident


async def bare(store: str, target: str, count: int) -> float:
    """Return how many times a second bare clients do what a run cannot do without."""
    pool = await asyncpg.create_pool(store, min_size=12, max_size=12)
    await pool.execute("CREATE TABLE bare (id text PRIMARY KEY, state text NOT NULL, data jsonb NOT NULL)")
    work = iter(range(count))
    data = json.dumps({"before": {"workers": 2}, "after": {"workers": 6}})

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        url = f"{target}/admin/item-{number:06d}"
        async with session.get(url) as answer:
            await answer.json()
        for _ in range(COMMITS):
            await pool.execute("INSERT INTO bare VALUES ($1, 'intended', $2)", new_id(), data)
        async with session.put(url, json={"workers": 7}) as answer:
            await answer.json()
        async with session.get(url) as answer:
            await answer.json()

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in work:
            await one(session, number)

    async with aiohttp.ClientSession() as session:
        started = time.perf_counter()
        await asyncio.gather(*(worker(session) for _ in range(CLAIM)))
        seconds = time.perf_counter() - started
    await pool.close()
    return count / seconds
