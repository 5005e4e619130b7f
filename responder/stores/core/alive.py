"""How the processes over one PostgreSQL know of each other whether they live (``lives.py`` says what follows).

Each holds an advisory lock under its own name, on a session of its own, and stands in ``meta``. The server ends the
session, and with it the lock, in the moment in which the process dies: its sockets close. One that is frozen keeps it.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, text

from responder.domain.errors import StoreError
from responder.stores.core.clock import OnFact
from responder.stores.core.connections import RAW_ERRORS
from responder.stores.core.database import Database, Order, translate, upsert
from responder.stores.core.lives import NOTHING_ENDED, end_life
from responder.stores.schema import meta

if TYPE_CHECKING:
    import asyncpg

LOOK_EVERY = 1.0
MISSING_SECONDS = 2.0
"""So long a lock must be missing until its holder counts as ended: when the server restarts, everybody loses theirs."""
_PREFIX = "life/"
_OTHERS = text(
    "SELECT key FROM meta WHERE key LIKE :prefix || '%' AND key <> :own AND NOT EXISTS (SELECT FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid = ((hashtextextended(key, 0) >> 32) & 4294967295)::oid"
    " AND objid = (hashtextextended(key, 0) & 4294967295)::oid)"
)
_TRY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")

END_HUNG = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename = current_user AND application_name = 'responder' AND wait_event = 'ClientRead'"
    " AND xact_start IS NOT NULL AND state_change < clock_timestamp() - CAST(:hung AS interval)"
)
"""Ends the transactions of those that froze in the middle."""


class Alive:
    """Shows that this process lives, and notices which others do not any more."""

    def __init__(
        self,
        db: Database,
        name: str,
        connect: "Callable[[], Awaitable[asyncpg.Connection[Any]]]",
        spent: "Callable[[asyncpg.Connection[Any]], bool]",
    ) -> None:
        """Live under ``name``. ``connect`` opens a session, ``spent`` says that one is of no use any more."""
        self._db = db
        self._key = f"{_PREFIX}{name}"
        self._connect = connect
        self._spent = spent
        self._session: asyncpg.Connection[Any] | None = None
        self._missing: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether the lock is held, as far as we know."""
        return self._session is not None and not self._spent(self._session)

    async def start(self, on_fact: OnFact) -> None:
        """Take the lock, and look after the others from now on; raises Unavailable."""
        await self.look(on_fact)
        self._task = asyncio.create_task(self._watch(on_fact), name="store-lives")

    async def stop(self) -> None:
        """Give the lock back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._let_go()

    async def look(self, on_fact: OnFact) -> None:
        """Hold the lock, and end the lives of those whose locks have been missing for long enough."""
        if not self.held:
            await self._begin()
        async with self._db.reading() as tx:
            gone = set(await tx.scalars(_OTHERS, {"prefix": _PREFIX, "own": self._key}))
        now = time.monotonic()
        self._missing = {key: self._missing.get(key, now) for key in gone}
        for key, since in self._missing.items():
            if now - since >= MISSING_SECONDS:
                await self._end(key, on_fact)

    async def _watch(self, on_fact: OnFact) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(StoreError):  # a store that is away is heard of elsewhere
                await self.look(on_fact)

    async def _begin(self) -> None:
        self._let_go()
        session: asyncpg.Connection[Any] | None = None
        try:
            session = await self._connect()
            await session.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", self._key)
        except (*RAW_ERRORS, OSError, TimeoutError) as error:
            if session is not None:
                session.terminate()
            raise translate(error) from error
        # Behind the lock: whoever finds the name there must find the lock held, too.
        async with self._db.writing(Order.CONTROL) as tx:
            await tx.execute(upsert(self._db, meta, "key"), {"key": self._key, "value": ""})
        self._session = session

    def _let_go(self) -> None:
        if self._session is not None:
            self._session.terminate()
            self._session = None

    async def _end(self, key: str, on_fact: OnFact) -> None:
        """Free what an ended life had claimed. While that is done its lock is ours: it cannot come back meanwhile."""
        async with self._db.writing(Order.CONTROL) as tx:
            known = await tx.scalar(select(meta.c.key).where(meta.c.key == key).with_for_update())
            if known is None or not await tx.scalar(_TRY, {"key": key}):
                return
            ended = await end_life(self._db, tx, key.removeprefix(_PREFIX))
            await tx.execute(delete(meta).where(meta.c.key == key))
        if ended != NOTHING_ENDED:
            on_fact("life_ended", **asdict(ended))
