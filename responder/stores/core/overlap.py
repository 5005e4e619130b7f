"""Targets that may not be changed at once: equal, above or below, as conditions on a column."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, or_, select

from responder.domain.targets import SEPARATOR, ancestors
from responder.stores.core.database import Database

NEXT = chr(ord(SEPARATOR) + 1)
"""What follows the separator: everything below a path sorts between ``path/`` and ``path0``."""


def overlapping(column: ColumnElement[str], target: str) -> ColumnElement[bool]:
    """Say whether the target in ``column`` conflicts with ``target``."""
    below = and_(column > target + SEPARATOR, column < target + NEXT)
    return or_(column.in_([target, *ancestors(target)]), below)


def near(db: Database, table: Table, key: ColumnElement[Any], where: ColumnElement[bool]) -> list[Select[Any]]:
    """Return two SELECTs of ``key`` for the rows of ``table`` near any target: one by name, one by range.

    ``near_parameters`` says which targets.
    """
    path = table.c.target.type
    below = db.given("below", (path, path))
    return [
        select(key).where(db.among(table.c.target, "at_or_above"), where),
        select(key).where(table.c.target > below.c.k0, table.c.target < below.c.k1, where),
    ]


def near_parameters(db: Database, targets: Collection[str]) -> dict[str, Any]:
    """Return the parameters of ``near`` for these targets."""
    names = sorted({name for target in targets for name in (target, *ancestors(target))})
    below = sorted(set(targets))
    ranges = [target + SEPARATOR for target in below], [target + NEXT for target in below]
    return {**db.give("at_or_above", names), **db.give("below", *ranges)}
