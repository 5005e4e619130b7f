"""Deliveries become durable together: those that arrive while a commit is under way share the next one.

``submit`` returns when the delivery is committed; nothing is acknowledged before. A lone delivery waits for nobody.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from responder.domain.errors import StoreError, Unavailable
from responder.ports.store import Inbox, NewDelivery

MAX_ROWS = 512
MAX_BYTES = 16 * 1024 * 1024
IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""Bodies between the socket and the store, for the whole process (engine.md, Queues)."""
LINGER_SECONDS = 0.005
COMMIT_SECONDS = 10.0
"""How long one flush may take: a COPY and the question whether it is there, each within the store's own bounds."""
ANSWER_SECONDS = 1.0
"""A sender hears from us within this, whatever the store does: it sends again, and what it repeats does no harm."""


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


class ByteBudget:
    """How many bytes of bodies may be in memory at once."""

    def __init__(self, limit: int = IN_FLIGHT_BYTES) -> None:
        """Start with everything free."""
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Reserve ``size`` bytes; False when they do not fit."""
        if self.used + size > self._limit:
            return False
        self.used += size
        return True

    def keep(self, size: int) -> None:
        """Reserve ``size`` bytes that are in memory already: whoever has reserved them first gives them back now."""
        self.used += size

    def give(self, size: int) -> None:
        """Give reserved bytes back."""
        self.used -= size


_Waiting = tuple[NewDelivery, "asyncio.Future[None]"]


class CommittingBuffer:
    """Collects deliveries and commits them in shared transactions."""

    def __init__(
        self,
        inbox: Inbox,
        on_committed: Callable[[], None],
        on_fact: OnFact,
        *,
        budget: ByteBudget | None = None,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        linger: float = LINGER_SECONDS,
        commit_seconds: float = COMMIT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """``on_committed`` wakes whoever decides; ``linger`` (seconds) is spent under load only.

        ``budget`` is where the bodies are reserved for as long as somebody waits in ``submit``.
        """
        self.budget = ByteBudget() if budget is None else budget
        self._inbox = inbox
        self._on_committed = on_committed
        self._on_fact = on_fact
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._linger = linger
        self._commit_seconds = commit_seconds
        self._answer_seconds = answer_seconds
        self._waiting: OrderedDict[asyncio.Future[None], NewDelivery] = OrderedDict()
        self._under_way: frozenset[asyncio.Future[None]] = frozenset()
        self._left_behind = 0
        """Bytes under way whose senders have been answered already."""
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, delivery: NewDelivery) -> None:
        """Return when ``delivery`` is durable.

        Raises Unavailable when the store did not take it in time (send again; it may be stored all the same), another
        StoreError when it cannot take it.
        """
        if self._closed:
            raise Unavailable("the responder is stopping")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting[done] = delivery
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_all(), name="intake flush")
        deadline = loop.call_later(self._answer_seconds, _too_late, done)
        try:
            await done
        finally:
            deadline.cancel()
            self._leave(done, delivery)
            del done  # it holds the error, whose traceback holds this frame: the body would wait for a collection

    async def close(self) -> None:
        """Take nothing more; return when everything taken was answered."""
        self._closed = True
        if self._flusher is not None:
            await asyncio.wait([self._flusher])

    def _leave(self, done: "asyncio.Future[None]", delivery: NewDelivery) -> None:
        """Let go of the body: the sender has its answer, and its reservation makes room for others.

        A flush under way holds it still: those bytes count until it ends.
        """
        self._waiting.pop(done, None)
        if done in self._under_way:
            self._left_behind += len(delivery.body)
            self.budget.keep(len(delivery.body))

    async def _flush_all(self) -> None:
        batch: list[_Waiting] = []
        while self._waiting:
            if len(batch) > 1 and len(self._waiting) < len(batch):
                # Under load the others of this wave are about to arrive: a moment saves most of a commit.
                await asyncio.sleep(self._linger)
            batch = self._next_batch()
            if batch:
                await self._flush(batch)

    def _next_batch(self) -> list[_Waiting]:
        """Take as many as fit, and leave out those whose senders have been told to send again."""
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < self._max_rows:
            done, delivery = self._waiting.popitem(last=False)
            if done.done():
                continue
            size += len(delivery.body)
            if batch and size > self._max_bytes:
                self._waiting[done] = delivery
                self._waiting.move_to_end(done, last=False)
                break
            batch.append((delivery, done))
        return batch

    async def _flush(self, batch: Sequence[_Waiting]) -> None:
        started = time.monotonic()
        deliveries = [delivery for delivery, _ in batch]
        self._under_way = frozenset(done for _, done in batch)
        try:
            answers = await self._commit(deliveries)
        except asyncio.CancelledError:
            _answer(batch, [Unavailable("the responder is stopping")] * len(batch))
            raise
        finally:
            self._under_way = frozenset()
            self.budget.give(self._left_behind)
            self._left_behind = 0
        _answer(batch, answers)
        committed = sum(answer is None for answer in answers)
        if committed:
            self._on_committed()
        size = sum(len(delivery.body) for delivery in deliveries)
        seconds = time.monotonic() - started
        self._on_fact("intake_flush", rows=len(batch), committed=committed, bytes=size, seconds=seconds)

    async def _commit(self, deliveries: Sequence[NewDelivery]) -> Sequence[Exception | None]:
        """Ask the inbox; whatever goes wrong with the whole batch is the answer to each of it."""
        try:
            async with asyncio.timeout(self._commit_seconds):
                answers = await self._inbox.accept(deliveries)
        except TimeoutError:
            return [Unavailable("the store did not answer in time")] * len(deliveries)
        except StoreError as error:
            return [error] * len(deliveries)
        except Exception as error:  # noqa: BLE001 - a fault of ours must neither end the flusher nor acknowledge anything
            return [Unavailable(f"{type(error).__name__} while storing")] * len(deliveries)
        if len(answers) != len(deliveries):
            return [Unavailable("the store gave no answer for each delivery")] * len(deliveries)
        return answers


def _too_late(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_exception(Unavailable("the store did not answer in time"))


def _answer(batch: Sequence[_Waiting], answers: Sequence[Exception | None]) -> None:
    for (_, done), answer in zip(batch, answers, strict=True):
        if done.done():  # whoever submitted it has gone
            continue
        if answer is None:
            done.set_result(None)
        else:
            done.set_exception(answer)
