"""SQLite without its threads: each call is carried out where it is made, so that a seed is played the same each time.

A thread for each connection, and a wake-up for each statement, cost more than the statements; and which of two comes
first is then nobody's choice but the machine's.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import aiosqlite

_Item = tuple["asyncio.Future[Any] | None", Callable[[], Any]]


class _AtOnce:
    """Stands in for the queue to a connection's thread."""

    def put_nowait(self, item: _Item) -> None:
        """Carry out what would be queued."""
        future, function = item
        try:
            result = function()
        except BaseException as error:
            if future is None or not isinstance(error, Exception):
                raise
            future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class _NoThread:
    """Stands in for the thread."""

    daemon = True

    def start(self) -> None:
        """Need nothing."""


@contextmanager
def inline() -> Iterator[None]:
    """Let every connection that is made meanwhile work without a thread."""
    make = aiosqlite.Connection.__init__

    def made(self: aiosqlite.Connection, *given: Any, **named: Any) -> None:  # noqa: ANN401 -- whatever the library hands over
        make(self, *given, **named)
        self.__dict__.update(_tx=_AtOnce(), _thread=_NoThread())

    with mock.patch.object(aiosqlite.Connection, "__init__", made):
        yield
