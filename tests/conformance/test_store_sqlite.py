"""What only the embedded store promises: one process, one writer, a clock that never goes back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from responder.domain.errors import SettingsError, Unavailable
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from responder.stores.sqlite import SqliteDatabase, sqlite_store
from tests.conformance.building import deliver


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "new folder"
    folder.mkdir()
    return folder / "responder.db"


@pytest.fixture
async def embedded(path: Path) -> AsyncIterator[SqlStore]:
    store = sqlite_store(path)
    await store.open()
    yield store
    await store.close()


async def test_a_second_opener_is_told_who_holds_the_file(embedded: SqlStore, path: Path) -> None:
    second = sqlite_store(path)
    with pytest.raises(SettingsError, match=r"responder\.db is in use by process \d+"):
        await second.open()
    await embedded.close()
    await second.open()
    await second.close()


async def test_a_place_that_cannot_be_written_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        await sqlite_store(tmp_path / "file" / "responder.db").open()


async def test_a_file_that_is_no_database_is_unavailable_and_the_lock_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "responder.db"
    path.write_text("not a database at all, by any means")
    with pytest.raises(Unavailable):
        await sqlite_store(path).open()
    path.unlink()
    store = sqlite_store(path)
    await store.open()
    await store.close()


async def test_a_closed_store_is_unavailable(embedded: SqlStore) -> None:
    await embedded.close()
    with pytest.raises(Unavailable):
        await embedded.ping()
    with pytest.raises(Unavailable):
        await embedded.depths()


async def test_commits_reach_the_disk_and_readers_cannot_write(embedded: SqlStore) -> None:
    async with embedded.db.writing(Order.CONTROL) as tx:
        assert await tx.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await tx.scalar(text("PRAGMA synchronous")) == 2
        assert await tx.scalar(text("PRAGMA mmap_size")) == 0
    async with embedded.db.reading() as tx:
        assert await tx.scalar(text("PRAGMA query_only")) == 1
        assert await tx.scalar(text("PRAGMA wal_autocheckpoint")) == 0
        assert await tx.scalar(text("PRAGMA mmap_size")) == 0


async def test_writers_go_in_the_order_of_their_urgency(embedded: SqlStore) -> None:
    done: list[Order] = []
    arrived = asyncio.Event()

    async def work(order: Order) -> None:
        async with embedded.db.writing(order):
            done.append(order)

    async with asyncio.TaskGroup() as group, embedded.db.writing(Order.DECIDE):
        for order in (*reversed(Order), *reversed(Order)):
            group.create_task(work(order))
        asyncio.get_running_loop().call_soon(arrived.set)
        await arrived.wait()

    assert done == sorted(done)
    assert len(done) == 2 * len(Order)


async def test_a_cancelled_writer_gives_its_place_up(embedded: SqlStore) -> None:
    async def work() -> None:
        async with embedded.db.writing(Order.RECORD):
            pass

    async with embedded.db.writing(Order.DECIDE):
        waiting = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    await asyncio.gather(*waiting[1:])
    async with asyncio.timeout(1):
        await embedded.ping()


async def test_a_cancelled_transaction_leaves_nothing_and_blocks_nobody(embedded: SqlStore) -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        async with embedded.db.writing(Order.RECORD) as tx:
            await tx.execute(text("INSERT INTO meta (key, value) VALUES ('half', 'done')"))
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with embedded.db.writing(Order.RECORD) as tx:
        assert await tx.scalar(text("SELECT count(*) FROM meta WHERE key = 'half'")) == 0


async def test_the_clock_starts_no_earlier_than_it_was_left(path: Path) -> None:
    database = SqliteDatabase(path)
    first = SqlStore(database)
    await first.open()
    ahead = datetime.now(UTC) + timedelta(hours=3)
    database.clock.anchor(ahead)
    await deliver(first, "d")
    await first.close()

    second = sqlite_store(path)
    await second.open()
    assert second.now() >= ahead
    await second.close()


async def test_an_idle_poll_of_the_queues_writes_nothing(embedded: SqlStore, path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    await embedded.claim_runs(1)
    before = wal.stat().st_size, wal.stat().st_mtime_ns
    for _ in range(5):
        await embedded.claim_runs(1)
        await embedded.claim_deliveries(1)
        await embedded.claim_outbox(1, [])
    assert (wal.stat().st_size, wal.stat().st_mtime_ns) == before


async def test_many_writers_at_once_are_all_durable(embedded: SqlStore, path: Path) -> None:
    await asyncio.gather(*(deliver(embedded, f"d{number}") for number in range(50)))
    await embedded.close()
    again = sqlite_store(path)
    await again.open()
    assert len(await again.claim_deliveries(100)) == 50
    await again.close()
