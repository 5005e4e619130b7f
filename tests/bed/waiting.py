"""Waiting for what another process will do, without guessing how long it takes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar, overload

T = TypeVar("T")

WITHIN = timedelta(seconds=10)
_POLL = timedelta(milliseconds=20)


class NeverHappened(AssertionError):
    """What a test waited for did not come; the message carries the last thing seen."""


@overload
async def eventually(look: Callable[[], Awaitable[T]], within: timedelta = ..., every: timedelta = ...) -> T: ...


@overload
async def eventually(look: Callable[[], T], within: timedelta = ..., every: timedelta = ...) -> T: ...


async def eventually(look: Callable[[], Awaitable[T] | T], within: timedelta = WITHIN, every: timedelta = _POLL) -> T:
    """Return the first truthy answer of `look` (plain or async); raise NeverHappened when time is up."""
    deadline = time.monotonic() + within.total_seconds()
    while True:
        answer = look()
        seen = await answer if inspect.isawaitable(answer) else answer
        if seen:
            return seen
        if time.monotonic() >= deadline:
            message = f"not within {within}; last seen: {seen!r}"
            raise NeverHappened(message)
        await asyncio.sleep(every.total_seconds())
