"""Targets that may not be changed at once: equal, above or below, as conditions on a column."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Table, select

from responder.domain.targets import SEPARATOR, ancestors
from responder.stores.core.database import Database

T = TypeVar("T")
NEXT = chr(ord(SEPARATOR) + 1)
"""What follows the separator: everything below a path sorts between ``path/`` and ``path0``."""


def near(db: Database, table: Table, *columns: ColumnElement[Any], where: ColumnElement[bool]) -> list[Select[Any]]:
    """Return two SELECTs of ``columns`` for the rows of ``table`` near any target: one by name, one by range.

    ``near_given`` says which targets. Neither looks outside itself: within a statement about the same table they would
    otherwise be asked of each of its rows.
    """
    path = table.c.target.type
    ranges = db.given("below", low=path, high=path)
    by_name = select(*columns).where(db.among(table.c.target, "at_or_above"), where)
    by_range = select(*columns).where(table.c.target > ranges.c.low, table.c.target < ranges.c.high, where)
    return [by_name.correlate(None), by_range.correlate(None)]


def near_given(db: Database, targets: Collection[str]) -> dict[str, Any]:
    """Return the parameters of ``near`` for these targets."""
    below = sorted(set(targets))
    names = sorted({name for target in below for name in (target, *ancestors(target))})
    return {**db.give("at_or_above", key=names), **db.give("below", **ranges_below(below))}


def ranges_below(targets: Collection[str]) -> dict[str, list[str]]:
    """Return between what everything below each target sorts."""
    return {"low": [target + SEPARATOR for target in targets], "high": [target + NEXT for target in targets]}


def conflicting(found: Mapping[str, T], target: str) -> Iterator[T]:
    """Give what ``found`` holds for the targets that may not be changed at once with ``target``."""
    for name in (target, *ancestors(target)):
        if name in found:
            yield found[name]
    yield from (one for name, one in found.items() if name.startswith(target + SEPARATOR))
