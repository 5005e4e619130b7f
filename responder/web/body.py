"""Reading a request's body: bounded in size, in time and in the memory of the whole process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from responder.intake.buffer import ByteBudget
from responder.web.parts import PARTS, Refused, unavailable


@asynccontextmanager
async def body_of(request: web.Request, limit: int, budget: ByteBudget | None = None) -> AsyncIterator[bytes]:
    """Give the body of at most ``limit`` bytes; its memory counts against ``budget`` until the block ends.

    Without one that is the process' budget: for those whose headers prove who they are, and for nobody else.

    Raises Refused: 413 too large, 408 too slow, 415 compressed, 400 broken off, 503 too many at once.
    """
    parts = request.app[PARTS]
    room = parts.budget if budget is None else budget
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "compressed bodies are not accepted", "send plain JSON")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    kept = _Kept(room, limit)
    try:
        try:
            if request.content.is_eof():  # most bodies are whole when the handler begins: nothing to wait for
                kept.add(request.content.read_nowait())
            else:
                async with asyncio.timeout(parts.bounds.body_seconds):
                    async for chunk in request.content.iter_any():
                        kept.add(chunk)
        except TimeoutError:
            message = f"the body did not arrive within {parts.bounds.body_seconds:g}s"
            raise Refused(408, message, headers={"Connection": "close"}) from None
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, web.RequestPayloadError, OSError):
            raise Refused(400, "the body broke off") from None
        body = b"".join(kept.chunks)
        kept.chunks.clear()  # not both of them for as long as the store takes
        yield body
    finally:
        room.give(kept.size)


class _Kept:
    """What has arrived of a body, within its own limit and a budget."""

    def __init__(self, budget: ByteBudget, limit: int) -> None:
        self._budget = budget
        self._limit = limit
        self.chunks: list[bytes] = []
        self.size = 0

    def add(self, chunk: bytes) -> None:
        if self.size + len(chunk) > self._limit:
            raise _too_large(self._limit)
        if not self._budget.take(len(chunk)):
            raise unavailable("too many bodies at once")
        self.size += len(chunk)
        self.chunks.append(chunk)


def _too_large(limit: int) -> Refused:
    hint = "use more labels in group_by, so that a group holds fewer alerts" if limit > 1024 * 1024 else ""
    return Refused(413, f"the body is larger than {limit} bytes", hint, {"Connection": "close"})
