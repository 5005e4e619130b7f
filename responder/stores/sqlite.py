"""The embedded store: one SQLite file, one process, one writing connection."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Executable,
    FromClause,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    event,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, Pool, StaticPool
from sqlalchemy.types import TypeEngine

from responder.domain.errors import SettingsError, Unavailable
from responder.domain.suspicion import Suspicion
from responder.ports.brakes import NO_BRAKES, Brakes
from responder.stores import schema
from responder.stores.core import migrate
from responder.stores.core.clock import MARK, AnchoredClock, Mark, OnFact, keep_anchored, unheard
from responder.stores.core.database import Dirty, Order, Write, translated, upsert
from responder.stores.core.direct import Direct
from responder.stores.core.lives import NOTHING_ENDED, end_life
from responder.stores.core.prepared import Prepared
from responder.stores.core.store import SqlStore
from responder.stores.core.turns import Turns
from responder.stores.core.types import decode, encode, instant, micros

_HIGH_WATER = "clock_high_water"
"""Where stores of older versions kept how far their clock had come."""
_PERSIST_EVERY = timedelta(seconds=1)
_READERS = 4
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "mmap_size=0", "temp_store=MEMORY")
_READER_PRAGMAS = ("query_only=1", "wal_autocheckpoint=0", "busy_timeout=5000", "mmap_size=0")


def wall_clock() -> datetime:
    """Return what the machine takes for the time."""
    return datetime.now(UTC)


class SqliteDatabase:
    """A SQLite file: every write through one connection, readers beside it.

    More than one writing or checkpointing connection can corrupt the file in SQLite 3.7.0 to 3.51.2, and a deferred
    transaction that turns into a writer fails at once whatever ``busy_timeout`` says: hence one writer that begins
    IMMEDIATE, readers that never checkpoint, and an exclusive lock beside the file.
    """

    def __init__(
        self,
        path: Path,
        brakes: Brakes = NO_BRAKES,
        wall: Callable[[], datetime] = wall_clock,
        clock: AnchoredClock | None = None,
    ) -> None:
        """Use the file at ``path``; nothing happens before ``open``. ``wall`` is what the clock is anchored on."""
        self.path = path
        self.brakes = brakes
        self.clock = clock or AnchoredClock()
        self.on_fact: OnFact = unheard
        self._prepared = Prepared(self)
        self._direct: Direct | None = None
        self._wall = wall
        self._sync: asyncio.Task[None] | None = None
        self._turns = Turns()
        self._lock: TextIO | None = None
        self._engines: list[AsyncEngine] = []
        self._writer: AsyncConnection | None = None
        self._readers: AsyncEngine | None = None
        self._persisted = datetime.min.replace(tzinfo=UTC)
        self._inode = 0

    async def open(self) -> None:
        """Take the file lock, connect, migrate and anchor the clock."""
        try:
            # One file, one lock, whatever name it was reached by.
            self.path = self.path.resolve()
            if not self.path.parent.is_dir():
                raise SettingsError(
                    f"store: {self.path} cannot be used: {self.path.parent} is no folder; make it, or mount what"
                    " belongs there: a new store knows no pauses and no used-up limits"
                )
            self._lock = _exclusive(self.path)
        except OSError as error:
            raise SettingsError(f"store: {self.path} cannot be used: {error.strerror or error}") from error
        try:
            with translated():
                engine = _engine(self.path, _PRAGMAS, StaticPool, begin="BEGIN IMMEDIATE")
                self._engines.append(engine)
                self._direct = Direct(engine.dialect)
                self._writer = await engine.connect()
                async with self._writer.begin():
                    await self._writer.run_sync(migrate.upgrade)
                self._readers = _engine(
                    self.path, _READER_PRAGMAS, AsyncAdaptedQueuePool, pool_size=_READERS, max_overflow=0
                )
                self._engines.append(self._readers)
                await self._anchor()
                # The file's lock is ours: whoever has claimed anything is not alive any more.
                async with self._writer.begin():
                    ended = await end_life(self, self._writer)
            self._inode = self.path.stat().st_ino
        except Unavailable as error:
            await self.close()
            raise Unavailable(f"{error}; the file is {self.path}{_advice(str(error))}") from error
        except BaseException:  # whatever ended it, nothing that was opened may stay
            await self.close()
            raise
        if ended != NOTHING_ENDED:
            self.on_fact("life_ended", **asdict(ended))
        self._sync = asyncio.create_task(keep_anchored(self.clock, self._look, self.on_fact), name="store-clock")

    async def close(self) -> None:
        """Close every connection and give the file lock back."""
        if self._sync is not None:
            self._sync.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sync
            self._sync = None
        if self._writer is not None:
            with contextlib.suppress(Unavailable):
                async with self.writing(Order.HOUSEKEEPING):
                    self._persisted = datetime.min.replace(tzinfo=UTC)
            with contextlib.suppress(Exception):
                await self._writer.close()
            self._writer = None
        for engine in self._engines:
            await engine.dispose()
        self._engines.clear()
        self._readers = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def life(self) -> str:
        """What this process's claims are held by."""
        return self.clock.name

    @property
    def alive(self) -> bool:
        """Whether others can tell: the next one to open the file knows that everybody before it has ended."""
        return True

    def now(self) -> datetime:
        """Return the store's clock."""
        return self.clock.now()

    def suspicion(self) -> Suspicion | None:
        """Return why the clock is doubted, None when it is trusted."""
        return self.clock.suspicion()

    @property
    def _around(self) -> Direct:
        if self._direct is None:
            raise Unavailable("the store is not open")
        return self._direct

    @asynccontextmanager
    async def writing(self, order: Order) -> AsyncIterator[AsyncConnection]:
        """Wait for the turn of ``order``, then run a transaction on the writing connection."""
        with translated():
            async with self._turns.turn(order):
                if self._writer is None:
                    raise Unavailable("the store is not open")
                self._still_there()
                async with self._writer.begin():
                    if order is not Order.CLAIM:  # an idle poll of the queues must not cost an fsync
                        await self._persist_clock(self._writer)
                    yield self._writer

    def alone(self, order: Order) -> AbstractAsyncContextManager[AsyncConnection]:
        """Run a transaction: the one writer takes its turn for one statement as for many."""
        return self.writing(order)

    def _still_there(self) -> None:
        """Refuse to write into a file that no longer has a name: what it takes would be gone after a restart."""
        if not self._inode:
            return  # still opening
        try:
            same = self.path.stat().st_ino == self._inode
        except OSError:
            same = False
        if not same:
            raise Unavailable(f"the store's file {self.path} was removed or replaced; put it back or restart")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection that sees one consistent state and cannot write."""
        with translated():
            if self._readers is None:
                raise Unavailable("the store is not open")
            async with self._readers.connect() as connection:
                yield connection

    async def lock(self, tx: AsyncConnection, names: Sequence[str], shared: Sequence[str] = ()) -> None:
        """Need nothing: there is one writer."""

    async def fetch(self, tx: AsyncConnection, statement: Executable, given: Mapping[str, Any]) -> Sequence[Any]:
        """Go around SQLAlchemy."""
        return await self._around.fetch(tx, statement, given)

    async def write_rows(self, tx: AsyncConnection, writes: Sequence[Write]) -> None:
        """Write table by table: without a network there are no round trips to save."""
        for rows in writes:
            if not rows.values:
                continue
            if isinstance(rows, Dirty):
                given = {**self.give("incidents_given", key=rows.values[0]["incidents"]), "now": rows.now}
                await self.fetch(tx, self._prepared.mark_dirty, given)
            else:
                await self._around.write(tx, rows)

    def keys(self, rows: Sequence[Sequence[Any]], types: Sequence[TypeEngine[Any]] = (Text(),)) -> FromClause:
        """Return ``rows`` as a relation, from one JSON parameter."""
        columns = {f"k{place}": kind for place, kind in enumerate(types)}
        return _extracted(bindparam(None, _plain(rows), type_=Text()), columns).subquery()

    def given(self, name: str, /, **columns: TypeEngine[Any]) -> FromClause:
        """Return a relation, from one JSON parameter."""
        return _extracted(bindparam(name, type_=Text()), columns).subquery()

    def give(self, name: str, /, **columns: Sequence[Any]) -> dict[str, Any]:
        """Return the rows as JSON."""
        return {name: _plain(zip(*columns.values(), strict=True))}

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Look the column up in a list."""
        return column.in_(_extracted(bindparam(name, type_=Text()), {"key": column.type}))

    def within(self, column: ColumnElement[Any], query: Select[Any] | CompoundSelect[Any]) -> ColumnElement[bool]:
        """Look the column up in what is found."""
        return column.in_(query)

    def insert(self, table: Table) -> Insert:
        """Return SQLite's INSERT."""
        return insert(table)

    def carries(self, column: ColumnElement[Any], labels: dict[str, str]) -> ColumnElement[bool]:
        """Compare member by member."""
        every: list[ColumnElement[bool]] = []
        for name, value in labels.items():
            # Not a JSON path: a path cannot name a key that holds a quotation mark.
            member = func.json_each(column).table_valued("key", "value")
            every.append(exists(select(member.c.key).where(member.c.key == name, member.c.value == value)))
        return and_(literal(value=True), *every)

    async def _anchor(self) -> None:
        assert self._writer is not None  # noqa: S101 - open() has just made it
        async with self._writer.begin():
            self.clock.follow(self.clock.judge(self._wall(), self.clock.ticks(), await _kept(self._writer)))
            await self._persist_clock(self._writer)

    async def _look(self) -> None:
        """Compare the wall clock with this machine's ticks; a jump is taken back, and that is durable at once."""
        before = self.clock.offset
        self.clock.follow(self.clock.judge(self._wall(), self.clock.ticks(), self.clock.mark()))
        if self.clock.offset != before:
            self._persisted = datetime.min.replace(tzinfo=UTC)
            async with self.writing(Order.CONTROL):
                pass  # every transaction keeps the clock

    async def _persist_clock(self, tx: AsyncConnection) -> None:
        if not self.clock.anchored or self.now() - self._persisted < _PERSIST_EVERY:
            return
        mark = self.clock.mark()
        self._persisted = mark.at
        await tx.execute(upsert(self, schema.meta, "key"), {"key": MARK, "value": mark.text()})


async def _kept(tx: AsyncConnection) -> Mark | None:
    """Return the clock as it was left, None in a new store."""
    found = await tx.execute(select(schema.meta).where(schema.meta.c.key.in_([MARK, _HIGH_WATER])))
    kept = {row.key: row.value for row in found}
    if MARK in kept:
        return Mark.read(kept[MARK])
    return Mark(instant(int(kept[_HIGH_WATER]))) if _HIGH_WATER in kept else None


def _extracted(rows: BindParameter[Any], columns: Mapping[str, TypeEngine[Any]]) -> Select[Any]:
    each = func.json_each(rows).table_valued("value")
    values = (
        func.json_extract(each.c.value, f"$[{place}]", type_=kind).label(name)
        for place, (name, kind) in enumerate(columns.items())
    )
    return select(*values)


def _plain(rows: Iterable[Sequence[Any]]) -> str:
    return encode([[micros(value) if isinstance(value, datetime) else value for value in row] for row in rows])


def _advice(error: str) -> str:
    """Say what to do about a file that is damaged, or that something else has written."""
    if "not a database" not in error and "malformed" not in error:
        return ""
    return (
        ": move it aside and put its latest backup in its place, or start with a new one, which knows no pauses and no"
        " used-up limits"
    )


def _exclusive(path: Path) -> TextIO:
    """Lock ``path``.lock for this process; raises SettingsError that names the holder."""
    handle = path.with_name(path.name + ".lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        holder = handle.read().strip() or "another process"
        handle.close()
        msg = f"store: {path} is in use by {holder}; a SQLite store serves one process, PostgreSQL serves many"
        raise SettingsError(msg) from error
    handle.seek(0)
    handle.truncate()
    handle.write(f"process {os.getpid()}\n")
    handle.flush()
    return handle


def _engine(path: Path, pragmas: Sequence[str], pool: type[Pool], *, begin: str = "", **sizes: int) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", json_serializer=encode, json_deserializer=decode, poolclass=pool, **sizes
    )

    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would be a deferred one
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
    if begin:
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def sqlite_store(path: Path, brakes: Brakes = NO_BRAKES) -> SqlStore:
    """Return the store in the file at ``path``."""
    return SqlStore(SqliteDatabase(path, brakes))
