"""A container engine's API on a socket, as Docker documents it (v1.41): inspect, restart and update of containers.

No engine runs here. It enforces what the documentation says of these: unknown containers are 404, an update takes 0
as nothing said, memory may not be more than memory with swap, and less than 6 MiB is refused.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

LEAST_MEMORY = 6 * 2**20
FIELDS = ("Memory", "MemorySwap", "NanoCpus")


@dataclass
class Engine:
    """The containers by name, and what was done to them."""

    path: Path
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledger: list[tuple[str, str]] = field(default_factory=list)
    fault: str = ""
    stalled: bool = False
    _starts: Iterator[int] = field(default_factory=itertools.count)

    def run(self, name: str, *, memory: int = 512 * 2**20, cpus: int = 10**9) -> None:
        """Let a container run."""
        limits = {"Memory": memory, "MemorySwap": 2 * memory, "NanoCpus": cpus}
        self.containers[name] = {"Id": f"{name:f<64}", "State": self.started(), "HostConfig": limits}

    def started(self) -> dict[str, Any]:
        """Return the state of a container that has just been started."""
        return {"Status": "running", "StartedAt": f"2026-01-01T00:00:{next(self._starts):02}.000000001Z"}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a call, or fail as was told."""
        reading = request.method == "GET"
        while self.stalled and not reading:
            await asyncio.sleep(0.01)
            if request.transport is None or request.transport.is_closing():
                return web.Response()
        fault = self.fault if (self.fault == "unreadable") == reading else ""
        if fault:
            self.fault = ""
        if fault in {"lost_request", "unreadable"}:
            return self._lost(request)
        if fault.isdigit():
            return _error(int(fault), "as was told")
        answer = await self._answer(request)
        return self._lost(request) if fault == "lost_reply" else answer

    def _lost(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name, verb = request.match_info["name"], request.match_info["verb"]
        found = self.containers.get(name)
        if found is None:
            return _error(404, f"No such container: {name}")
        if (request.method, verb) == ("GET", "json"):
            return web.json_response(found)
        if (request.method, verb) == ("POST", "restart"):
            found["State"] = self.started()
            self.ledger.append((name, "restart"))
            return web.Response(status=204)
        if (request.method, verb) == ("POST", "update"):
            return self._update(name, found["HostConfig"], await request.json())
        return _error(404, "page not found")

    def _update(self, name: str, limits: dict[str, Any], asked: dict[str, Any]) -> web.StreamResponse:
        new = {**limits, **{key: asked[key] for key in FIELDS if asked.get(key)}}
        if 0 < new["Memory"] < LEAST_MEMORY:
            return _error(400, "Minimum memory limit allowed is 6MB")
        if 0 < new["MemorySwap"] < new["Memory"]:
            return _error(400, "Memory limit should be smaller than already set memoryswap limit")
        limits.update(new)
        self.ledger.append((name, "update"))
        return web.json_response({"Warnings": None})


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


@asynccontextmanager
async def engine(path: Path) -> AsyncIterator[Engine]:
    """Run an engine's API on the socket ``path``."""
    running = Engine(path)
    app = web.Application()
    app.router.add_route("*", "/v1.41/containers/{name}/{verb}", running.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield running
    finally:
        running.stalled = False
        await runner.cleanup()
