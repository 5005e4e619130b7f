"""Giving way: acting, deciding and telling share one thread, and what is broken waits less well than who is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.05
"""Between two looks whether acting has caught up."""
LATE_SECONDS = 0.01
"""A look that comes so much too late had to wait for the thread: it is busy."""
ON_TIME = 3
"""So many looks in a row on time, and acting waits for the world outside: telling takes nothing from it."""
HURRY_SECONDS = 2.0
"""So long nothing gives way after somebody was needed: long enough for a claim, and for what it takes to tell it."""


class Way:
    """Lets telling go on when acting is not behind, and after some patience in any case."""

    def __init__(
        self,
        behind: Callable[[], bool] = lambda: False,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``behind`` says whether acting or deciding has more to do than gets done; what knows may come later."""
        self.behind = behind
        self._monotonic = monotonic
        self._sleep = sleep
        self._open_until = 0.0
        self._closed = False

    def hurry(self) -> None:
        """A person is needed: let telling go at once, for a moment."""
        self._open_until = self._monotonic() + HURRY_SECONDS

    def close(self) -> None:
        """Hold nobody up any more: everything is about to end."""
        self._closed = True

    async def clear(self, patience: float) -> bool:
        """Wait until acting has caught up, at most ``patience`` seconds; returns whether it has."""
        until, on_time = self._monotonic() + patience, 0
        while self._held_up() and on_time < ON_TIME:
            began = self._monotonic()
            if began >= until:
                return False
            wait = min(LOOK_SECONDS, until - began)
            await self._sleep(wait)
            on_time = on_time + 1 if self._monotonic() - began - wait < LATE_SECONDS else 0
        return True

    def _held_up(self) -> bool:
        return not self._closed and self._monotonic() >= self._open_until and self.behind()
