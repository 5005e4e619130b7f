"""Calls that come while a transaction is under way share the next one: what many runs do at once costs one commit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from responder.domain.errors import StoreError, Unavailable

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST = 64
"""How many calls share a transaction: enough that its fixed cost no longer counts, few enough to be over soon."""


class Together(Generic[Asked, Answer]):
    """One kind of call on the store, made for many callers at once.

    ``work`` does them all in one transaction and returns an answer or an error for each. When all of them fail
    together, each is tried on its own: what is wrong with one must not reach the others.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        """Call ``work`` with what has gathered."""
        self._work = work
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, asked: Asked) -> Answer:
        """Return the answer to ``asked``, or raise its error; a lone call waits for nobody."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._all(), name="store together")
        return await answer

    async def _all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            # Who has gone before its turn came wants nothing any more.
            batch = [(asked, answer) for asked, answer in batch if not answer.done()]
            if batch:
                await self._some(batch)

    async def _some(self, batch: Sequence[tuple[Asked, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers = await self._work([asked for asked, _ in batch])
        except asyncio.CancelledError:
            _tell(batch, [Unavailable("the store is closing")] * len(batch))
            raise
        except StoreError as error:
            if len(batch) == 1 or isinstance(error, Unavailable):
                _tell(batch, [error] * len(batch))
                return
            for one in batch:
                await self._some([one])
        except Exception as error:  # noqa: BLE001 - a fault of ours belongs to those who asked, and must not end the others
            _tell(batch, [error] * len(batch))
        else:
            _tell(batch, answers)


def _tell(batch: Sequence[tuple[Asked, "asyncio.Future[Answer]"]], answers: Sequence[Answer | Exception]) -> None:
    for (_, future), answer in zip(batch, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
