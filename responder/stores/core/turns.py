"""One writer at a time, the most urgent first: what SQLite needs in front of its only writing connection."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from responder.stores.core.database import Order


class Turns:
    """A lock whose waiters go by ``Order``, then by arrival."""

    def __init__(self) -> None:
        """Start free."""
        self._taken = False
        self._waiting: list[tuple[Order, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def turn(self, order: Order) -> AsyncIterator[None]:
        """Hold the lock within the block."""
        await self._take(order)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, order: Order) -> None:
        if not self._taken:
            self._taken = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, next(self._arrivals), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # the lock came in the same moment: hand it on
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            *_, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
                return
        self._taken = False
