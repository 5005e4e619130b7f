"""Waiting for statements as long as PostgreSQL works on them, and no longer: most are cut off after seconds.

Bringing the schema up to date may take minutes. A server that fell silent meanwhile must not be waited for as long.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from responder.domain.errors import StoreError
from responder.stores.core.connections import RAW_ERRORS

_LOOKS = 5
"""How often it is looked while patience lasts."""
_WORKS = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1"

Connect = Callable[[], Awaitable["asyncpg.Connection[Any]"]]


@asynccontextmanager
async def attended(connect: Connect, session: int, patience: float) -> AsyncIterator[None]:
    """Let the block take as long as the server works for ``session``, which a connection beside it is asked.

    Raises TimeoutError ``patience`` seconds after that was seen last.
    """
    async with asyncio.timeout(patience) as limit:
        looking = asyncio.create_task(_look(connect, session, patience, limit), name="store-attended")
        try:
            yield
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


async def _look(connect: Connect, session: int, patience: float, limit: asyncio.Timeout) -> None:
    beside: asyncpg.Connection[Any] | None = None
    try:
        while True:
            await asyncio.sleep(patience / _LOOKS)
            try:
                beside = beside or await connect()
                if await beside.fetchval(_WORKS, session) and not limit.expired():
                    limit.reschedule(asyncio.get_running_loop().time() + patience)
            except (*RAW_ERRORS, StoreError, OSError, TimeoutError):
                if beside is not None:
                    beside.terminate()
                    beside = None
    finally:
        if beside is not None:
            beside.terminate()
