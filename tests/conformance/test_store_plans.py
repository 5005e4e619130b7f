"""How PostgreSQL finds rows: by their index, also in a table that has grown faster than its statistics."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from responder.stores.core.database import Order
from responder.stores.postgres import PostgresStore, postgres_store
from tests.conformance.building import deliver, episode, incident, write

ROWS = 400


@pytest.fixture
async def shared(postgres_url: str) -> AsyncIterator[PostgresStore]:
    opened = postgres_store(postgres_url)
    await opened.open()
    yield opened
    await opened.close()


async def _rows_read_one_by_one(store: PostgresStore) -> dict[str, int]:
    """Return how many rows of each table were read without an index so far."""
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(text("SELECT pg_stat_force_next_flush()"))
    async with store.db.reading() as tx:
        found = await tx.execute(text("SELECT relname, seq_tup_read FROM pg_stat_user_tables"))
        return {row.relname: row.seq_tup_read for row in found}


async def _entries_read(store: PostgresStore, index: str) -> int:
    """Return how many entries of an index were read so far."""
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(text("SELECT pg_stat_force_next_flush()"))
    async with store.db.reading() as tx:
        query = text("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = :index")
        return int(await tx.scalar(query, {"index": index}) or 0)


async def test_incidents_are_looked_up_by_their_group_in_a_table_that_has_just_grown(shared: PostgresStore) -> None:
    about = [incident(shared) for _ in range(ROWS)]
    await write(shared, incidents=about)
    before = await _entries_read(shared, "uq_incidents_open")
    async with shared.slice() as slice_:
        groups = [(one.source, one.receiver, one.group_key) for one in about[:8]]
        assert len(await slice_.incidents(groups, [])) == 8
    assert await _entries_read(shared, "uq_incidents_open") - before < ROWS


async def test_a_slice_and_a_claim_do_not_read_whole_tables(shared: PostgresStore) -> None:
    about = [incident(shared) for _ in range(ROWS)]
    await write(shared, incidents=about, episodes=[episode(shared, incident_id=one.id) for one in about])
    await deliver(shared, *(f"d{number}" for number in range(ROWS)))
    before = await _rows_read_one_by_one(shared)
    assert len(await shared.claim_deliveries(8)) == 8
    async with shared.slice() as slice_:
        groups = [(one.source, one.receiver, one.group_key) for one in about[:8]]
        assert len(await slice_.incidents(groups, [])) == 8
        assert len(await slice_.others_of([one.id for one in about[:8]])) == 8
    after = await _rows_read_one_by_one(shared)
    for table in ("deliveries", "episodes", "incidents"):
        assert after[table] - before[table] < ROWS, table
