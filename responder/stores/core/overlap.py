"""Targets that may not be changed at once: equal, above or below, as conditions on a column."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Table, select

from responder.domain.targets import SEPARATOR, ancestors
from responder.stores.core.database import Database

T = TypeVar("T")
NEXT = chr(ord(SEPARATOR) + 1)
"""What follows the separator: everything below a path sorts between ``path/`` and ``path0``."""


def ids_near(
    db: Database, table: Table, key: ColumnElement[Any], targets: Collection[str], where: ColumnElement[bool]
) -> list[Select[Any]]:
    """Return two SELECTs of ``key`` for the rows of ``table`` near any of ``targets``: one by name, one by range."""
    names = {name for target in targets for name in (target, *ancestors(target))}
    exact = db.keys([(name,) for name in sorted(names)], (table.c.target.type,))
    below = db.keys(
        [(target + SEPARATOR, target + NEXT) for target in sorted(set(targets))],
        (table.c.target.type, table.c.target.type),
    )
    return [
        select(key).where(table.c.target == exact.c.k0, where),
        select(key).where(table.c.target > below.c.k0, table.c.target < below.c.k1, where),
    ]


def conflicting(found: Mapping[str, T], target: str) -> Iterator[T]:
    """Give what ``found`` holds for the targets that may not be changed at once with ``target``."""
    for name in (target, *ancestors(target)):
        if name in found:
            yield found[name]
    yield from (one for name, one in found.items() if name.startswith(target + SEPARATOR))


def near_given(db: Database, targets: Collection[str]) -> dict[str, str]:
    """Return the parameters of ``Prepared.slots_near`` for these targets."""
    names = sorted({name for target in targets for name in (target, *ancestors(target))})
    ranges = db.packed(below(target) for target in sorted(set(targets)))
    return {"names_given": db.packed({"name": name} for name in names), "ranges_given": ranges}


def below(target: str) -> dict[str, str]:
    """Return between what everything below ``target`` sorts."""
    return {"low": target + SEPARATOR, "high": target + NEXT}
