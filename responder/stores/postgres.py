"""The store that many replicas share: PostgreSQL through SQLAlchemy, the intake's flush on raw asyncpg."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Executable,
    FromClause,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from responder.domain.errors import Unavailable
from responder.domain.suspicion import Suspicion
from responder.ports.brakes import NO_BRAKES, Brakes
from responder.ports.store import NewDelivery
from responder.stores.core import migrate
from responder.stores.core.alive import END_HUNG, Alive
from responder.stores.core.attended import attended
from responder.stores.core.bulk import shape_of, write_all
from responder.stores.core.clock import MARK, AnchoredClock, Mark, OnFact, keep_anchored, unheard
from responder.stores.core.connections import Connections, below
from responder.stores.core.database import Dirty, Order, Write, translate, translated, upsert
from responder.stores.core.server import Server, identify
from responder.stores.core.spelled import LOCK, engine_of, unnested
from responder.stores.core.store import SqlStore
from responder.stores.core.takeover import Takeover
from responder.stores.core.types import encode
from responder.stores.schema import meta

STATEMENT = timedelta(seconds=5)
"""How long one statement may take before the store counts as unavailable."""
_CONNECT = timedelta(seconds=3)
HUNG = timedelta(seconds=30)
"""How long a replica's transaction may wait for its client; then any replica ends it."""
_POOL = 12
_STATEMENTS = 200
"""How many statements a connection keeps prepared; there are about a hundred."""
_MIGRATION_LOCK = "responder/migrations"
_REPLACED = "Another server has taken over."
Meet = Callable[[AsyncConnection, str, datetime | None], Awaitable[Mapping[str, int] | None]]
_SETTINGS = {
    "application_name": "responder",
    "synchronous_commit": "on",
    "statement_timeout": "5s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "jit": "off",  # compiling short statements costs more than running them
    # Every statement has its index. Without statistics of a table that has just grown, the planner reads all of it
    # for each slice, or sorts all that is due for each claim.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}


def _given(rows: Write) -> object:
    return rows.values[0] if isinstance(rows, Dirty) else rows.values


class PostgresDatabase:
    """A PostgreSQL database behind a pool of connections."""

    def __init__(self, url: str, password: str | None = None, brakes: Brakes = NO_BRAKES) -> None:
        """Use the database at ``url`` (libpq's form); ``password`` overrides the one in it."""
        self.brakes = brakes
        self._url = url
        self._password = password
        self.clock = AnchoredClock()
        self.on_fact: OnFact = unheard
        self.meet: Meet | None = None
        """Called with a server that is not the one known, before anything else is done on it."""
        self._connections: Connections | None = None
        self._patient = engine_of(self._connect_patiently)
        """For what may take long: bringing the schema up to date, and meeting a server."""
        self._servers: WeakKeyDictionary[asyncpg.Connection[asyncpg.Record], Server | None] = WeakKeyDictionary()
        self._seen: Server | None = None
        self._known: Server | None = None
        self._meeting = asyncio.Lock()
        self._replaced = False
        self._sync: asyncio.Task[None] | None = None
        self._alive = Alive(self, self.clock.name, self.connect, self._left)
        self._intake: asyncpg.Connection[asyncpg.Record] | None = None
        self._flushing = asyncio.Lock()

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a new raw connection; one to a server that was left for another raises Unavailable."""
        return await self._connect(STATEMENT.total_seconds())

    async def _connect_patiently(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return one that does not cut a statement off by itself, for what is ``_attended``."""
        return await self._connect(None)

    async def _connect(self, answer_within: float | None) -> "asyncpg.Connection[asyncpg.Record]":
        connection = await asyncpg.connect(
            self._url,
            password=self._password,
            timeout=_CONNECT.total_seconds(),
            command_timeout=answer_within,
            server_settings=_SETTINGS,
            statement_cache_size=_STATEMENTS,
            max_cacheable_statement_size=0,  # any
        )
        try:
            server = await identify(connection, self._seen)
        except BaseException:  # whatever ended it, nobody else knows of the connection
            connection.terminate()
            raise
        self._servers[connection] = server
        if server is not None:
            self._seen = server
        return connection

    async def open(self) -> None:
        """Connect, migrate and anchor the clock on the server's."""
        self._connections = Connections(engine_of(self.connect), _POOL, STATEMENT.total_seconds(), self._left)
        try:
            with translated():
                async with self._patient.begin() as tx, self._attended(await below(tx)):
                    await self._migrate(tx)
            await self._anchor()
            await self._alive.start(self.on_fact)
        except BaseException:  # whatever ended it, nothing that was opened may stay
            await self.close()
            raise
        self._sync = asyncio.create_task(keep_anchored(self.clock, self._tend, self.on_fact), name="store-clock")

    async def _migrate(self, tx: AsyncConnection) -> None:
        if await tx.run_sync(migrate.current) != migrate.head():
            # Another replica may be at it, and take its time. What else is locked is not waited for as long: whoever
            # comes behind a statement that waits for a table waits, too.
            await tx.execute(text("SET LOCAL statement_timeout = 0"))
            await tx.execute(text("SET LOCAL lock_timeout = 0"))
            await tx.execute(LOCK, {"names": [_MIGRATION_LOCK], "alone": [True]})
            await tx.execute(text(f"SET LOCAL lock_timeout = '{_SETTINGS['lock_timeout']}'"))
            await tx.run_sync(migrate.upgrade)

    async def close(self) -> None:
        """Close every connection."""
        if self._sync is not None:
            self._sync.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sync
            self._sync = None
        await self._alive.stop()
        if self._intake is not None:
            self._intake.terminate()
            self._intake = None
        if self._connections is not None:
            await self._connections.close()
            self._connections = None

    @property
    def life(self) -> str:
        """What this process's claims are held by."""
        return self.clock.name

    @property
    def alive(self) -> bool:
        """Whether this process holds its lock."""
        return self._alive.held

    def now(self) -> datetime:
        """Return the store's clock: the server's, advanced by this machine's monotonic clock."""
        return self.clock.now()

    def suspicion(self) -> Suspicion | None:
        """Return why the clock is doubted, None when it is trusted."""
        return self.clock.suspicion()

    @property
    def connections(self) -> Connections:
        """The connections that are open; raises Unavailable when the store is not."""
        if self._connections is None:
            raise Unavailable("the store is not open")
        return self._connections

    @asynccontextmanager
    async def writing(self, order: Order) -> AsyncIterator[AsyncConnection]:
        """Run a transaction; ``order`` means nothing where many may write."""
        with translated():
            connections = self.connections
            async with connections.one() as connection:
                await self._met(connection)
                async with connections.begun(connection):
                    yield connection

    def alone(self, order: Order) -> AbstractAsyncContextManager[AsyncConnection]:
        """Take a connection without beginning anything: a statement alone costs one round trip and not three."""
        return self.reading()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection; each statement sees what was committed before it."""
        with translated():
            async with self.connections.one() as connection:
                await self._met(connection)
                yield connection

    async def fetch(self, tx: AsyncConnection, statement: Executable, given: Mapping[str, Any]) -> Sequence[Any]:
        """Go around SQLAlchemy."""
        return await self.connections.fetch(tx, statement, given)

    async def lock(self, tx: AsyncConnection, names: Sequence[str], shared: Sequence[str] = ()) -> None:
        """Take advisory locks, in one statement and in sorted order."""
        wanted = {**dict.fromkeys(shared, False), **dict.fromkeys(names, True)}
        if wanted:
            ordered = sorted(wanted)
            await self.fetch(tx, LOCK, {"names": ordered, "alone": [wanted[name] for name in ordered]})

    async def write_rows(self, tx: AsyncConnection, writes: Sequence[Write]) -> None:
        """Write all in one statement, each table from one JSON parameter.

        That is about twice as fast as executing row by row, for the client as well as for the server.
        """
        present = [rows for rows in writes if rows.values]
        if present:
            parameters = {f"rows{place}": encode(_given(rows)) for place, rows in enumerate(present)}
            await self.fetch(tx, write_all(tuple(map(shape_of, present))), parameters)

    def keys(self, rows: Sequence[Sequence[Any]], types: Sequence[TypeEngine[Any]] = (Text(),)) -> FromClause:
        """Return ``rows`` as a relation, from one array for each column."""
        arrays = [bindparam(None, [row[place] for row in rows], type_=ARRAY(kind)) for place, kind in enumerate(types)]
        return unnested(arrays, {f"k{place}": kind for place, kind in enumerate(types)})

    def given(self, name: str, /, **columns: TypeEngine[Any]) -> FromClause:
        """Return a relation, from one array for each column."""
        return unnested([bindparam(f"{name}_{one}", type_=ARRAY(kind)) for one, kind in columns.items()], columns)

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
                if self._intake is None or self._left(self._intake):
                    self._intake = await self._connect_intake()
                await self._intake.copy_records_to_table(
                    "deliveries",
                    records=rows,
                    columns=["id", "source", "received_at", "body", "alerts", "due_at"],
                    timeout=STATEMENT.total_seconds(),
                )
            except BaseException as error:  # cancelled in the middle, too: the next flush must not meet half a COPY
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
        """Read the server's clock and keep, for all replicas, what is made of it."""
        async with self.writing(Order.CONTROL) as tx:
            await self.lock(tx, [MARK])
            kept = await tx.scalar(select(meta.c.value).where(meta.c.key == MARK))
            before = self.clock.ticks()
            server = await tx.scalar(select(func.clock_timestamp()))
            ticks = (before + self.clock.ticks()) / 2
            assert server is not None  # noqa: S101 - a function without arguments returns a row
            mark = self.clock.judge(server, ticks, None if kept is None else Mark.read(kept))
            await tx.execute(upsert(self, meta, "key"), {"key": MARK, "value": mark.text()})
        self.clock.follow(mark)
        if self._replaced:
            self._replaced = False
            self.clock.doubt(_REPLACED)

    async def _tend(self) -> None:
        """Anchor the clock anew, and end what hangs."""
        await self._anchor()
        await self._end_hung()

    async def _end_hung(self) -> None:
        """End the transactions of replicas that froze: what they lock would wait for as long as they do.

        The server's own timeouts do not reach a session between the two halves of a statement that is new to it.
        """
        async with self.reading() as connection:
            await connection.execute(END_HUNG, {"hung": HUNG})

    async def _met(self, connection: AsyncConnection) -> None:
        """Meet the server before anything is done on it, when it is another one than before."""
        if self._seen == self._known or self.meet is None:
            return
        async with self._meeting:
            if self._seen == self._known:
                return
            async with self.connections.apart(self._patient) as patient:
                server = self._seen  # as that connection has found it
                if server is None or any(self._left(self.connections.raw(one)) for one in (connection, patient)):
                    raise Unavailable("the store's server was replaced at this moment")
                async with self._attended(self.connections.raw(patient)), self.connections.begun(patient):
                    done = await self.meet(patient, str(server), self.now() if self.clock.anchored else None)
                self._known = server
        if done is not None:
            # Its clock is another machine's, and other replicas may not have noticed yet.
            self._replaced = not self.clock.anchored
            if self.clock.anchored:
                self.clock.doubt(_REPLACED)
            self.on_fact("server_changed", server=str(server), **done)

    def _attended(self, connection: "asyncpg.Connection[asyncpg.Record]") -> AbstractAsyncContextManager[None]:
        return attended(self.connect, connection.get_server_pid(), STATEMENT.total_seconds())

    def _left(self, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
        """Say whether a connection is of no use any more: closed, or to a server that another has replaced."""
        return connection.is_closed() or self._servers.get(connection) not in (None, self._seen)


class PostgresStore(SqlStore):
    """A store whose intake goes around SQLAlchemy: COPY writes a batch in one round trip."""

    def __init__(self, db: PostgresDatabase) -> None:
        """Work on ``db``."""
        super().__init__(db)
        self._postgres = db
        db.meet = Takeover(db, self.memory).meet

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


def postgres_store(url: str, password: str | None = None, brakes: Brakes = NO_BRAKES) -> PostgresStore:
    """Return the store at ``url``."""
    return PostgresStore(PostgresDatabase(url, password, brakes))
