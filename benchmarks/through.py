"""How many alerts a second go all the way through decide, for as long as one likes: accepted = decided.

First as much is posted as is taken, which shows how fast deciding is beside receiving. Then a steady rate a little
below that is held: it counts only when no work has piled up at its end, otherwise a lower rate is tried.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.bodies import bodies
from benchmarks.load import post, write_bodies
from benchmarks.place import Place, module, serving
from benchmarks.playbooks import idle
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from tests.bed.postgres import apart
from tests.bed.processes import private_directory
from tests.process_bed import Responder

GOALS = {1: 1_500, 50: 5_000}
"""Alerts per webhook, and the alerts a second to be reached."""
TRIES = 8
SHARE = 0.95
FLAT_SECONDS = 0.5
"""A queue counts as flat when it holds less than this many seconds of work at the end."""
DRAIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Held:
    rate: float
    waiting: int
    refused: int


def measure(place: Place, sizes: Sizes) -> Result:
    """Find the steady rate for small and for large webhooks."""
    rows = []
    with private_directory("bodies") as directory:
        for alerts in [number for number in sizes.webhooks if number in GOALS]:
            file = write_bodies(directory / f"{alerts}", bodies(sizes.fingerprints, alerts))
            ours = _ours(place, file, sizes, alerts)
            ceiling = _bare(place, file, sizes) * alerts
            what = f"{alerts} alert{'s' * (alerts > 1)} a webhook"
            rows.append(Row(what, ours, "alerts/s", ceiling, Goal("least", GOALS[alerts], timed=True)))
    return Result(
        title=f"through: alerts decided as fast as they come for {sizes.seconds:g} s, "
        f"{sizes.fingerprints:,} fingerprints, {sizes.playbooks} playbooks",
        rows=rows,
        ceiling="one process: aiohttp, one typed pass, a COPY of the body and an upsert of a row per alert, then 200",
        quote=f"{rows[0].figure:,.0f} alerts a second, {rows[0].what}, and {rows[-1].figure:,.0f}, {rows[-1].what}: "
        "each stored, matched and decided, with a flat queue",
    )


def _bare(place: Place, file: Path, sizes: Sizes) -> float:
    with place.database() as store, module("benchmarks.bare", "--store", store) as (url, _):
        post(f"{url}/webhook/alertmanager", file, sizes.warm)
        return post(f"{url}/webhook/alertmanager", file, sizes.seconds / 3).rate


def _ours(place: Place, file: Path, sizes: Sizes, alerts: int) -> float:
    with place.database() as store, serving(store, "http://127.0.0.1:9", idle(sizes.playbooks)) as running:
        # Every fingerprint once, so that what follows updates what is there; then the capacity, at full load.
        _settle(running, file, store, max(sizes.warm, 1.0))
        rate = _capacity(running, file, store, max(sizes.warm, 1.0)) * SHARE
        held = _Held(0.0, 0, 0)
        for _ in range(TRIES):
            held = _hold(running, file, store, max(1, math.floor(rate)), sizes.seconds)
            if held.waiting <= max(rate * FLAT_SECONDS, 1) and not held.refused:
                return held.rate * alerts
            rate *= 0.93
        raise RuntimeError(f"no steady rate was found; the last was {held}")


def _settle(running: Responder, file: Path, store: str, seconds: float) -> None:
    post(f"{running.url}/webhook/alertmanager", file, seconds)
    _drained(store)


def _capacity(running: Responder, file: Path, store: str, seconds: float) -> float:
    """Return how many webhooks a second were received and decided when as many were sent as were taken."""
    before = _done(store)
    started = time.monotonic()
    post(f"{running.url}/webhook/alertmanager", file, seconds)
    _drained(store)
    return (_done(store) - before) / (time.monotonic() - started)


def _hold(running: Responder, file: Path, store: str, rate: int, seconds: float) -> _Held:
    before = _done(store)
    load = post(f"{running.url}/webhook/alertmanager", file, seconds, rate)
    after, waiting = _done(store), _waiting(store)
    _drained(store)
    return _Held((after - before) / load.seconds, waiting, load.refused + load.broken)


def _done(store: str) -> int:
    return _count(store, "SELECT count(*) FROM deliveries WHERE state = 'done'")


def _waiting(store: str) -> int:
    dead = _count(store, "SELECT count(*) FROM deliveries WHERE state = 'dead'")
    assert not dead, f"{dead} deliveries were set aside"
    return _count(store, "SELECT count(*) FROM deliveries WHERE state = 'waiting'")


def _drained(store: str) -> None:
    until = time.monotonic() + DRAIN_SECONDS
    while _waiting(store):
        assert time.monotonic() < until, "the queue does not drain"
        time.sleep(0.1)


def _count(store: str, query: str) -> int:
    async def ask() -> int:
        connection = await asyncpg.connect(store)
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close()

    return apart(ask)
