"""The decider on its own: deliveries that lie in the inbox become episodes, incidents and decisions."""

import asyncio
import json
import time
from pathlib import Path

import asyncpg

from benchmarks.bodies import bodies
from benchmarks.place import Place
from benchmarks.playbooks import idle
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from responder.app import catalogue, read_settings
from responder.app.parts import parser_of, rules_of
from responder.decide.decider import Decider
from responder.decide.slices import SLICE
from responder.domain.ids import new_id
from responder.playbook.library import load_library
from responder.ports.store import NewDelivery, Store
from responder.stores.registry import open_store
from tests.bed.processes import private_directory
from tests.process_bed import config

PER_WEBHOOK = (1, 50)
_STATEMENTS = """
CREATE TABLE bare_alerts (fingerprint text PRIMARY KEY, labels jsonb, annotations jsonb, status text);
CREATE TABLE bare_decisions (fingerprint text PRIMARY KEY, verdict text, times int);
"""
_UPSERT_ALERTS = """
INSERT INTO bare_alerts SELECT fingerprint, labels, annotations, status
FROM jsonb_to_recordset($1) AS one(fingerprint text, labels jsonb, annotations jsonb, status text)
ON CONFLICT (fingerprint) DO UPDATE SET labels = excluded.labels, annotations = excluded.annotations,
status = excluded.status
"""
_UPSERT_DECISIONS = """
INSERT INTO bare_decisions SELECT fingerprint, 'no_match', 1 FROM jsonb_to_recordset($1) AS one(fingerprint text)
ON CONFLICT (fingerprint) DO UPDATE SET times = bare_decisions.times + 1
"""


def measure(place: Place, sizes: Sizes) -> Result:
    """Decide new alerts, then the same alerts again, one and fifty in a delivery."""
    rows = []
    with private_directory("decide") as directory:
        for per_webhook in PER_WEBHOOK:
            count = min(sizes.deliveries, sizes.fingerprints) // per_webhook * per_webhook
            every = list(bodies(count, per_webhook))
            with place.database() as store:
                new, again, ceiling = asyncio.run(_all(directory, store, every, count, sizes))
            what = f"{per_webhook} a delivery"
            rows += [
                Row(f"{what}, new", new, "alerts/s", ceiling),
                Row(f"{what}, again", again, "alerts/s", ceiling, Goal("ratio", 0.15)),
            ]
    return Result(
        title=f"decide: alerts decided from the inbox by one decider, {sizes.playbooks} playbooks",
        rows=rows,
        ceiling=f"json.loads and two upserts of a row per alert, {SLICE} in a transaction, with asyncpg",
        quote=f"{rows[1].figure:,.0f} alerts a second decided one by one, {rows[3].figure:,.0f} in groups of 50",
    )


async def _all(directory: Path, url: str, every: list[bytes], count: int, sizes: Sizes) -> tuple[float, float, float]:
    store = open_store(url)
    await store.open()
    try:
        decider = _decider(directory, store, sizes)
        await _decided(store, decider, every[:1], 1)  # what happens once: connections, compiled statements
        new = await _decided(store, decider, every, count)
        again = await _decided(store, decider, every, count)
    finally:
        await store.close()
    return new, again, await _bare(url, every, count)


def _decider(directory: Path, store: Store, sizes: Sizes) -> Decider:
    for file, text in idle(sizes.playbooks).items():
        (directory / file).write_text(text, encoding="utf-8")
    settings_file = directory / "responder.yml"
    settings = {**config("sqlite:///unused.db", "http://127.0.0.1:9"), "playbooks": ["."], "routes": []}
    settings["access"] = {"tokens": []}
    settings_file.write_text(json.dumps(settings), encoding="utf-8")
    read = read_settings(settings_file)
    library = load_library(sorted(directory.glob("*.yaml")), catalogue(), None, {})
    assert len(library.playbooks) == sizes.playbooks, library.complaints
    rules = rules_of(read)

    def on_fact(name: str, /, **fields: object) -> None:
        assert name != "delivery_failed", fields

    return Decider(store, lambda: library, lambda: rules, parser_of(lambda: read), on_fact=on_fact)


async def _decided(store: Store, decider: Decider, every: list[bytes], count: int) -> float:
    """Put the bodies into the inbox and return how many alerts a second were decided."""
    for first in range(0, len(every), 256):
        now = store.now()
        await store.accept([NewDelivery(new_id(), "alertmanager", now, body, 1) for body in every[first : first + 256]])
    started = time.perf_counter()
    while (await store.depths())["deliveries"].waiting:  # a turn's number only says whether there may be more
        await decider.turn()
    return count / (time.perf_counter() - started)


async def _bare(url: str, every: list[bytes], count: int) -> float:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_STATEMENTS)
        started = time.perf_counter()
        alerts = [alert for body in every for alert in json.loads(body)["alerts"]]
        for first in range(0, count, SLICE):
            some = json.dumps(alerts[first : first + SLICE])
            async with connection.transaction():
                await connection.execute(_UPSERT_ALERTS, some)
                await connection.execute(_UPSERT_DECISIONS, some)
        return count / (time.perf_counter() - started)
    finally:
        await connection.close()
