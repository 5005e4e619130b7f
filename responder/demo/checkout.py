"""``checkout``: a small real service whose latency and errors follow its workers.

Customers arrive at a fixed rate; each worker serves one at a time. Below the needed number of workers the queue grows,
customers wait, and those who wait too long are errors: what an on-call engineer knows from a saturated service. A
``leak`` keeps a share of requests failing whatever the workers do, so that adding workers does not help.
"""

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field

from aiohttp import web

ARRIVALS_PER_SECOND = 100.0
SERVICE_SECONDS = 0.05
PATIENCE_SECONDS = 0.4
WINDOW = 150
"""How many of the latest requests the error rate and the latency are computed from."""


@dataclass
class Checkout:
    """The service's state: its workers and what the latest customers met."""

    workers: int = 4
    cache_megabytes: int = 64
    leak: float = 0.0
    version: int = 1
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    backlog: float = 0.0

    def second(self, seconds: float) -> None:
        """Let customers arrive and be served for a while."""
        arrived = ARRIVALS_PER_SECOND * seconds
        capacity = self.workers / SERVICE_SECONDS * seconds
        self.backlog = min(max(0.0, self.backlog + arrived - capacity), ARRIVALS_PER_SECOND * PATIENCE_SECONDS * 2)
        wait = self.backlog * SERVICE_SECONDS / max(self.workers, 1)
        for _ in range(round(arrived)):
            self.waits.append(wait + SERVICE_SECONDS)
            gave_up = wait > PATIENCE_SECONDS and random.random() < 1 - PATIENCE_SECONDS / wait  # noqa: S311 - a model of customers
            self.failed.append(gave_up or random.random() < self.leak)  # noqa: S311 - a model of customers

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
    return web.json_response(
        {
            "error_rate": round(state.error_rate, 4),
            "latency_seconds": round(state.latency, 3),
            "workers": state.workers,
            "cache_megabytes": state.cache_megabytes,
        },
    )


def _setting(request: web.Request) -> str:
    name = request.match_info["name"]
    if name not in ("workers", "cache"):
        raise web.HTTPNotFound(text=f"no setting {name}")
    return name


def _body(state: Checkout, name: str) -> dict[str, int]:
    return {"workers": state.workers} if name == "workers" else {"cache_megabytes": state.cache_megabytes}


async def _read(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return web.json_response(_body(state, _setting(request)), headers={"ETag": f'"{state.version}"'})


async def _write(request: web.Request) -> web.Response:
    state, name = request.app[STATE], _setting(request)
    wanted = request.headers.get("If-Match")
    if wanted is not None and wanted != f'"{state.version}"':
        raise web.HTTPPreconditionFailed(text="somebody else changed it")
    body = await request.json()
    key = next(iter(_body(state, name)))
    value = body.get(key)
    if not isinstance(value, int) or not 1 <= value <= 4096:  # noqa: PLR2004 - what the service can take
        raise web.HTTPUnprocessableEntity(text=f"{key} is a whole number from 1 to 4096")
    if name == "workers":
        state.workers = value
    else:
        state.cache_megabytes = value
    state.version += 1
    return web.json_response(_body(state, name), headers={"ETag": f'"{state.version}"'})


async def _weather(request: web.Request) -> web.Response:
    """Let trouble begin or end; the demonstration's own lever, not a part of the service."""
    state = request.app[STATE]
    body = await request.json()
    state.workers = int(body.get("workers", state.workers))
    state.leak = float(body.get("leak", state.leak))
    return web.json_response({"leak": state.leak, "workers": state.workers})


async def _customers(app: web.Application) -> None:
    while True:
        app[STATE].second(0.1)
        await asyncio.sleep(0.1)


def make_app() -> web.Application:
    """Return the service, with customers coming."""
    app = web.Application()
    app[STATE] = Checkout()
    app.router.add_get("/health", _health)
    app.router.add_get("/admin/{name}", _read)
    app.router.add_put("/admin/{name}", _write)
    app.router.add_post("/weather", _weather)

    async def open_doors(app: web.Application):  # type: ignore[no-untyped-def]  # noqa: ANN202 - aiohttp's own generator form
        task = asyncio.create_task(_customers(app))
        yield
        task.cancel()

    app.cleanup_ctx.append(open_doors)
    return app
