"""PostgreSQL's way to write many rows of several tables in one statement, each table from one JSON parameter."""

import functools
from dataclasses import dataclass

from sqlalchemy import JSON, Table, TextClause, text

from responder.stores.core.database import Dirty, Gone, Patch, Rows, Write


@dataclass(frozen=True, slots=True)
class Shape:
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


def shape_of(rows: Write) -> Shape:
    """Return what the statement goes by."""
    if isinstance(rows, Dirty):
        return Shape(Dirty, "outbox", ())
    columns = tuple(rows.values[0])
    if isinstance(rows, Gone):
        return Shape(Gone, rows.table.name, columns, columns)
    changes = tuple(rows.changes.items()) if isinstance(rows, Rows) else ()
    return Shape(type(rows), rows.table.name, columns, rows.key, changes, _valued(rows.table))


@functools.cache
def _valued(table: Table) -> frozenset[str]:
    return frozenset(one.name for one in table.c if isinstance(one.type, JSON) and not one.nullable)


_DIRTY = """\
UPDATE outbox SET want_rev = outbox.want_rev + 1, changed_at = locked.now, due_at = CASE
  WHEN outbox.want_rev > outbox.told_rev OR outbox.due_at > locked.now THEN outbox.due_at ELSE locked.now END
FROM (
  SELECT incident_id, destination, CAST(CAST(:rows AS jsonb) ->> 'now' AS timestamptz) AS now FROM outbox
  WHERE incident_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:rows AS jsonb) -> 'incidents')))
  ORDER BY incident_id, destination FOR UPDATE
) AS locked
WHERE outbox.incident_id = locked.incident_id AND outbox.destination = locked.destination"""
"""``prepared.due_when_marked`` says why ``due_at`` is what it is. Rows are locked in one order, as everybody does."""


@functools.cache
def write_all(shapes: tuple[Shape, ...]) -> TextClause:
    """Return the statement for these tables, columns, keys and changes; all of them come from the schema."""
    parts = [_write_one(place, shape) for place, shape in enumerate(shapes)]
    if len(parts) == 1:
        return text(parts[0])
    return text(f"WITH {', '.join(f'w{place} AS ({part})' for place, part in enumerate(parts))} SELECT 1")


def _write_one(place: int, shape: Shape) -> str:
    """Return the statement; nothing in it comes from outside."""
    if shape.kind is Dirty:
        return _DIRTY.replace(":rows", f":rows{place}")
    source = f"jsonb_populate_recordset(NULL::{shape.table}, CAST(:rows{place} AS jsonb)) AS given"
    if shape.kind is Gone:
        return f"DELETE FROM {shape.table} USING {source} WHERE {_found(shape, source)}"  # noqa: S608 - see above
    if shape.kind is Patch:
        sets = ", ".join(f'"{name}" = {shape.value(name)}' for name in shape.columns if name not in shape.key)
        return f"UPDATE {shape.table} SET {sets} FROM {source} WHERE {_found(shape, source)}"  # noqa: S608 - see above
    columns = ", ".join(f'"{name}"' for name in shape.columns)
    values = ", ".join(map(shape.value, shape.columns))
    changes = ", ".join(f'"{name}" = {value}' for name, value in shape.changes)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    conflict = f" ON CONFLICT ({', '.join(shape.key)}) DO {action}" if shape.key else ""
    return f"INSERT INTO {shape.table} ({columns}) SELECT {values} FROM {source}{conflict}"  # noqa: S608 - see above


def _found(shape: Shape, source: str) -> str:
    """Return the condition that a row was given, by the index on the key's first column.

    Of a function the planner supposes a hundred rows: rather than look them up it reads a table of some thousand rows.
    """
    first = f'"{shape.key[0]}"'
    return f"{shape.table}.{first} = ANY (ARRAY(SELECT given.{first} FROM {source})) AND {shape.same}"  # noqa: S608 - see above
