"""``checkout``: a small real service whose latency and errors follow its workers.

Customers arrive at a steady rate; each worker serves one at a time. Below the needed number of workers the queue grows,
customers wait, and those who wait too long are errors: what an on-call engineer knows from a saturated service. A
``leak`` keeps a share of requests failing whatever the workers do, so that no setting helps.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from json import JSONDecodeError

from aiohttp import web

ARRIVALS_PER_SECOND = 100.0
SERVICE_SECONDS = 0.05
PATIENCE_SECONDS = 0.4
WINDOW = 150
"""How many of the latest requests the error rate and the latency are computed from."""
TICK_SECONDS = 0.1
LARGEST = 4096
KEYS = {"workers": "workers", "cache": "cache_megabytes"}
"""The settings by the last part of their path, and the key that each has in JSON."""


@dataclass
class Checkout:
    """The service's state: its settings and what the latest customers met."""

    settings: dict[str, int] = field(default_factory=lambda: {"workers": 4, "cache": 64})
    versions: dict[str, int] = field(default_factory=lambda: {"workers": 1, "cache": 1})
    arrivals: float = ARRIVALS_PER_SECOND
    leak: float = 0.0
    backlog: float = 0.0
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    answered: set[str] = field(default_factory=set)
    """Idempotency keys of the changes that were made: the same key changes nothing a second time."""
    chance: random.Random = field(default_factory=random.Random)

    @property
    def workers(self) -> int:
        """How many customers are served at once."""
        return self.settings["workers"]

    def pass_time(self, seconds: float) -> None:
        """Let customers arrive and be served for a while."""
        arrived = self.arrivals * seconds
        served = self.workers / SERVICE_SECONDS * seconds
        longest = ARRIVALS_PER_SECOND * PATIENCE_SECONDS * 2  # whoever waits longer has left the queue
        self.backlog = min(max(0.0, self.backlog + arrived - served), longest)
        wait = self.backlog * SERVICE_SECONDS / self.workers
        for _ in range(round(arrived)):
            gave_up = wait > PATIENCE_SECONDS and self.chance.random() < 1 - PATIENCE_SECONDS / wait
            self.waits.append(wait + SERVICE_SECONDS)
            self.failed.append(gave_up or self.chance.random() < self.leak)

    def change(self, name: str, value: int) -> None:
        """Set ``name``; its version, which the ETag shows, goes up."""
        self.settings[name] = value
        self.versions[name] += 1

    @property
    def error_rate(self) -> float:
        """The share of the latest requests that failed."""
        return sum(self.failed) / len(self.failed) if self.failed else 0.0

    @property
    def latency(self) -> float:
        """The mean latency of the latest requests, in seconds."""
        return sum(self.waits) / len(self.waits) if self.waits else 0.0


STATE = web.AppKey("state", Checkout)


async def _health(request: web.Request) -> web.Response:
    state = request.app[STATE]
    figures = {"error_rate": round(state.error_rate, 4), "latency_seconds": round(state.latency, 3)}
    return web.json_response({**figures, **{KEYS[name]: value for name, value in state.settings.items()}})


def _setting(request: web.Request) -> str:
    name = request.match_info["name"]
    if name not in KEYS:
        raise web.HTTPNotFound(text=f"no setting {name}")
    return name


def _answer(state: Checkout, name: str) -> web.Response:
    return web.json_response({KEYS[name]: state.settings[name]}, headers={"ETag": f'"{state.versions[name]}"'})


async def _read(request: web.Request) -> web.Response:
    return _answer(request.app[STATE], _setting(request))


async def _write(request: web.Request) -> web.Response:
    state, name = request.app[STATE], _setting(request)
    key = request.headers.get("Idempotency-Key", "")
    if key and key in state.answered:
        return _answer(state, name)
    if request.headers.get("If-Match", f'"{state.versions[name]}"') != f'"{state.versions[name]}"':
        raise web.HTTPPreconditionFailed(text="somebody else changed it")
    try:
        body = await request.json()
    except JSONDecodeError as error:
        raise web.HTTPBadRequest(text="the body is not JSON") from error
    value = body.get(KEYS[name]) if isinstance(body, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
        raise web.HTTPUnprocessableEntity(text=f"{KEYS[name]} is a whole number from 1 to {LARGEST}")
    state.change(name, value)
    state.answered.add(key)
    return _answer(state, name)


async def _customers(app: web.Application) -> AsyncIterator[None]:
    async def come_and_go() -> None:
        while True:
            app[STATE].pass_time(TICK_SECONDS)
            await asyncio.sleep(TICK_SECONDS)

    coming = asyncio.create_task(come_and_go(), name="customers")
    yield
    coming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await coming


def make_app(state: Checkout | None = None) -> web.Application:
    """Return the service, with customers coming; whoever holds ``state`` makes its weather."""
    app = web.Application()
    app[STATE] = state or Checkout()
    app.router.add_get("/health", _health)
    app.router.add_get("/admin/{name}", _read)
    app.router.add_put("/admin/{name}", _write)
    app.cleanup_ctx.append(_customers)
    return app


if __name__ == "__main__":  # the tutorial's service: python -m responder.demo.checkout
    web.run_app(make_app(), host="127.0.0.1", port=8081, access_log=None)
