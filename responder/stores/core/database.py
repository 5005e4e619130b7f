"""What the statements need of a database, and the few things that the two spell differently."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

from sqlalchemy import ColumnElement, CompoundSelect, Executable, FromClause, Select, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from responder.domain.errors import Conflict, StoreError, Unavailable
from responder.domain.suspicion import Suspicion
from responder.ports.brakes import Brakes

Insert = postgresql.Insert | sqlite.Insert
"""An INSERT that knows ON CONFLICT; both databases mean the same by it."""


def _by_id(value: Mapping[str, Any]) -> str:
    return str(value["id"])


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for one table. ``key`` taken: ``changes`` (column to SQL expression) are made, or nothing when empty."""

    table: Table
    values: Sequence[Mapping[str, Any]]
    key: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def replacing(
        cls, table: Table, values: Iterable[Mapping[str, Any]], order: Callable[[Mapping[str, Any]], Any] = _by_id
    ) -> "Rows":
        """Insert rows, or replace those with the same ``id``, in the order of ids: everybody locks in that order.

        Who gives another ``order`` holds the rows that are there already.
        """
        changes = {column.name: f"excluded.{column.name}" for column in table.c if column.name != "id"}
        return cls(table, sorted(values, key=order), ("id",), changes)


@dataclass(frozen=True, slots=True)
class Patch:
    """New values for rows of one table that are there: each holds all of ``key`` and the same further columns."""

    table: Table
    values: Sequence[Mapping[str, Any]]
    key: tuple[str, ...] = ("id",)

    @property
    def changed(self) -> tuple[str, ...]:
        """The columns that change."""
        return tuple(name for name in self.values[0] if name not in self.key)


@dataclass(frozen=True, slots=True)
class Gone:
    """Rows of one table to be deleted: those that have, together, the values of one of ``values``."""

    table: Table
    values: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Dirty:
    """Incidents of which every destination is to be told anew; what is known of them has changed at ``now``."""

    incidents: Collection[str]
    now: datetime

    @property
    def values(self) -> Sequence[Mapping[str, Any]]:
        """What they are written by; nothing when there is nothing to tell."""
        ids = sorted({one for one in self.incidents if one})
        return [{"incidents": ids, "now": self.now}] if ids else []


Write = Rows | Patch | Gone | Dirty


class Order(IntEnum):
    """Who goes first where there is one writer (SQLite): the smaller."""

    CONTROL = 0
    RECORD = 1
    CLAIM = 2
    INTAKE = 3
    DECIDE = 4
    HOUSEKEEPING = 5


class Database(Protocol):
    """A database that is open."""

    @property
    def brakes(self) -> Brakes:
        """What stops this process beside what is written in the database; read wherever the pauses there are."""
        ...

    @property
    def life(self) -> str:
        """What this process's claims are held by (``lives``)."""
        ...

    @property
    def alive(self) -> bool:
        """Whether others could tell that this process has ended."""
        ...

    def now(self) -> datetime:
        """Return the store's clock."""
        ...

    def suspicion(self) -> Suspicion | None:
        """Return why the store's clock is doubted, None when it is trusted."""
        ...

    def writing(self, order: Order) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin a transaction that writes; commits when the block ends normally. Library errors are translated."""
        ...

    def alone(self, order: Order) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin what is to hold one statement that writes: where it can be, that is a transaction by itself."""
        ...

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Take a connection that only reads. Library errors are translated."""
        ...

    async def fetch(self, tx: AsyncConnection, statement: Executable, given: Mapping[str, Any]) -> Sequence[Any]:
        """Execute a statement that is built once and kept, as fast as can be; returns rows with columns as attributes.

        Nothing of it is decided anew for each execution: what differs is in ``given``.
        """
        ...

    async def write_rows(self, tx: AsyncConnection, writes: Sequence[Write]) -> None:
        """Write many rows of several tables that do not depend on each other, in as few round trips as there can be."""
        ...

    async def lock(self, tx: AsyncConnection, names: Sequence[str], shared: Sequence[str] = ()) -> None:
        """Hold the named locks until the transaction ends, taken in sorted order; ``shared`` ones not alone."""
        ...

    def keys(self, rows: Sequence[Sequence[Any]], types: Sequence[TypeEngine[Any]] = (Text(),)) -> FromClause:
        """Return ``rows`` as a relation with the columns ``k0``, ``k1`` …; the statement is the same for any number."""
        ...

    def given(self, name: str, /, **columns: TypeEngine[Any]) -> FromClause:
        """Return the rows that ``give`` packs under ``name`` as a relation: for statements that are built once."""
        ...

    def give(self, name: str, /, **columns: Sequence[Any]) -> dict[str, Any]:
        """Return the parameters that fill ``given(name)`` and ``among(…, name)``, column by column."""
        ...

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Say whether ``column`` is in the column ``key`` given as ``name``: by its index, whatever statistics say."""
        ...

    def within(self, column: ColumnElement[Any], query: Select[Any] | CompoundSelect[Any]) -> ColumnElement[bool]:
        """Say whether ``column`` is among what ``query`` finds; it runs first, and its rows are looked up."""
        ...

    def insert(self, table: Table) -> Insert:
        """Return the dialect's INSERT, which knows ON CONFLICT."""
        ...

    def carries(self, column: ColumnElement[Any], labels: dict[str, str]) -> ColumnElement[bool]:
        """Say whether the JSON object in ``column`` has all these members."""
        ...


_CONFLICTS = frozenset({"40001", "40P01", "55P03", "23505"})
"""serialization_failure, deadlock_detected, lock_not_available, unique_violation (PostgreSQL, appendix A)."""
_DATA = frozenset({"54000"})
"""program_limit_exceeded: an index entry that is too long, say."""


def translate(error: BaseException) -> StoreError:
    """Return the error of our tree that says what to do about a library's."""
    state = getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    if isinstance(error, IntegrityError) or state in _CONFLICTS or state.startswith("23"):
        return Conflict(f"somebody else was first: {_first_line(error)}")
    if isinstance(error, DataError | ValueError) or state in _DATA or state.startswith("22"):
        return StoreError(f"the store refuses these data: {_first_line(error)}")
    return Unavailable(f"the store cannot be reached: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).strip() or type(cause).__name__
    return text.splitlines()[0].rpartition(">: ")[2][:300]


@contextmanager
def translated() -> Iterator[None]:
    """Let only errors of our tree out: a library's become Conflict, Unavailable or StoreError, cause chained."""
    try:
        yield
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise translate(error) from error


def upsert(db: Database, table: Table, *index: str) -> Insert:
    """Return an INSERT that replaces the other columns where ``index`` is taken."""
    statement = db.insert(table)
    others = {column.name: column for column in statement.excluded if column.name not in index}
    return statement.on_conflict_do_update(index_elements=list(index), set_=others)
