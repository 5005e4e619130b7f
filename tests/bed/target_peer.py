"""A service that a responder changes over HTTP, and that keeps the book of what was done to it.

``GET PUT PATCH POST /admin/{name}``: named resources as JSON. PUT replaces, PATCH merges (null removes a key), POST is
an event that counts up ``count``. ``POST DELETE /faults``, ``PUT /settings``, ``GET /ledger``, ``GET /metrics``,
``PUT DELETE /metrics/{name}``, ``GET /health``.

Runs in the loop of a test (`target`) or alone: ``python -m tests.bed.target_peer --port 8081 --ledger ledger.jsonl``.
"""

import argparse
import asyncio
import hashlib
import json
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.bed.ledger import Entry, Ledger
from tests.bed.web import JsonObject, cut, serving

KINDS = ("hang", "reset", "lost_reply", "late", "delayed", "applied_hang", "applied_error")
"""Faults besides a status code ("409", "429", "503" …), which refuses without an effect.

``hang`` and ``reset`` have no effect either; ``lost_reply`` applies and cuts the connection; ``applied_hang`` applies
and never answers; ``applied_error`` applies and answers `status`. ``late`` and ``delayed`` cut the connection at once
and apply after `after_ms`: late the target is at work on it, so that its key answers 409 meanwhile; delayed it has
not reached the target yet, so that another request with its key or precondition can overtake it.
"""

_CAPACITY = 10.0  # requests per second and worker
_BASE_LATENCY = 0.05  # seconds, when there is no queue


@dataclass(frozen=True, slots=True)
class TargetFault:
    """One misbehaviour to come; `on` is ``write``, ``read``, ``metrics`` or ``any`` of them."""

    kind: str
    on: str = "write"
    status: int = 500
    retry_after: int | None = None
    after_ms: int = 200

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist: a fault that never strikes would make a test pass for nothing."""
        if self.kind not in KINDS and not self.kind.isdigit():
            raise ValueError(f"unknown fault {self.kind!r}")

    @property
    def harmless(self) -> bool:
        """Whether the request certainly has no effect."""
        return self.kind in {"hang", "reset"} or self.kind.isdigit()


@dataclass(slots=True)
class Settings:
    """How the target works; ``PUT /settings`` changes any of it.

    `etags`: give ETag, honour If-Match. `keys`: honour Idempotency-Key. `latency_ms`: each admin request takes this
    long before it has its effect. `reads_ms`: each read takes up to so much longer, by chance: who begin together do
    not change something together. `scrape_ms`: each scrape takes so long. `curable`: whether more workers help against
    load.
    """

    etags: bool = True
    keys: bool = True
    latency_ms: float = 0.0
    reads_ms: float = 0.0
    scrape_ms: float = 0.0
    curable: bool = True


@dataclass(frozen=True, slots=True)
class _Wish:
    """A request that wants to change a resource."""

    began: float
    method: str
    name: str
    key: str
    if_match: str
    headers: dict[str, str]
    body: JsonObject


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: JsonObject
    etag: str = ""


@dataclass(slots=True)
class Target:
    """The service. In-process tests read `ledger.entries` and set everything directly."""

    ledger: Ledger = field(default_factory=Ledger)
    resources: dict[str, JsonObject] = field(default_factory=lambda: {"workers": {"workers": 2}})
    gauges: dict[str, float] = field(default_factory=lambda: {"app_load": 10.0})
    settings: Settings = field(default_factory=Settings)
    faults: deque[TargetFault] = field(default_factory=deque)
    url: str = ""
    _versions: dict[str, int] = field(default_factory=dict)
    _answers: dict[str, tuple[str, _Answer]] = field(default_factory=dict)
    _pending: set[str] = field(default_factory=set)
    _landing: set[asyncio.Task[None]] = field(default_factory=set)

    def fault(self, kind: str, times: int = 1, **more: Any) -> None:  # noqa: ANN401 -- fields of TargetFault
        """Misbehave on the next `times` matching admin requests."""
        self.faults.extend([TargetFault(kind, **more)] * times)

    def measures(self) -> dict[str, float]:
        """Return every gauge: those set (names may carry labels) and those computed from workers and load."""
        workers = float(self.resources.get("workers", {}).get("workers", 0) or 0)
        load = self.gauges.get("app_load", 0.0)
        capacity = _CAPACITY * (workers if self.settings.curable else 1.0)
        pressure = load / capacity if capacity else float(load > 0) * 100
        computed = {
            "app_workers": workers,
            "app_latency_seconds": _BASE_LATENCY * max(1.0, pressure),
            "app_error_ratio": max(0.0, 1.0 - 1.0 / pressure) if pressure else 0.0,
        }
        return computed | self.gauges

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        app.router.add_get("/admin/{name}", self._read)
        for method in ("PUT", "PATCH", "POST"):
            app.router.add_route(method, "/admin/{name}", self._write)
        app.router.add_post("/faults", self._add_fault)
        app.router.add_delete("/faults", self._clear_faults)
        app.router.add_put("/settings", self._set)
        app.router.add_get("/ledger", self._show_ledger)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_put("/metrics/{name}", self._set_metric)
        app.router.add_delete("/metrics/{name}", self._drop_metric)
        app.router.add_get("/health", self._health)
        app.on_cleanup.append(self._close)
        return app

    async def _read(self, request: web.Request) -> web.Response:
        await asyncio.sleep((self.settings.latency_ms + random.uniform(0, self.settings.reads_ms)) / 1000)  # noqa: S311 -- no secret
        name, fault = request.match_info["name"], self._take("read")
        if fault is not None:
            return await _unanswered(request, fault)
        if name not in self.resources:
            return web.json_response({"error": "not found"}, status=404)
        return _response(_Answer(200, self.resources[name], self._etag(name)))

    async def _write(self, request: web.Request) -> web.Response:
        began = time.time()
        try:
            body = await request.json() if await request.read() else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return web.json_response({"error": "a JSON object is wanted"}, status=400)
        wish = _Wish(
            began=began,
            method=request.method,
            name=request.match_info["name"],
            key=request.headers.get("Idempotency-Key", ""),
            if_match=request.headers.get("If-Match", ""),
            headers=dict(request.headers),
            body=body,
        )
        key = wish.key if self.settings.keys else ""
        fault = self._take("write")
        if fault is not None and fault.harmless:
            self._note(wish, int(fault.kind) if fault.kind.isdigit() else None, fault.kind)
            return await _unanswered(request, fault)
        if fault is not None and fault.kind == "delayed":
            return self._later(request, wish, fault)
        if key and key in self._pending:
            # As draft-ietf-httpapi-idempotency-key-header asks: the first request is still on its way.
            self._note(wish, 409, "in_progress")
            return web.json_response({"error": "a request with this Idempotency-Key is being processed"}, status=409)
        if key:
            self._pending.add(key)
        if fault is not None and fault.kind == "late":
            return self._later(request, wish, fault)
        try:
            await asyncio.sleep(self.settings.latency_ms / 1000)
            answer = self._apply(wish, fault)
        finally:
            self._pending.discard(key)
        return _response(answer) if fault is None else await _unanswered(request, fault)

    def _later(self, request: web.Request, wish: _Wish, fault: TargetFault) -> web.Response:
        landing = asyncio.create_task(self._land(wish, fault))
        self._landing.add(landing)
        landing.add_done_callback(self._landing.discard)
        return cut(request)

    async def _land(self, wish: _Wish, fault: TargetFault) -> None:
        await asyncio.sleep(fault.after_ms / 1000)
        self._apply(wish, fault)
        if fault.kind == "late":
            self._pending.discard(wish.key)

    def _apply(self, wish: _Wish, fault: TargetFault | None) -> _Answer:
        """Let a wish take effect unless its precondition or its key says no; write it down either way."""
        how = fault.kind if fault is not None else ""
        digest = hashlib.sha256(json.dumps([wish.method, wish.name, wish.body]).encode()).hexdigest()
        if self.settings.keys and wish.key in self._answers:
            of, answer = self._answers[wish.key]
            if of != digest:
                answer = _Answer(422, {"error": "this Idempotency-Key was used for another request"})
            self._note(wish, answer.status, "replay" if of == digest else "key_reused")
            return answer
        if self.settings.etags and wish.if_match and wish.if_match not in {self._etag(wish.name), "*"}:
            self._note(wish, 412, how)
            return _Answer(412, {"error": "the resource has changed"}, self._etag(wish.name))
        before = self.resources.get(wish.name)
        after = _changed(wish, before or {})
        self.resources[wish.name] = after
        self._versions[wish.name] = self._versions.get(wish.name, 0) + (after != before)
        answer = _Answer(200, after, self._etag(wish.name))
        if self.settings.keys and wish.key:
            self._answers[wish.key] = digest, answer
        status = 200 if fault is None else fault.status if fault.kind == "applied_error" else None
        self._note(wish, status, how, before, after)
        return answer

    def _note(
        self,
        wish: _Wish,
        status: int | None,
        how: str,
        before: JsonObject | None = None,
        after: JsonObject | None = None,
    ) -> None:
        self.ledger.append(
            Entry(
                seq=len(self.ledger.entries) + 1,
                began=wish.began,
                ended=time.time(),
                method=wish.method,
                name=wish.name,
                key=wish.key,
                headers=wish.headers,
                body=wish.body,
                before=before,
                after=after,
                changed=after is not None and after != before,
                status=status,
                how=how,
            )
        )

    def _etag(self, name: str) -> str:
        """Return a strong tag: of content *and* version, so that there and back again is a change."""
        if not self.settings.etags or name not in self.resources:
            return ""
        content = json.dumps([self._versions.get(name, 0), self.resources[name]], sort_keys=True)
        return f'"{hashlib.sha256(content.encode()).hexdigest()[:16]}"'

    def _take(self, on: str) -> TargetFault | None:
        for fault in self.faults:
            if fault.on in {on, "any"}:
                self.faults.remove(fault)
                return fault
        return None

    async def _add_fault(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        try:
            self.fault(str(wanted.pop("kind")), wanted.pop("times", 1), **wanted)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(status=204)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self.faults.clear()
        return web.Response(status=204)

    async def _set(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        names = {one.name for one in fields(Settings)}
        if not names.issuperset(wanted):
            return web.json_response({"error": f"settings are {sorted(names)}"}, status=400)
        for name, value in wanted.items():
            setattr(self.settings, name, value)
        return web.Response(status=204)

    async def _show_ledger(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(entry) for entry in self.ledger.entries])

    async def _metrics(self, request: web.Request) -> web.Response:
        fault = self._take("metrics")
        if fault is not None:
            return await _unanswered(request, fault)
        lines = [f"{name} {value}\n" for name, value in sorted(self.measures().items())]
        await asyncio.sleep(self.settings.scrape_ms / 1000)
        return web.Response(text="".join(lines), content_type="text/plain")

    async def _set_metric(self, request: web.Request) -> web.Response:
        try:
            self.gauges[request.match_info["name"]] = float(await request.text())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(status=204)

    async def _drop_metric(self, request: web.Request) -> web.Response:
        self.gauges.pop(request.match_info["name"], None)
        return web.Response(status=204)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({name.removeprefix("app_"): value for name, value in self.measures().items()})

    async def _close(self, _: web.Application) -> None:
        await asyncio.gather(*self._landing)  # else the book would miss what a patient judge would have seen
        self.ledger.close()


@asynccontextmanager
async def target(running: Target | None = None) -> AsyncIterator[Target]:
    """Serve a target in the running loop."""
    service = running or Target()
    async with serving(service.app()) as service.url:
        yield service


def _changed(wish: _Wish, before: Mapping[str, Any]) -> JsonObject:
    if wish.method == "POST":
        return {**before, "count": int(before.get("count", 0)) + 1}
    merged = {**before, **wish.body} if wish.method == "PATCH" else wish.body
    return {name: value for name, value in merged.items() if value is not None}


async def _unanswered(request: web.Request, fault: TargetFault) -> web.Response:
    """Answer with a failure, with silence or with a cut connection."""
    if fault.kind in {"hang", "applied_hang"}:
        await asyncio.Event().wait()
    return _refusal(fault) if fault.kind.isdigit() or fault.kind == "applied_error" else cut(request)


def _refusal(fault: TargetFault) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    status = int(fault.kind) if fault.kind.isdigit() else fault.status
    return web.json_response({"error": "a fault was asked for"}, status=status, headers=headers)


def _response(answer: _Answer) -> web.Response:
    headers = {"ETag": answer.etag} if answer.etag else {}
    return web.json_response(answer.body, status=answer.status, headers=headers)


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--fsync", action="store_true", help="write each entry through to the disk")
    parser.add_argument("--settings", type=json.loads, default={}, help='JSON, {"latency_ms": 100}')
    parser.add_argument("--resources", type=json.loads, default={}, help="JSON, beside the default `workers`")
    given = parser.parse_args()
    service = Target(Ledger(given.ledger, given.fsync), settings=Settings(**given.settings))
    service.resources |= given.resources
    web.run_app(service.app(), host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
