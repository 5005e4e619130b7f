"""The connections to PostgreSQL: transactions end as they say, and what is in doubt is thrown away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import select, text

from responder.domain.errors import Conflict, StoreError, Unavailable
from responder.stores import postgres
from responder.stores.core.database import Order, upsert
from responder.stores.postgres import PostgresDatabase
from responder.stores.schema import meta

_SLEEP = text("SELECT pg_sleep(:seconds)")
_NONSENSE = text("SELECT 1 / 0")
_VALUE = select(meta.c.value).where(meta.c.key == "k")


@pytest.fixture
async def shared(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    opened = PostgresDatabase(postgres_url)
    await opened.open()
    yield opened
    await opened.close()


async def put(store: PostgresDatabase, value: str, *, fail: bool = False) -> None:
    """Write a value; `fail` lets a statement after it go wrong, which nobody minds."""
    async with store.writing(Order.CONTROL) as tx:
        await tx.execute(upsert(store, meta, "key"), {"key": "k", "value": value})
        if fail:
            with suppress(StoreError):
                await store.fetch(tx, _NONSENSE, {})


async def value(store: PostgresDatabase) -> list[str]:
    async with store.reading() as tx:
        return [row.value for row in await store.fetch(tx, _VALUE, {})]


async def backends(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        count = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'responder'"
        )
    finally:
        await connection.close()
    return int(count)


async def test_a_commit_that_the_server_takes_back_is_an_error(shared: PostgresDatabase) -> None:
    await put(shared, "first")
    with pytest.raises(Unavailable, match="took the transaction back"):
        await put(shared, "second", fail=True)
    assert await value(shared) == ["first"]


async def test_what_fails_is_taken_back_and_the_connection_goes_on(shared: PostgresDatabase, postgres_url: str) -> None:
    await put(shared, "first")
    before = await backends(postgres_url)

    async def goes_wrong() -> None:
        async with shared.writing(Order.CONTROL) as tx:
            await tx.execute(upsert(shared, meta, "key"), {"key": "k", "value": "second"})
            raise Conflict("somebody else was first")

    with pytest.raises(Conflict):
        await goes_wrong()
    assert await value(shared) == ["first"]
    assert await backends(postgres_url) == before, "nothing was thrown away"


async def test_a_connection_that_was_left_in_the_middle_is_thrown_away(shared: PostgresDatabase) -> None:
    begun = asyncio.Event()
    used: list[object] = []

    async def long() -> None:
        async with shared.writing(Order.CONTROL) as tx:
            used.append(shared.connections.raw(tx))
            await tx.execute(upsert(shared, meta, "key"), {"key": "k", "value": "lost"})
            begun.set()
            await shared.fetch(tx, _SLEEP, {"seconds": 30})

    task = asyncio.create_task(long())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await value(shared) == []
    async with shared.reading() as tx:
        assert shared.connections.raw(tx) is not used[0]


async def test_who_finds_every_connection_in_use_is_told_in_time(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_POOL", 2)
    monkeypatch.setattr(postgres, "STATEMENT", timedelta(seconds=0.2))
    store = PostgresDatabase(postgres_url)
    await store.open()
    try:
        async with store.reading(), store.reading():
            with pytest.raises(Unavailable, match="in use"):
                await value(store)
        assert await value(store) == [], "what is given back can be taken again"
    finally:
        await store.close()
