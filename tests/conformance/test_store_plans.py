"""How PostgreSQL finds rows: by their index, also in a table that has grown faster than its statistics."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from responder.domain.limits import Limits, Rate
from responder.ports.store import Authority
from responder.stores.core.database import Order, Rows
from responder.stores.postgres import PostgresStore, postgres_store
from responder.stores.schema import ledger
from tests.conformance.building import acting, advance, applied, deliver, episode, incident, started, write

ROWS = 400
LONG_AGO = timedelta(hours=2)
LIMITS = Limits(per_playbook=Rate(3, timedelta(minutes=10)))


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


async def test_what_is_reserved_is_found_without_reading_what_a_playbook_did_long_ago(shared: PostgresStore) -> None:
    one = await acting(shared)
    await applied(shared, one, Authority(LIMITS, effects=2))
    advance(shared, LONG_AGO)
    old = [
        {"id": f"old{number}", "run_id": f"r{number}", "record_id": f"c{number}", "playbook": one.playbook}
        | {"target": one.target, "at": shared.now() - LONG_AGO}
        for number in range(ROWS)
    ]
    async with shared.db.writing(Order.CONTROL) as tx:
        await shared.db.write_rows(tx, [Rows(ledger, old)])
    other = await started(shared, target="http/other")
    before = await _rows_read_one_by_one(shared), await _entries_read(shared, "ix_ledger_playbook")
    standing = await shared.standing(other, LIMITS)
    assert standing.usage.by_playbook == (standing.now,)
    after = await _rows_read_one_by_one(shared), await _entries_read(shared, "ix_ledger_playbook")
    assert after[0]["ledger"] - before[0]["ledger"] < ROWS
    assert after[1] - before[1] < ROWS
