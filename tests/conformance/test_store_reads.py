"""What one alert costs does not grow with what the store remembers: PostgreSQL's own counts of the rows that were read.

The planner is met at its worst: it has no statistics, and plans for tables that are nearly empty.
"""

from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import pytest

from responder.domain.ids import new_id
from responder.domain.limits import Limits, Rate
from responder.domain.runs import RunState
from responder.ports.store import DeliveryProgress, SliceChanges
from responder.stores.core.store import SqlStore
from responder.stores.registry import open_store
from tests.conformance import building as build

MANY = 1_000
"""Stories that lie in the store, of other targets and incidents."""
MARGIN = 300
"""Rows more that may be read than in a store with one story: far fewer than one for each."""
TABLES = (
    "deliveries", "incidents", "episodes", "runs", "run_episodes", "records", "ledger", "outbox", "audit",
)  # fmt: skip

_READ = """
SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)
"""
_COLUMNS = """
SELECT quote_ident(column_name) FROM information_schema.columns
WHERE table_schema = current_schema AND table_name = $1 AND column_name <> 'seq'
"""
_MULTIPLY = """
INSERT INTO {table} ({columns}) SELECT {made}
FROM {table} AS one, generate_series(1, {many}) AS number, jsonb_populate_record(NULL::{table}, CAST(regexp_replace(
  CAST(to_jsonb(one) AS text), '"([0-9a-z]{{8}}-[0-9a-z]{{8}}|[0-9a-f]{{64}}|http/first{also})"',
  '"\\1-' || number || '"', 'g'
) AS jsonb)) AS made
"""
"""Copies a table's rows; each copy has identifiers, a playbook and a target of its own."""


async def test_what_a_story_reads_does_not_grow_with_the_stories_before_it(postgres_url: str) -> None:
    await _story(postgres_url, "http/first")
    few = await _reads(postgres_url, "http/second")
    await _multiply(postgres_url)
    many = await _reads(postgres_url, "http/third")
    assert many < few + MARGIN


@pytest.mark.parametrize("kept", [False, True])
async def test_what_a_failure_reads_does_not_grow_with_the_playbooks_past(postgres_url: str, *, kept: bool) -> None:
    await _story(postgres_url, "http/first", RunState.FAILED)
    few = await _reads(postgres_url, "http/second", RunState.FAILED)
    await _multiply(postgres_url, ("runs",), "")
    await _execute(postgres_url, "UPDATE runs SET finished_at = finished_at - hashtext(id) % 9999 * interval '1 s'")
    if kept:
        await _execute(postgres_url, "UPDATE runs SET kept_at = finished_at WHERE hashtext(id) % 2 = 0")
    many = await _reads(postgres_url, "http/third", RunState.FAILED)
    assert many < few + MARGIN


async def _reads(url: str, target: str, end: RunState = RunState.VERIFIED) -> int:
    """Return how many rows and entries of indexes were read for a story; sessions count when they have ended."""
    before = await _ask(url)
    await _story(url, target, end)
    return await _ask(url) - before


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _ask(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(_READ))
    finally:
        await connection.close()


async def _multiply(url: str, tables: Sequence[str] = TABLES, also: str = "|restart") -> None:
    connection = await asyncpg.connect(url)
    try:
        for table in tables:
            columns = [row[0] for row in await connection.fetch(_COLUMNS, table)]
            made = ", ".join(f"made.{one}" for one in columns)
            done = await connection.execute(
                _MULTIPLY.format(table=table, columns=", ".join(columns), made=made, many=MANY, also=also)
            )
            assert int(done.split()[-1]) >= MANY, table
    finally:
        await connection.close()


async def _story(url: str, target: str, end: RunState = RunState.VERIFIED) -> None:
    """Take one alert through a store of its own: decided, run, told."""
    store = open_store(url)
    assert isinstance(store, SqlStore)
    await store.open()
    try:
        await build.deliver(store, new_id())
        (delivery,) = await store.claim_deliveries(10)
        run = await build.acting(store, target=target, tell=["console"])
        async with store.slice() as tx:
            assert await tx.runs_near([target], [], store.now() - build.HOUR)
            await tx.usage({(run.playbook, target): Limits(per_playbook=Rate(5, build.HOUR))})
            await tx.write(SliceChanges(progress=[DeliveryProgress(delivery.id, delivery.epoch, 1, done=True)]))
        await store.standing(run, Limits())
        await build.applied(store, run)
        await build.finished(store, run, end, trip_after=5)
        build.advance(store, timedelta(seconds=1))
        (item,) = await store.claim_outbox(10, ())
        accounts = await store.accounts([run.incident_id])
        assert accounts[run.incident_id].runs
        await store.told(item, {})
    finally:
        await store.close()
