"""The store's part in intake: deliveries that become durable, against COPY with nothing of ours around it."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg

from benchmarks.bodies import bodies
from benchmarks.place import Place
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from responder.domain.ids import new_id
from responder.ports.store import NewDelivery
from responder.stores.registry import open_store

BATCHES = (1, 16, 256)
"""Deliveries per transaction: one alone, a few at once, a storm."""


def measure(place: Place, sizes: Sizes) -> Result:
    """Accept deliveries in batches through the store, then COPY the same rows."""
    rows = []
    for batch in BATCHES:
        count = max(batch, sizes.deliveries * batch // 256 // batch * batch)
        with place.database() as store:
            ours, ceiling = asyncio.run(_both(store, batch, count))
        rows.append(Row(f"batches of {batch}", ours, "deliveries/s", ceiling, Goal("ratio", 0.7)))
    last = rows[-1]
    return Result(
        title="accept: deliveries made durable by the store alone",
        rows=rows,
        ceiling="asyncpg, COPY of the same rows into the same table",
        quote=f"{last.figure:,.0f} durable deliveries a second in batches of {BATCHES[-1]}, "
        f"{last.ratio:.2f} of raw COPY",
    )


async def _both(url: str, batch: int, count: int) -> tuple[float, float]:
    body = next(bodies(1, 1))
    store = open_store(url)
    await store.open()
    connection = await asyncpg.connect(url)

    async def through_the_store(deliveries: Sequence[NewDelivery]) -> None:
        answers = await store.accept(deliveries)
        assert not any(answers), answers

    async def copy(deliveries: Sequence[NewDelivery]) -> None:
        await connection.copy_records_to_table(
            "deliveries",
            records=[(d.id, d.source, d.received_at, d.body, d.alerts, d.received_at) for d in deliveries],
            columns=["id", "source", "received_at", "body", "alerts", "due_at"],
        )

    try:
        # One after the other several times, so that both meet the same disk and neighbours.
        ours, raw = [], []
        for _ in range(3):
            ours.append(await _rate(through_the_store, body, batch, count))
            raw.append(await _rate(copy, body, batch, count))
        return max(ours), max(raw)
    finally:
        await connection.close()
        await store.close()


async def _rate(
    write: Callable[[Sequence[NewDelivery]], Awaitable[None]], body: bytes, batch: int, count: int
) -> float:
    now = datetime.now(UTC)
    made = [NewDelivery(new_id(), "alertmanager", now, body, 1) for _ in range(count)]
    started = time.perf_counter()
    for first in itertools.count(0, batch):
        if first >= count:
            break
        await write(made[first : first + batch])
    return count / (time.perf_counter() - started)
