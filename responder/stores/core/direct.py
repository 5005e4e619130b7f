"""SQLite's statements without SQLAlchemy on the way: it says what they are and mean, once, and the driver has the rest.

What an alert costs is thirty small statements. Through SQLAlchemy each of them goes to the connection's thread and back
three times (a cursor, the statement, its rows); the driver alone goes once.
"""

import sqlite3
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import aiosqlite
from sqlalchemy import Dialect, Executable, bindparam, delete, text, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.errors import StoreError, Unavailable
from responder.stores.core.bulk import Shape, shape_of
from responder.stores.core.database import Gone, Patch, Rows, translate
from responder.stores.core.ready import Ready

_GIVEN = "given_"
"""Before the names of parameters: a column's own name is SQLAlchemy's."""


class Direct:
    """Executes statements, each compiled the first time only."""

    def __init__(self, dialect: Dialect) -> None:
        """``dialect`` is what they are compiled for."""
        self._dialect = dialect
        self._ready: MutableMapping[Executable, Ready] = {}
        self._writing: dict[Shape, Ready] = {}

    async def fetch(self, tx: AsyncConnection, statement: Executable, given: Mapping[str, Any]) -> list[Any]:
        """Execute a statement that is built once and kept, and return its rows."""
        ready = self._ready.get(statement)
        if ready is None:
            ready = self._ready[statement] = Ready(statement, self._dialect, given)
        with _translated():
            return ready.rows([*await _raw(tx).execute_fetchall(ready.sql, ready.values(given))])

    async def write(self, tx: AsyncConnection, rows: Rows | Patch | Gone) -> None:
        """Write the rows of one table."""
        every = [{f"{_GIVEN}{name}": value for name, value in row.items()} for row in rows.values]
        shape = shape_of(rows)
        ready = self._writing.get(shape)
        if ready is None:
            ready = self._writing[shape] = Ready(_written(rows, shape), self._dialect, every[0])
        with _translated():
            if len(every) == 1:
                await _raw(tx).execute_fetchall(ready.sql, ready.values(every[0]))
                return
            cursor = await _raw(tx).executemany(ready.sql, [ready.values(one) for one in every])
            await cursor.close()


def _raw(tx: AsyncConnection) -> aiosqlite.Connection:
    """Return the connection below."""
    raw = tx.sync_connection.connection.driver_connection if tx.sync_connection is not None else None
    if not isinstance(raw, aiosqlite.Connection):
        raise Unavailable("the store is not open")
    return raw


def _written(rows: Rows | Patch | Gone, shape: Shape) -> Executable:
    """Return the statement for rows of this shape."""
    table = rows.table
    values = {name: bindparam(f"{_GIVEN}{name}", type_=table.c[name].type) for name in shape.columns}
    same = [table.c[name] == values[name] for name in shape.key] if not isinstance(rows, Rows) else []
    if isinstance(rows, Gone):
        return delete(table).where(*same)
    if isinstance(rows, Patch):
        return update(table).where(*same).values({name: values[name] for name in rows.changed})
    statement = insert(table).values(values)
    if rows.changes:
        changes = {name: text(expression) for name, expression in rows.changes.items()}
        return statement.on_conflict_do_update(index_elements=list(rows.key), set_=changes)
    return statement.on_conflict_do_nothing(index_elements=list(rows.key)) if rows.key else statement


@contextmanager
def _translated() -> Iterator[None]:
    """Let only errors of our tree out."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error) from error
    except ValueError as error:  # aiosqlite's word for a connection that is closed
        if "connection" not in str(error).lower():
            raise
        raise Unavailable(f"the store cannot be reached: {error}") from error


def _ours(error: sqlite3.Error) -> StoreError:
    return translate(DBAPIError.instance(None, None, error, sqlite3.Error))
