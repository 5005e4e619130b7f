"""Keeping house: what must happen now and then, whoever is asleep."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Protocol

from responder.domain.errors import StoreError
from responder.domain.seals import Head
from responder.ports.sealing import Heads, Sealing
from responder.ports.store import Housekeeping
from responder.tell.headline import unsolved
from responder.worker import OnFact

SET_ASIDE_EVERY = 5.0
UNCLAIMED_EVERY = 30.0
GAUGES_EVERY = 2.0
HOLDS_EVERY = 1.0
HOLDS_BATCH = 50
LOOK_AGAIN_AT_LEAST = timedelta(seconds=10)
"""However short pages are held back, the incidents that stay open are not all read every second."""
RECONCILE_EVERY = 5.0
"""How often each replica asks whether it is its turn to compare (``intake.reconcile``)."""
SEAL_EVERY = 1.0
SEAL_BATCH, SEAL_MOST = 500, 4
"""Entries in one segment, and segments in one go: sealing falls behind in a burst rather than slow it down."""
EXPIRE_EVERY = 60.0
EXPIRE_BATCH = 500


class Kept(Housekeeping, Sealing, Protocol):
    """What the chores work on."""


class Housekeeper:
    """Runs the periodic chores; one that fails is reported and tried again next time."""

    def __init__(
        self,
        store: Kept,
        on_fact: OnFact,
        retention: Callable[[], Mapping[str, timedelta]],
        *,
        page: Callable[[], frozenset[str]],
        page_after: Callable[[], timedelta],
        reconcile: Callable[[], Awaitable[None]] | None = None,
        heads: Callable[[], Heads | None] = lambda: None,
    ) -> None:
        """``retention`` says how long rows are kept, all as now.

        ``page`` is who hears of rows set aside and of pages that are overdue, ``page_after`` how long those wait.
        ``reconcile`` compares what the sources show with what is held of them. ``heads`` is where those of the audit
        log's segments go, beside the store.
        """
        self._heads = heads
        self._reconcile_sources = reconcile
        self._page = page
        self._page_after = page_after
        self._store = store
        self._on_fact = on_fact
        self._retention = retention
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin the chores."""
        chores: tuple[tuple[float, Callable[[], Awaitable[None]]], ...] = (
            (SET_ASIDE_EVERY, self._set_aside),
            (UNCLAIMED_EVERY, self._unclaimed),
            (HOLDS_EVERY, self._holds),
            (GAUGES_EVERY, self._gauges),
            (RECONCILE_EVERY, self._reconcile),
            (SEAL_EVERY, self._seal),
            (EXPIRE_EVERY, self._expire),
        )
        self._tasks = [asyncio.create_task(self._every(seconds, chore)) for seconds, chore in chores]

    async def stop(self) -> None:
        """End the chores; one under way is cut off, its transaction rolls back."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _every(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await chore()
            except StoreError as error:
                self._on_fact("chore_failed", chore=chore.__name__.strip("_"), error=str(error))
            except Exception as error:  # noqa: BLE001 - a fault of ours is reported and must not end the chore for ever
                text = f"{type(error).__name__}: {error}"
                self._on_fact("chore_failed", chore=chore.__name__.strip("_"), error=text)
            await asyncio.sleep(seconds)

    async def _set_aside(self) -> None:
        for what in await self._store.set_aside(self._page()):
            self._on_fact("set_aside", what=what)

    async def _unclaimed(self) -> None:
        if count := await self._store.report_unclaimed(self._page()):
            self._on_fact("unclaimed", runs=count)

    async def _holds(self) -> None:
        """Look at the pages whose time is up: one goes out when its incident is not over, another waits on."""
        again = max(self._page_after(), LOOK_AGAIN_AT_LEAST)
        for account in await self._store.holds_due(HOLDS_BATCH):
            incident = account.incident.id
            if not unsolved(account):
                await self._store.hold_on(incident, again)
            elif await self._store.call(incident, again, self._page()):
                self._on_fact("page_overdue", incident=incident)

    async def _reconcile(self) -> None:
        if self._reconcile_sources is not None:
            await self._reconcile_sources()

    async def _seal(self) -> None:
        head: Head | None = None
        for _ in range(SEAL_MOST):
            head, more = await self._store.seal_audit(SEAL_BATCH)
            if not more:
                break
        heads = self._heads()
        if head is None or heads is None:
            return
        try:
            await heads.keep(head)
        except OSError as error:
            self._on_fact("chore_failed", chore="seal", error=f"the heads file: {error.strerror or error}")

    async def _gauges(self) -> None:
        for queue, depth in (await self._store.depths()).items():
            self._on_fact(
                "queue_depth",
                queue=queue,
                waiting=depth.waiting,
                oldest_seconds=depth.oldest_seconds,
                dead=depth.dead,
            )
        self._on_fact("untold", count=await self._store.untold())

    async def _expire(self) -> None:
        while deleted := await self._store.expire(self._retention(), EXPIRE_BATCH):
            self._on_fact("expired", rows=deleted)
            if deleted < EXPIRE_BATCH:
                return
