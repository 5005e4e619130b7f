"""An HTTP service to be remediated: named resources, metrics that follow them, faults on demand, and a ledger.

``GET|PUT|PATCH|DELETE /admin/{name}`` are the resources, ``GET /metrics`` the metrics (``PUT|DELETE /metrics/{name}``
set one), ``POST|DELETE /faults`` the faults, ``PUT /settings`` the switches. Run it in the loop of a test (`target`) or
as a process of its own (`target_process`, ``python -m tests.bed.target_peer --port N``).
"""

import argparse
import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from aiohttp import web

from tests.bed.ledger import Entry, Ledger, Outcome
from tests.bed.web import JsonObject, cut, serving

Kind = Literal["status", "status_applied", "hang", "hang_applied", "lost_reply", "late"]

_MUTATIONS = ("PUT", "PATCH", "DELETE")
_CALM = 0.05  # seconds: the latency of a service that has workers enough


@dataclass(frozen=True, slots=True)
class TargetFault:
    """One misbehaviour, for the next request with one of `methods` whose path ends with `on`.

    ``status`` answers `status` and applies nothing, ``status_applied`` applies first; ``hang`` never answers and
    applies nothing, ``hang_applied`` applies first; ``lost_reply`` applies and resets; ``late`` resets at once and
    applies after `after_ms`, judging key and precondition only then, as for a request held up in a queue.
    """

    kind: Kind
    status: int = 500
    retry_after: int | None = None
    after_ms: int = 200
    on: str = ""
    methods: tuple[str, ...] = _MUTATIONS

    @property
    def answers(self) -> int | None:
        """The status that the client sees, None when it sees none."""
        return self.status if self.kind in {"status", "status_applied"} else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A mutating request, read."""

    received: datetime
    method: str
    name: str
    headers: Mapping[str, str]
    raw: bytes
    fault: TargetFault | None

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.method} {self.name} ".encode() + self.raw).hexdigest()


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Any
    outcome: Outcome
    etag: str | None = None

    def response(self, *, replayed: bool = False) -> web.Response:
        headers = {} if self.etag is None else {"ETag": self.etag}
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        return web.json_response(self.body, status=self.status, headers=headers)


@dataclass(slots=True)
class TargetPeer:
    """The service. `etags` and `keys` say whether it honours If-Match and Idempotency-Key.

    Half of `latency_ms` passes before a change and half after it. `demand` is how many workers it needs; with `cures`
    off, its metrics stay what its first workers made them.
    """

    resources: dict[str, Any] = field(default_factory=lambda: {"workers": {"workers": 2}})
    ledger: Ledger = field(default_factory=Ledger)
    etags: bool = True
    keys: bool = True
    latency_ms: float = 0.0
    demand: float = 6.0
    cures: bool = True
    url: str = ""
    gauges: dict[str, float] = field(default_factory=dict)
    faults: list[TargetFault] = field(default_factory=list)
    _revisions: dict[str, int] = field(default_factory=dict)
    _answers: dict[str, tuple[str, _Answer]] = field(default_factory=dict)
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict)
    _landing: set[asyncio.Task[_Answer]] = field(default_factory=set)
    _first_workers: float = 0.0

    def __post_init__(self) -> None:
        self._first_workers = self._workers()

    def misbehave(self, *faults: TargetFault) -> None:
        """Queue misbehaviours; each is used once."""
        self.faults.extend(faults)

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        app.router.add_get("/admin/{name}", self._read)
        for method in _MUTATIONS:
            app.router.add_route(method, "/admin/{name}", self._mutate)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_route("*", "/metrics/{name}", self._set_gauge)
        app.router.add_route("*", "/faults", self._set_faults)
        app.router.add_put("/settings", self._set_switches)
        return app

    def metrics(self) -> str:
        """Return the metrics in Prometheus's text format; a resource ``workers`` drives latency and errors."""
        workers = self._workers() if self.cures else self._first_workers
        load = self.demand / workers if workers > 0 else float("inf")
        gauges = {
            "target_workers": self._workers(),
            "target_latency_seconds": _CALM * max(1.0, load),
            "target_errors_ratio": max(0.0, 1.0 - 1.0 / load) if load > 0 else 0.0,
            **self.gauges,
        }
        return "".join(f"# TYPE {name} gauge\n{name} {_number(value)}\n" for name, value in gauges.items())

    async def _read(self, request: web.Request) -> web.StreamResponse:
        fault = self._take(request)
        if fault is not None:
            return await _without_effect(fault, request)
        await asyncio.sleep(self.latency_ms / 1000)
        name = request.match_info["name"]
        if name not in self.resources:
            return web.json_response({"error": "not found"}, status=404)
        return _Answer(200, self.resources[name], "unchanged", self._etag(name)).response()

    async def _mutate(self, request: web.Request) -> web.StreamResponse:
        received, fault = datetime.now(UTC), self._take(request)
        raw, name = await request.read(), request.match_info["name"]
        asked = _Asked(received, request.method, name, dict(request.headers), raw, fault)
        if fault is None:
            answer = await self._land(asked)
            return answer.response(replayed=answer.outcome == "replayed")
        if fault.kind == "late":
            task = asyncio.create_task(self._land(asked, after=fault.after_ms / 1000))
            self._landing.add(task)
            task.add_done_callback(self._landing.discard)
            return cut(request)
        if fault.kind in {"status", "hang"}:
            self._write(asked, _Answer(fault.status, None, "faulted"))
            return await _without_effect(fault, request)
        await self._land(asked)
        if fault.kind == "lost_reply":
            return cut(request)
        return await _without_effect(fault, request)

    async def _land(self, asked: _Asked, *, after: float = 0.0) -> _Answer:
        """Apply a request after a while: once per key where keys are honoured."""
        await asyncio.sleep(after + self.latency_ms / 2000)
        key = asked.headers.get("Idempotency-Key")
        if key is None or not self.keys:
            answer = self._apply(asked)
        else:
            async with self._busy.setdefault(key, asyncio.Lock()):
                answer = self._once(key, asked)
        await asyncio.sleep(self.latency_ms / 2000)
        return answer

    def _once(self, key: str, asked: _Asked) -> _Answer:
        if key not in self._answers:
            answer = self._apply(asked)
            if answer.outcome != "refused":  # what was refused before it began may be tried again
                self._answers[key] = (asked.digest, answer)
            return answer
        digest, first = self._answers[key]
        if digest == asked.digest:
            answer = _Answer(first.status, first.body, "replayed", first.etag)
        else:
            answer = _Answer(422, {"error": "this Idempotency-Key was used for another request"}, "refused")
        self._write(asked, answer)
        return answer

    def _apply(self, asked: _Asked) -> _Answer:
        """Check the precondition, change the resource and write it down, all without letting anybody in between."""
        before = self.resources.get(asked.name)
        refusal = self._refusal(asked)
        if refusal is not None:
            self._write(asked, refusal)
            return refusal
        after = None if asked.method == "DELETE" else json.loads(asked.raw)
        if asked.method == "PATCH":
            after = _merged(before, after)
        changed = before != after
        if asked.method == "DELETE":
            del self.resources[asked.name]
        else:
            self.resources[asked.name] = after
        if changed:
            self._revisions[asked.name] = self._revisions.get(asked.name, 0) + 1
        answer = _Answer(200, after, "applied" if changed else "unchanged", self._etag(asked.name))
        self._write(asked, answer, before=before)
        return answer

    def _refusal(self, asked: _Asked) -> _Answer | None:
        exists = asked.name in self.resources
        if not exists and asked.method != "PUT":
            return _Answer(404, {"error": "not found"}, "refused")
        wanted = asked.headers.get("If-Match")
        if self.etags and wanted is not None and not (exists and wanted in {"*", self._etag(asked.name)}):
            return _Answer(412, {"error": "the resource has changed"}, "refused", self._etag(asked.name))
        if self.etags and asked.headers.get("If-None-Match") == "*" and exists:
            return _Answer(412, {"error": "the resource exists"}, "refused", self._etag(asked.name))
        if asked.method != "DELETE":
            try:
                json.loads(asked.raw)
            except ValueError:
                return _Answer(400, {"error": "the body is not JSON"}, "refused")
        return None

    def _write(self, asked: _Asked, answer: _Answer, *, before: object = None) -> None:
        now = self.resources.get(asked.name)
        try:
            body = json.loads(asked.raw)
        except ValueError:
            body = asked.raw.decode(errors="replace")
        changed = answer.outcome == "applied"
        entry = Entry(
            received=asked.received,
            at=datetime.now(UTC),
            method=asked.method,
            name=asked.name,
            key=asked.headers.get("Idempotency-Key"),
            headers=asked.headers,
            body=body,
            before=before if changed else now,
            after=now,
            changed=changed,
            outcome=answer.outcome,
            status=answer.status if asked.fault is None else asked.fault.answers,
            fault="" if asked.fault is None else asked.fault.kind,
        )
        self.ledger.append(entry)

    def _etag(self, name: str) -> str | None:
        if not self.etags or name not in self.resources:
            return None
        # The revision is part of it: back at an earlier value, an earlier precondition still fails.
        content = hashlib.sha256(json.dumps(self.resources[name], sort_keys=True).encode()).hexdigest()[:8]
        return f'"{self._revisions.get(name, 0)}-{content}"'

    def _take(self, request: web.Request) -> TargetFault | None:
        for fault in self.faults:
            if request.method in fault.methods and request.path.endswith(fault.on):
                self.faults.remove(fault)
                return fault
        return None

    def _workers(self) -> float:
        workers = self.resources.get("workers")
        value = workers.get("workers") if isinstance(workers, dict) else None
        return float(value) if isinstance(value, int | float) else 0.0

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        fault = self._take(request)
        if fault is not None:
            return await _without_effect(fault, request)
        return web.Response(text=self.metrics(), content_type="text/plain")

    async def _set_gauge(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if request.method == "DELETE":
            self.gauges.pop(name, None)
        else:
            self.gauges[name] = float(await request.json())  # a string can say NaN or +Inf
        return web.Response(status=204)

    async def _set_faults(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.faults.clear()
            return web.Response(status=204)
        wanted: JsonObject = await request.json()
        times = wanted.pop("times", 1)
        if "methods" in wanted:
            wanted["methods"] = tuple(wanted["methods"])
        try:
            fault = TargetFault(**wanted)
        except TypeError as error:
            return web.json_response({"error": str(error)}, status=400)
        if fault.kind not in get_args(Kind):
            return web.json_response({"error": f"no such kind: {fault.kind}"}, status=400)
        self.misbehave(*[fault] * times)
        return web.Response(status=204)

    async def _set_switches(self, request: web.Request) -> web.Response:
        switches: JsonObject = await request.json()
        unknown = set(switches) - {"etags", "keys", "latency_ms", "demand", "cures"}
        if unknown:
            return web.json_response({"error": f"no such setting: {', '.join(sorted(unknown))}"}, status=400)
        for name, value in switches.items():
            setattr(self, name, value)
        return web.Response(status=204)


@asynccontextmanager
async def target(peer: TargetPeer | None = None, port: int = 0) -> AsyncIterator[TargetPeer]:
    """Serve a target in the running loop; what would land late lands before this ends."""
    running = peer or TargetPeer()
    async with serving(running.app(), port) as running.url:
        yield running
        if running._landing:
            await asyncio.wait(running._landing)


async def _without_effect(fault: TargetFault, request: web.Request) -> web.StreamResponse:
    """Answer what the fault says, or never; lost replies of reads are resets."""
    if fault.kind in {"hang", "hang_applied"}:
        await asyncio.Event().wait()
    if fault.kind in {"status", "status_applied"}:
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return web.json_response({"error": "a fault was asked for"}, status=fault.status, headers=headers)
    return cut(request)


def _merged(before: object, patch: object) -> object:
    """Merge as RFC 7396 does: null removes."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = _merged(kept.get(key), value)
    return kept


def _number(value: float) -> str:
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(str(value), str(value))


async def _run(peer: TargetPeer, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with target(peer, port):
        await ended.wait()


def main() -> None:
    """Run from the command line until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.bed.target_peer", description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True, help="file of one JSON line per mutating request")
    parser.add_argument("--fsync", action="store_true", help="write the ledger through to the disk")
    parser.add_argument("--no-etags", action="store_true", help="ignore If-Match")
    parser.add_argument("--no-keys", action="store_true", help="ignore Idempotency-Key")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--demand", type=float, default=6.0, help="how many workers the service needs")
    parser.add_argument("--no-cure", action="store_true", help="metrics do not follow the workers")
    parser.add_argument("--resource", action="append", default=[], metavar="NAME=JSON", help="instead of 2 workers")
    flags = parser.parse_args()
    given = {name: json.loads(value) for name, _, value in (one.partition("=") for one in flags.resource)}
    peer = TargetPeer(
        resources=given or {"workers": {"workers": 2}},
        ledger=Ledger(flags.ledger, sync=flags.fsync),
        etags=not flags.no_etags,
        keys=not flags.no_keys,
        latency_ms=flags.latency_ms,
        demand=flags.demand,
        cures=not flags.no_cure,
    )
    asyncio.run(_run(peer, flags.port))


if __name__ == "__main__":
    main()
