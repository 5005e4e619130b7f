"""The last look before an effect leaves: between its permission and its first byte may lie a wait.

The permission is 0.7 s old at the most when a send begins. A connection may still have to be made or waited for, or an
undo has to read its target first. Then the brakes are looked at again: a pause holds within a second, however slow a
target is. And so is the lease: a process that was frozen meanwhile may wake up when another has done and undone the
same, and the target looks as it did before.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from responder.act.engine import SEND_WITHIN_SECONDS, Engine
from responder.domain.errors import Temporary
from responder.domain.limits import Refusal
from responder.domain.records import Direction, Record
from responder.domain.runs import Run
from responder.ports.containers import Engine as Containers
from responder.ports.hosts import Host
from responder.ports.pooler import Pooler
from responder.ports.silencing import Silencing
from responder.ports.tools import (
    Cluster,
    Gate,
    HttpReply,
    HttpService,
    Object,
    PatchKind,
    Postgres,
    Prometheus,
    ReconcilerPolicy,
    Redis,
    Tools,
)


class Held(Temporary):
    """A brake came between permission and send: nothing was sent."""

    def __init__(self, refusal: Refusal) -> None:
        """Say which."""
        super().__init__(refusal.reason)
        self.refusal = refusal


def gate_of(engine: Engine, run: Run, record: Record, direction: Direction, read_at: float) -> Gate:
    """Return what is awaited before the first byte.

    It raises Held when a brake has come since ``read_at``, and Conflict when another process has taken the run over.
    """
    last = read_at

    async def look_again() -> None:
        nonlocal last
        while engine.clock.monotonic() - last > SEND_WITHIN_SECONDS:
            last = engine.clock.monotonic()
            refusal = await engine.store.braked(run, record.action, direction)
            if refusal is not None:
                raise Held(refusal)

    return look_again


@dataclass(frozen=True, slots=True)
class Gated:
    """Tools of which each change passes the gate (``ports.tools.Tools``)."""

    tools: Tools
    gate: Gate

    def http(self, name: str) -> HttpService:
        """Return the named service, behind the gate."""
        return _Service(self.tools.http(name), self.gate)

    def cluster(self, name: str) -> Cluster:
        """Return the named cluster, behind the gate."""
        return _Cluster(self.tools.cluster(name), self.gate)

    def cluster_of(self, labels: Mapping[str, str]) -> str:
        """Return the name of the cluster of an alert."""
        return self.tools.cluster_of(labels)

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        """Return the Prometheus for these labels: it is only read."""
        return self.tools.prometheus(labels)

    def postgres(self, name: str) -> Postgres:
        """Return the named PostgreSQL, behind the gate."""
        return self.tools.postgres(name).behind(self.gate)

    def redis(self, name: str) -> Redis:
        """Return the named Redis, behind the gate."""
        return self.tools.redis(name).behind(self.gate)

    def alertmanager(self, name: str) -> Silencing:
        """Return the Alertmanager of a source, behind the gate."""
        return self.tools.alertmanager(name).behind(self.gate)

    def docker(self, name: str) -> Containers:
        """Return the named container engine, behind the gate."""
        return self.tools.docker(name).behind(self.gate)

    def pooler(self, name: str) -> Pooler:
        """Return the named console, behind the gate."""
        return self.tools.pooler(name).behind(self.gate)

    def host(self, name: str) -> Host:
        """Return the named machine, behind the gate."""
        return self.tools.host(name).behind(self.gate)


@dataclass(frozen=True, slots=True)
class _Service:
    service: HttpService
    gate: Callable[[], Awaitable[None]]

    @property
    def idempotent(self) -> bool:
        return self.service.idempotent

    async def call(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        gate: Gate | None = None,
    ) -> HttpReply:
        return await self.service.call(method, path, json, headers, gate or self.gate)


@dataclass(frozen=True, slots=True)
class _Cluster:
    cluster: Cluster
    gate: Gate

    @property
    def reconcilers(self) -> ReconcilerPolicy:
        return self.cluster.reconcilers

    async def get(self, path: str) -> Object:
        return await self.cluster.get(path)

    async def find(self, path: str) -> Object | None:
        return await self.cluster.find(path)

    async def list(self, path: str, labels: str = "", fields: str = "") -> tuple[Object, ...]:
        return await self.cluster.list(path, labels, fields)

    async def text(self, path: str, query: Mapping[str, str]) -> str:
        return await self.cluster.text(path, query)

    async def patch(
        self,
        path: str,
        body: JsonValue,
        kind: PatchKind = "merge",
        gate: Gate | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        return await self.cluster.patch(path, body, kind, gate or self.gate, dry_run=dry_run)

    async def create(self, path: str, body: Object, gate: Gate | None = None, *, dry_run: bool = False) -> Object:
        return await self.cluster.create(path, body, gate or self.gate, dry_run=dry_run)

    async def delete(self, path: str, options: Object, gate: Gate | None = None, *, dry_run: bool = False) -> Object:
        return await self.cluster.delete(path, options, gate or self.gate, dry_run=dry_run)
