"""What the stand-ins for web services share: serving in the loop of the test, faults on demand, sliding rate limits."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

JsonObject = dict[str, Any]
Kind = Literal["hang", "reset", "status", "lost_reply"]

_SHUTDOWN = 0.05
"""Seconds that a handler may go on after its test has ended; hanging ones are cut off."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour.

    ``hang`` never answers and does nothing, ``reset`` cuts the connection and does nothing, ``status`` answers
    `status` and does nothing, ``lost_reply`` does what was asked and then cuts the connection.
    """

    kind: Kind
    on: str = ""
    status: int = 500
    retry_after: int | None = None


@dataclass(slots=True)
class Faults:
    """The misbehaviours to come, in order; each is used once by the next request whose path ends with its `on`."""

    waiting: deque[Fault] = field(default_factory=deque)

    def next(
        self, kind: Kind, *, times: int = 1, on: str = "", status: int = 500, retry_after: int | None = None
    ) -> None:
        """Misbehave `times` times; `on` is the end of the path it applies to, empty for any."""
        self.waiting.extend([Fault(kind, on, status, retry_after)] * times)

    def clear(self) -> None:
        """Behave from now on."""
        self.waiting.clear()

    def take(self, path: str) -> Fault | None:
        """Remove and return the first fault for `path`."""
        for fault in self.waiting:
            if path.endswith(fault.on):
                self.waiting.remove(fault)
                return fault
        return None

    def middleware(self) -> Middleware:
        """Return the aiohttp middleware that misbehaves."""

        @web.middleware
        async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
            fault = self.take(request.path)
            if fault is None:
                return await handler(request)
            await request.read()
            if fault.kind == "hang":
                await asyncio.Event().wait()
            if fault.kind == "status":
                headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                return web.Response(status=fault.status, text="a fault was asked for", headers=headers)
            if fault.kind == "lost_reply":
                await handler(request)
            return cut(request)

        return misbehave


def cut(request: web.Request) -> web.Response:
    """Reset the connection of `request` instead of answering; the response only satisfies aiohttp's types."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@dataclass(slots=True)
class Rate:
    """At most `count` calls in any `seconds`, counted per key; None for `count` means no limit."""

    count: int | None
    seconds: float
    now: Callable[[], float] = time.monotonic
    seen: dict[str, deque[float]] = field(default_factory=dict)

    def wait(self, key: str = "") -> float:
        """Count a call and return 0, or return the seconds until the next one is allowed without counting it."""
        if self.count is None:
            return 0.0
        now, calls = self.now(), self.seen.setdefault(key, deque())
        while calls and calls[0] <= now - self.seconds:
            calls.popleft()
        if len(calls) >= self.count:
            return calls[0] + self.seconds - now
        calls.append(now)
        return 0.0


@contextlib.asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve `app` on loopback in the running loop; yields its base URL without a trailing slash."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
