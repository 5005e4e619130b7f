"""The store that many replicas share: PostgreSQL through SQLAlchemy, the intake's flush on raw asyncpg."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy import (
    JSON,
    BindParameter,
    Boolean,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    Table,
    Text,
    TextClause,
    any_,
    bindparam,
    cast,
    column,
    event,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import TypeEngine

from responder.domain.errors import Unavailable
from responder.ports.store import NewDelivery
from responder.stores.core import migrate
from responder.stores.core.clock import AnchoredClock
from responder.stores.core.database import Gone, Order, Patch, Rows, Write, translate, translated
from responder.stores.core.store import SqlStore
from responder.stores.core.types import decode, encode

STATEMENT = timedelta(seconds=5)
"""How long one statement may take before the store counts as unavailable."""
_CONNECT = timedelta(seconds=3)
SYNC_EVERY = timedelta(seconds=5)
"""How old the clock's anchor may become."""
HUNG = timedelta(seconds=30)
"""How long a replica's transaction may wait for its client; then any replica ends it."""
_POOL = 12
_MIGRATION_LOCK = "responder/migrations"
_SETTINGS = {
    "application_name": "responder",
    "synchronous_commit": "on",
    "statement_timeout": "5s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    "jit": "off",  # compiling short statements costs more than running them
    # Every statement has its index. Without statistics of a table that has just grown, the planner reads all of it
    # for each slice, or sorts all that is due for each claim.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}


class PostgresDatabase:
    """A PostgreSQL database behind a pool of connections."""

    def __init__(self, url: str, password: str | None = None) -> None:
        """Use the database at ``url`` (libpq's form); ``password`` overrides the one in it."""
        self._url = url
        self._password = password
        self.clock = AnchoredClock()
        self._engine: AsyncEngine | None = None
        self._sync: asyncio.Task[None] | None = None
        self._intake: asyncpg.Connection[asyncpg.Record] | None = None
        self._flushing = asyncio.Lock()

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a new raw connection."""
        return await asyncpg.connect(
            self._url,
            password=self._password,
            timeout=_CONNECT.total_seconds(),
            command_timeout=STATEMENT.total_seconds(),
            server_settings=_SETTINGS,
        )

    async def open(self) -> None:
        """Connect, migrate and anchor the clock on the server's."""
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect,
            pool_size=_POOL,
            max_overflow=0,
            pool_timeout=STATEMENT.total_seconds(),
            # The connection used last has the statements prepared and planned, and its server process is warm.
            pool_use_lifo=True,
            json_serializer=encode,
            json_deserializer=decode,
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)
        try:
            async with self.writing(Order.CONTROL) as tx:
                if await tx.run_sync(migrate.current) != migrate.head():
                    await self.lock(tx, [_MIGRATION_LOCK])
                    await tx.execute(text("SET LOCAL statement_timeout = 0"))
                    await tx.run_sync(migrate.upgrade)
            await self._anchor()
        except BaseException:
            await self.close()
            raise
        self._sync = asyncio.create_task(self._keep_anchored(), name="store-clock")

    async def close(self) -> None:
        """Close every connection."""
        if self._sync is not None:
            self._sync.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sync
            self._sync = None
        if self._intake is not None:
            self._intake.terminate()
            self._intake = None
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    def now(self) -> datetime:
        """Return the store's clock: the server's, advanced by this machine's monotonic clock."""
        return self.clock.now()

    @asynccontextmanager
    async def writing(self, order: Order) -> AsyncIterator[AsyncConnection]:
        """Run a transaction; ``order`` means nothing where many may write."""
        with translated():
            if self._engine is None:
                raise Unavailable("the store is not open")
            async with self._engine.connect() as connection, _unless_hung(connection):
                await connection.begin()
                yield connection
                await connection.commit()

    def alone(self, order: Order) -> AbstractAsyncContextManager[AsyncConnection]:
        """Take a connection without beginning anything: a statement alone costs one round trip and not three."""
        return self.reading()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection; each statement sees what was committed before it."""
        with translated():
            if self._engine is None:
                raise Unavailable("the store is not open")
            async with self._engine.connect() as connection, _unless_hung(connection):
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection

    async def lock(self, tx: AsyncConnection, names: Sequence[str], shared: Sequence[str] = ()) -> None:
        """Take advisory locks, in one statement and in sorted order."""
        wanted = {**dict.fromkeys(shared, False), **dict.fromkeys(names, True)}
        if wanted:
            ordered = sorted(wanted)
            await tx.execute(_LOCK, {"names": ordered, "alone": [wanted[name] for name in ordered]})

    async def write_rows(self, tx: AsyncConnection, writes: Sequence[Write]) -> None:
        """Write all in one statement, each table from one JSON parameter.

        That is about twice as fast as executing row by row, for the client as well as for the server.
        """
        present = [rows for rows in writes if rows.values]
        if present:
            parameters = {f"rows{place}": encode(rows.values) for place, rows in enumerate(present)}
            await tx.execute(_write_all(tuple(map(_shape, present))), parameters)

    def keys(self, rows: Sequence[Sequence[Any]], types: Sequence[TypeEngine[Any]] = (Text(),)) -> FromClause:
        """Return ``rows`` as a relation, from one array for each column."""
        arrays = [bindparam(None, [row[place] for row in rows], type_=ARRAY(kind)) for place, kind in enumerate(types)]
        return _unnested(arrays, {f"k{place}": kind for place, kind in enumerate(types)})

    def given(self, name: str, /, **columns: TypeEngine[Any]) -> FromClause:
        """Return a relation, from one array for each column."""
        return _unnested([bindparam(f"{name}_{one}", type_=ARRAY(kind)) for one, kind in columns.items()], columns)

    def give(self, name: str, /, **columns: Sequence[Any]) -> dict[str, Any]:
        """Return an array for each column."""
        return {f"{name}_{one}": list(column) for one, column in columns.items()}

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Compare with an array: joined with a relation, the planner may read a young table once for each key."""
        return column == any_(bindparam(f"{name}_key", type_=ARRAY(column.type)))

    def within(self, column: ColumnElement[Any], query: Select[Any] | CompoundSelect[Any]) -> ColumnElement[bool]:
        """Compare with the array of what is found."""
        return column == any_(func.array(query.scalar_subquery(), type_=ARRAY(column.type)))

    def insert(self, table: Table) -> Insert:
        """Return PostgreSQL's INSERT."""
        return insert(table)

    def carries(self, column: ColumnElement[Any], labels: dict[str, str]) -> ColumnElement[bool]:
        """Use containment."""
        return column.op("@>")(cast(labels, JSONB))

    async def flush(self, deliveries: Sequence[NewDelivery]) -> None:
        """Commit all by one COPY on the intake's own connection; asyncpg's errors come out as they are."""
        rows = [(d.id, d.source, d.received_at, d.body, d.alerts, d.received_at) for d in deliveries]
        async with self._flushing:
            try:
                if self._intake is None or self._intake.is_closed():
                    self._intake = await self._connect_intake()
                await self._intake.copy_records_to_table(
                    "deliveries",
                    records=rows,
                    columns=["id", "source", "received_at", "body", "alerts", "due_at"],
                    timeout=STATEMENT.total_seconds(),
                )
            except BaseException as error:
                if self._intake is not None and not isinstance(error, asyncpg.PostgresError):
                    self._intake.terminate()  # what it is doing now is unknown
                    self._intake = None
                raise

    async def _connect_intake(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection that compresses bodies with lz4 where the server can: a third of the cost of a COPY."""
        connection = await self.connect()
        with contextlib.suppress(asyncpg.UndefinedObjectError, asyncpg.InvalidParameterValueError):
            await connection.execute("SET default_toast_compression = 'lz4'")  # since 14, and where it was built in
        return connection

    async def stored(self, ids: Sequence[str]) -> set[str]:
        """Return which of the deliveries are there, asked on a fresh connection."""
        connection = await self.connect()
        try:
            rows = await connection.fetch("SELECT id FROM deliveries WHERE id = ANY($1::text[])", list(ids))
        finally:
            connection.terminate()
        return {row["id"] for row in rows}

    async def _anchor(self) -> None:
        async with self.reading() as connection:
            await connection.scalar(select(1))  # the connection's own set-up is not part of the round trip
            before = time.monotonic()
            server = await connection.scalar(select(func.clock_timestamp()))
            after = time.monotonic()
        assert server is not None  # noqa: S101 - a function without arguments returns a row
        self.clock.anchor(server, (before + after) / 2)

    async def _keep_anchored(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY.total_seconds() * 0.8)
            with contextlib.suppress(Unavailable):  # whoever needs the store now hears of it
                await self._anchor()
                await self._end_hung()

    async def _end_hung(self) -> None:
        """End the transactions of replicas that froze: what they lock would wait for as long as they do.

        The server's own timeouts do not reach a session between the two halves of a statement that is new to it.
        """
        async with self.reading() as connection:
            await connection.execute(_END_HUNG, {"hung": HUNG})


def _unnested(arrays: Sequence[BindParameter[Any]], columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    typed = (cast(array, ARRAY(kind)) for array, kind in zip(arrays, columns.values(), strict=True))
    shape = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*typed).table_valued(*shape).render_derived()


def _refuse_closed(connection: DBAPIConnection, *_: object) -> None:
    """Make the pool replace a connection that the server closed meanwhile; asyncpg knows without asking."""
    driver: asyncpg.Connection[asyncpg.Record] = connection.driver_connection
    if driver.is_closed():
        raise DisconnectionError("the server closed the connection")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a statement that writes goes by: a table, the columns given, the key, and what is done with them.

    ``changes``: what is changed where an inserted row's key is taken. ``valued`` are the columns that must hold JSON.
    """

    kind: type[Write]
    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    changes: tuple[tuple[str, str], ...] = ()
    valued: frozenset[str] = frozenset()

    @property
    def same(self) -> str:
        """The condition that a row of the table is one that was given."""
        return " AND ".join(f'{self.table}."{name}" = given."{name}"' for name in self.key)

    def value(self, name: str) -> str:
        """Return what is written to a column: JSON's null is a value where there must be one, and else read as none."""
        return f"coalesce(given.\"{name}\", 'null'::jsonb)" if name in self.valued else f'given."{name}"'


def _shape(rows: Write) -> _Shape:
    columns = tuple(rows.values[0])
    if isinstance(rows, Gone):
        return _Shape(Gone, rows.table.name, columns, columns)
    changes = tuple(rows.changes.items()) if isinstance(rows, Rows) else ()
    valued = frozenset(one.name for one in rows.table.c if isinstance(one.type, JSON) and not one.nullable)
    return _Shape(type(rows), rows.table.name, columns, rows.key, changes, valued)


@functools.cache
def _write_all(shapes: tuple[_Shape, ...]) -> TextClause:
    """Return the statement for these tables, columns, keys and changes; all of them come from the schema."""
    parts = [_write_one(place, shape) for place, shape in enumerate(shapes)]
    if len(parts) == 1:
        return text(parts[0])
    return text(f"WITH {', '.join(f'w{place} AS ({part})' for place, part in enumerate(parts))} SELECT 1")


def _write_one(place: int, shape: _Shape) -> str:
    """Return the statement; nothing in it comes from outside."""
    source = f"jsonb_populate_recordset(NULL::{shape.table}, CAST(:rows{place} AS jsonb)) AS given"
    if shape.kind is Gone:
        return f"DELETE FROM {shape.table} USING {source} WHERE {shape.same}"  # noqa: S608 - see above
    if shape.kind is Patch:
        sets = ", ".join(f'"{name}" = {shape.value(name)}' for name in shape.columns if name not in shape.key)
        return f"UPDATE {shape.table} SET {sets} FROM {source} WHERE {shape.same}"  # noqa: S608 - see above
    columns = ", ".join(f'"{name}"' for name in shape.columns)
    values = ", ".join(map(shape.value, shape.columns))
    changes = ", ".join(f'"{name}" = {value}' for name, value in shape.changes)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    conflict = f" ON CONFLICT ({', '.join(shape.key)}) DO {action}" if shape.key else ""
    return f"INSERT INTO {shape.table} ({columns}) SELECT {values} FROM {source}{conflict}"  # noqa: S608 - see above


_END_HUNG = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename = current_user AND application_name = 'responder' AND wait_event = 'ClientRead'"
    " AND xact_start IS NOT NULL AND state_change < clock_timestamp() - CAST(:hung AS interval)"
)
_LOCK = text(
    "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(hashtextextended(name, 0))"
    " ELSE pg_advisory_xact_lock_shared(hashtextextended(name, 0)) END"
    " FROM unnest(CAST(:names AS text[]), CAST(:alone AS boolean[])) AS wanted(name, alone)"
).bindparams(bindparam("names", type_=ARRAY(Text())), bindparam("alone", type_=ARRAY(Boolean())))


@asynccontextmanager
async def _unless_hung(connection: AsyncConnection) -> AsyncIterator[None]:
    """Throw the connection away when its server did not answer: a rollback on it would wait as long again."""
    try:
        yield
    except (TimeoutError, OSError):
        await connection.invalidate()
        raise


class PostgresStore(SqlStore):
    """A store whose intake goes around SQLAlchemy: COPY writes a batch in one round trip."""

    def __init__(self, db: PostgresDatabase) -> None:
        """Work on ``db``."""
        super().__init__(db)
        self._postgres = db

    async def accept(self, deliveries: Sequence[NewDelivery]) -> Sequence[Exception | None]:
        """Commit all by one COPY; when the answer is lost, say of each delivery whether it is there."""
        if not deliveries:
            return []
        try:
            await self._postgres.flush(deliveries)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError):
            return await super().accept(deliveries)  # row by row, and only the bad row fails
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            return await self._read_back(deliveries, error)
        return [None] * len(deliveries)

    async def _read_back(self, deliveries: Sequence[NewDelivery], lost: Exception) -> Sequence[Exception | None]:
        try:
            there = await self._postgres.stored([one.id for one in deliveries])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise translate(error) from error
        if not there:
            raise translate(lost) from lost
        return [None if one.id in there else translate(lost) for one in deliveries]


def postgres_store(url: str, password: str | None = None) -> PostgresStore:
    """Return the store at ``url``."""
    return PostgresStore(PostgresDatabase(url, password))
