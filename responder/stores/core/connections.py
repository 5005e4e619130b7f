"""The connections of one process to PostgreSQL: a few, kept open, the one used last given out first.

The one used last has the statements prepared and planned, and its server process is warm.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from responder.domain.errors import StoreError, Unavailable
from responder.stores.core.database import translate
from responder.stores.core.ready import Ready

RAW_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises, beside OSError and TimeoutError."""


class Connections:
    """Gives out connections, each to one user at a time."""

    def __init__(
        self, engine: AsyncEngine, most: int, patience: float, spent: Callable[["asyncpg.Connection[Any]"], bool]
    ) -> None:
        """Open at most ``most``; wait ``patience`` seconds for one. ``spent`` says which is of no use any more."""
        self._engine = engine
        self._room = asyncio.Semaphore(most)
        self._patience = patience
        self._spent = spent
        self._free: list[AsyncConnection] = []
        self._raw: dict[AsyncConnection, asyncpg.Connection[asyncpg.Record]] = {}
        self._ready: dict[Executable, Ready] = {}

    def raw(self, connection: AsyncConnection) -> "asyncpg.Connection[asyncpg.Record]":
        """Return the connection below."""
        return self._raw[connection]

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection on which nothing is begun. Raises Unavailable when none becomes free in time."""
        await self._enter()
        try:
            connection = await self._warm() or await self._open(self._engine)
            try:
                yield connection
            except (TimeoutError, OSError, asyncio.CancelledError):
                # Its server did not answer, or nobody knows what it is doing: a rollback might wait as long again.
                await self._drop(connection)
                raise
            finally:
                await self._give_back(connection)
        finally:
            self._room.release()

    @asynccontextmanager
    async def apart(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """Open a connection of ``engine`` beside all others, for once."""
        connection = await self._open(engine)
        try:
            yield connection
        finally:
            await self._drop(connection)

    @asynccontextmanager
    async def begun(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Begin a transaction; commits when the block ends normally, and else takes all back."""
        raw = self._raw[connection]
        await _simply(raw, "BEGIN;")
        try:
            yield
        except (TimeoutError, OSError, asyncio.CancelledError):
            raise  # the connection is thrown away, and the server takes everything back
        except BaseException:  # whatever ended the block, nothing of it may stay
            with suppress(StoreError):
                await _simply(raw, "ROLLBACK;")
            raise
        if await _simply(raw, "COMMIT;") != "COMMIT":
            raise Unavailable("the store took the transaction back: a statement in it had failed")

    async def fetch(self, connection: AsyncConnection, statement: Executable, given: Mapping[str, Any]) -> list[Any]:
        """Execute a statement that is built once and kept: it is compiled the first time only."""
        ready = self._ready.get(statement)
        if ready is None:
            ready = self._ready[statement] = Ready(statement, self._engine.dialect, given)
        raw = self._raw[connection]
        try:
            return ready.rows(await raw.fetch(ready.sql, *ready.values(given)))
        except RAW_ERRORS as error:
            raise _failed(raw, error) from error

    async def close(self) -> None:
        """End every connection that nobody uses."""
        while self._free:
            connection = self._free.pop()
            del self._raw[connection]
            await connection.close()

    async def _enter(self) -> None:
        if not self._room.locked():
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._room.acquire()
        except TimeoutError as error:
            raise Unavailable("every connection to the store is in use") from error

    async def _warm(self) -> AsyncConnection | None:
        while self._free:
            connection = self._free.pop()
            if not self._spent(self._raw[connection]):
                return connection
            await self._drop(connection)
        return None

    async def _open(self, engine: AsyncEngine) -> AsyncConnection:
        connection = await engine.connect()
        # Transactions are begun and ended here, and nowhere else.
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        self._raw[connection] = await below(connection)
        return connection

    async def _give_back(self, connection: AsyncConnection) -> None:
        raw = self._raw.get(connection)
        if raw is None:
            return
        if self._spent(raw) or raw.is_in_transaction():
            await self._drop(connection)
        else:
            self._free.append(connection)

    async def _drop(self, connection: AsyncConnection) -> None:
        raw = self._raw.pop(connection, None)
        if raw is None:
            return
        raw.terminate()
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            await connection.invalidate()
            await connection.close()


async def below(connection: AsyncConnection) -> "asyncpg.Connection[asyncpg.Record]":
    """Return the connection below one that was opened just now."""
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None  # noqa: S101 - see above
    return raw  # type: ignore[no-any-return]


async def _simply(raw: "asyncpg.Connection[asyncpg.Record]", command: str) -> str:
    try:
        return await raw.execute(command)
    except RAW_ERRORS as error:
        raise _failed(raw, error) from error


def _failed(raw: "asyncpg.Connection[asyncpg.Record]", error: Exception) -> StoreError:
    if isinstance(error, asyncpg.InternalClientError):
        # The driver has lost its way in what the server said, as when one dies: nobody knows what it is doing.
        raw.terminate()
    return translate(error)
