"""Statements put together once for all stores of a process: most of a short test's time went into that.

Each store spells the same statements, keeps nothing of its own in them, and has the library translate them anew: one
test opens one store after the other, a responder only one. What is asked of the database stays the same.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

from responder.stores import sqlite
from responder.stores.core import binding, part, slices
from responder.stores.core.database import Database
from responder.stores.core.direct import Direct

_TRANSLATED = 5000
"""Statements that are kept in translation; there are some hundreds for each kind of database."""


@contextmanager
def spelled_once() -> Iterator[None]:
    """Let every store that is made meanwhile take its statements from the first one of its kind."""
    with ExitStack() as kept:
        slicing = ((slices, "SliceStatements"), (binding, "SliceStatements"))
        for module, name in ((sqlite, "Prepared"), (part, "Prepared"), *slicing):
            kept.enter_context(mock.patch.object(module, name, _once(getattr(module, name))))
        kept.enter_context(mock.patch.object(sqlite, "Direct", _one_for_all()))
        yield


def _one_for_all() -> Callable[[Dialect], Direct]:
    made: list[Direct] = []

    def direct(dialect: Dialect) -> Direct:
        if not made:
            made.append(Direct(dialect))
            made[0]._ready = WeakKeyDictionary()  # what one store alone has asked goes with it
        return made[0]

    return direct


def _once(spell: Callable[[Database], object]) -> Callable[[Database], object]:
    spelled: dict[type[Database], object] = {}

    def once(db: Database) -> object:
        if type(db) not in spelled:
            spelled[type(db)] = spell(db)
        return spelled[type(db)]

    return once


@contextmanager
def translated_once() -> Iterator[None]:
    """Let every engine that is made meanwhile share its translations with those to the same kind of database."""
    make, shared = Engine.__init__, LRUCache[Any, Any](_TRANSLATED)

    def made(self: Engine, *given: Any, **named: Any) -> None:  # noqa: ANN401 -- whatever the library hands over
        make(self, *given, **named)
        self._compiled_cache = shared

    def alike(self: Dialect, other: object) -> bool:
        return type(self) is type(other)

    with ExitStack() as kept:
        kept.enter_context(mock.patch.object(Engine, "__init__", made))
        kept.enter_context(mock.patch.object(DefaultDialect, "__eq__", alike))
        kept.enter_context(mock.patch.object(DefaultDialect, "__hash__", lambda self: hash(type(self))))
        yield
