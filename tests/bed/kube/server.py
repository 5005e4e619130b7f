"""The API server: what comes in over HTTP is identified, authorised, done and written down."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml
from aiohttp import web

from tests.bed.kube import discovery, errors
from tests.bed.kube.access import Access, Attributes, User
from tests.bed.kube.faults import Fault, Faults
from tests.bed.kube.kinds import REVIEWS, Json, Place, review_group
from tests.bed.kube.ledger import Entry, Ledger
from tests.bed.kube.logs import Logs
from tests.bed.kube.metrics import Metrics
from tests.bed.kube.objects import Objects
from tests.bed.kube.patches import APPLY
from tests.bed.kube.reads import Wanted, listing, watching
from tests.bed.kube.requests import Asked, options, understand
from tests.bed.kube.scaling import scale_of
from tests.bed.kube.store import Store
from tests.bed.kube.writes import Change, Outcome, known_patch, perform
from tests.bed.web import JsonObject, cut

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_JSON = ("", "application/json", "application/yaml", "application/octet-stream")


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request with who sent it, for the ledger."""

    request: web.Request
    asked: Asked
    user: User
    began: float
    body: Json


@dataclass(slots=True)
class ApiServer:
    """The parts of the server."""

    store: Store
    objects: Objects
    access: Access
    logs: Logs
    metrics: Metrics
    ledger: Ledger
    faults: Faults = field(default_factory=Faults)
    _landing: set[asyncio.Task[None]] = field(default_factory=set)

    def add(self, app: web.Application) -> None:
        """Serve every path of `app` that is not taken."""
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_cleanup.append(self._landed)

    async def _landed(self, _: web.Application) -> None:
        self.faults.gate.set()
        await asyncio.gather(*self._landing)  # else the ledger would miss what a patient judge would have seen

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            user = self.access.identify(request.headers)
            asked = understand(request.method, request.path, request.query)
            if asked is None:
                self.access.check(user, Attributes(request.method.lower(), path=request.path))
                return _document(request.path)
            return await self._resource(request, asked, user)
        except errors.ApiError as error:
            response = _answer(error.code, error.body)
            if error.details and "retryAfterSeconds" in error.details:
                response.headers["Retry-After"] = str(error.details["retryAfterSeconds"])
            return response

    async def _resource(self, request: web.Request, asked: Asked, user: User) -> web.StreamResponse:
        began, raw = self.store.clock.now(), await request.read()
        if asked.plural in REVIEWS and asked.group == review_group(asked.plural) and asked.verb == "create":
            self.access.check(user, asked.attributes)
            manager = request.headers.get("User-Agent", "").split("/")[0]
            return _answer(201, self.access.review(asked.plural, user, _parsed(raw), manager))
        fault = self.faults.take(write=asked.write, path=request.path)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.after_ms / 1000)
        visit = _Visit(request, asked, user, began, _shown(raw))
        if fault is not None and fault.harmless:
            self._note(visit, int(fault.kind) if fault.kind.isdigit() else None, fault.kind)
            return await _unanswered(request, fault)
        if fault is not None and fault.kind == "delayed" and asked.write:
            landing = asyncio.create_task(self._land(visit, raw, fault))
            self._landing.add(landing)
            landing.add_done_callback(self._landing.discard)
            return cut(request)
        try:
            self.access.check(user, asked.attributes)
            if asked.kind is None:
                raise errors.no_route()
            if not asked.write:
                response = await self._read(request, asked)
                return response if fault is None or fault.kind == "slow" else await _unanswered(request, fault)
            outcome = self._write(request, asked, raw)
        except errors.ApiError as error:
            self._note(visit, error.code, fault.kind if fault else "")
            raise
        silent = fault is not None and fault.kind in {"applied_hang", "lost_reply"}
        status = fault.status if fault is not None and fault.kind == "applied_error" else outcome.status
        self._note(visit, None if silent else status, fault.kind if fault else "", outcome)
        if fault is not None and fault.kind != "slow":
            return await _unanswered(request, fault)
        return _answer(outcome.status, outcome.body, outcome.warnings)

    async def _land(self, visit: _Visit, raw: bytes, fault: Fault) -> None:
        """Do what was asked when its sender has long given up."""
        await asyncio.sleep(fault.after_ms / 1000)
        await self.faults.gate.wait()
        try:
            self.access.check(visit.user, visit.asked.attributes)
            self._note(visit, None, fault.kind, self._write(visit.request, visit.asked, raw))
        except errors.ApiError:
            self._note(visit, None, fault.kind)

    async def _read(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        kind, query = asked.kind, request.query
        measured = self._measured(asked, query)
        if measured is not None:
            return _answer(200, measured)
        if kind is None or (asked.subresource and asked.subresource not in kind.subresources):
            raise errors.no_route()
        if asked.verb == "watch":
            wanted = Wanted.of(kind, asked.namespace, asked.name, query)
            return await watching(request, self.store, wanted, query)
        if asked.verb == "list":
            return _answer(200, listing(self.store, Wanted.of(kind, asked.namespace, "", query), query))
        if kind.namespaced and not asked.namespace:
            raise errors.no_route()
        found = self.objects.existing(Place(kind, asked.namespace, asked.name))
        if asked.subresource == "scale":
            return _answer(200, scale_of(found))
        if asked.subresource == "log":
            return web.Response(text=self.logs.read(found, query))
        if asked.subresource == "eviction":
            raise errors.not_allowed(kind)
        return _answer(200, found)

    def _measured(self, asked: Asked, query: Mapping[str, str]) -> JsonObject | None:
        """Return what the metrics server or a kubelet says; None for what is an object."""
        kind = asked.kind
        if kind is None:
            return None
        if kind.plural == "nodes" and asked.subresource == "proxy/stats/summary":
            self.objects.existing(Place(kind, "", asked.name))
            return self.metrics.summary(asked.name)
        if kind.group == "metrics.k8s.io" and not asked.subresource:
            return self.metrics.answer(kind, asked.namespace, asked.name, query)
        return None

    def _write(self, request: web.Request, asked: Asked, raw: bytes) -> Outcome:
        how = request.content_type if request.headers.get("Content-Type") else ""
        if asked.kind is None:
            raise errors.no_route()
        if (request.method == "PATCH" and not known_patch(how)) or (request.method != "PATCH" and how not in _JSON):
            raise errors.media_type()
        agent = request.headers.get("User-Agent", "")
        given = options(request.method, request.query, agent, asked.subresource, apply=how == APPLY)
        change = Change(asked.kind, asked, how, _parsed(raw), dict(request.query), given)
        return perform(self.objects, change)

    def _note(self, visit: _Visit, status: int | None, how: str, outcome: Outcome | None = None) -> None:
        """Write down a request that wanted a change."""
        asked, request = visit.asked, visit.request
        if not asked.write:
            return
        agent = request.headers.get("User-Agent", "")
        dry = "dryRun" in request.query or _dry(visit.body)
        written = outcome.written if outcome is not None else None
        after = written.obj if written is not None and not dry else None
        self.ledger.append(
            Entry(
                seq=len(self.ledger.entries) + 1,
                began=visit.began,
                ended=self.store.clock.now(),
                user=visit.user.name,
                user_agent=agent,
                manager=request.query.get("fieldManager") or agent.split("/")[0],
                verb=asked.verb,
                path=request.path,
                resource=asked.resource,
                namespace=asked.namespace,
                name=asked.name or (after or {}).get("metadata", {}).get("name", ""),
                dry_run=dry,
                content_type=request.headers.get("Content-Type", ""),
                body=visit.body,
                status=status,
                version=(after or {}).get("metadata", {}).get("resourceVersion", ""),
                changed=after is not None and written is not None and written.changed,
                before=written.before if written is not None else None,
                after=after,
                how=how,
            )
        )


def _dry(body: Json) -> bool:
    """Whether the options in a body ask for a dry run: those of a delete, or of an eviction's delete."""
    options = body.get("deleteOptions", body) if isinstance(body, dict) else {}
    return isinstance(options, dict) and bool(options.get("dryRun"))


def _document(path: str) -> web.Response:
    if path.rstrip("/") in {"/healthz", "/livez", "/readyz"}:
        return web.Response(text="ok")
    found = discovery.answer(path)
    if found is None:
        raise errors.no_route()
    return _answer(200, found)


def _parsed(raw: bytes) -> Json:
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError:
        pass
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise errors.bad_request(f"error decoding the body: {error}") from None


def _shown(raw: bytes) -> Json:
    """Return a body for the ledger, whatever it is."""
    try:
        return _parsed(raw)
    except errors.ApiError:
        return raw.decode(errors="replace")


def _answer(status: int, body: JsonObject, warnings: list[str] | None = None) -> web.Response:
    text = json.dumps(body, separators=(",", ":")).encode()
    response = web.Response(body=text, status=status, headers={"Content-Type": "application/json"})
    for warning in warnings or ():
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


async def _unanswered(request: web.Request, fault: Fault) -> web.Response:
    """Answer with a failure, with silence or with a cut connection."""
    if fault.kind in {"hang", "applied_hang"}:
        await asyncio.Event().wait()
    if not fault.kind.isdigit() and fault.kind != "applied_error":
        return cut(request)
    status = int(fault.kind) if fault.kind.isdigit() else fault.status
    error = errors.ApiError(status, _REASONS.get(status, "Unknown"), "a fault was asked for")
    response = _answer(status, error.body)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response
