"""Workers: one loop for each queue, all with the same start and stop."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from responder.domain.errors import StoreError
from responder.ports.wake import Queue, Wake

LEAST_SECONDS = 0.01
"""From the beginning of a turn that did not find all that it could take to the next one, however often it is woken."""


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


class LocalWake:
    """Wake-ups within the process: a lost one costs a poll interval, nothing else."""

    def __init__(self) -> None:
        """Start with nothing to do."""
        self._events: dict[Queue, asyncio.Event] = {}

    def _event(self, queue: Queue) -> asyncio.Event:
        return self._events.setdefault(queue, asyncio.Event())

    def notify(self, queue: Queue) -> None:
        """Wake whoever waits for ``queue``."""
        self._event(queue).set()

    async def wait(self, queue: Queue, timeout: float) -> None:  # noqa: ASYNC109 - the wait itself is bounded by it
        """Return when ``queue`` was notified since the last wait, or after ``timeout`` seconds."""
        event = self._event(queue)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await event.wait()
        event.clear()


class Worker:
    """Takes turns at one queue until it is stopped; a failing store slows it down, never ends it."""

    def __init__(
        self,
        queue: Queue,
        turn: Callable[[], Awaitable[int]],
        wake: Wake,
        on_fact: OnFact,
        idle: float,
        *,
        full: int = 1,
        least: float = LEAST_SECONDS,
    ) -> None:
        """``turn`` returns how much it did; less than ``full`` means that nothing was left for the next one.

        ``idle`` is the poll interval in seconds when there is nothing to do; ``least`` the seconds from one such turn
        to the next, however often it is woken.
        """
        self._queue: Queue = queue
        self._turn = turn
        self._wake = wake
        self._on_fact = on_fact
        self._idle = idle
        self._full = full
        self._least = least
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin taking turns."""
        self._task = asyncio.create_task(self._run(), name=f"worker {self._queue}")

    async def stop(self) -> None:
        """Claim nothing more, let the turn under way end."""
        self._stopping.set()
        self._wake.notify(self._queue)
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                done = await self._turn()
            except StoreError as error:
                failures += 1
                self._on_fact("worker_waits", queue=self._queue, error=str(error), failures=failures)
                await self._pause(min(0.1 * 2**failures, 5.0))
                continue
            except Exception as error:  # noqa: BLE001 - a fault of ours is reported and must not end the queue
                failures += 1
                self._on_fact(
                    "worker_failed", queue=self._queue, error=f"{type(error).__name__}: {error}", failures=failures
                )
                await self._pause(min(0.1 * 2**failures, 5.0))
                continue
            failures = 0
            if done < self._full and not self._stopping.is_set():
                await self._wake.wait(self._queue, self._idle)
                await self._pause(self._least - (time.monotonic() - began))

    async def _pause(self, seconds: float) -> None:
        """Wait ``seconds``, or until it is to stop; not at all when there are none."""
        if seconds <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
