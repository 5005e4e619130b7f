"""A target without a network, for simulations: resources, keys, tags, faults, and its ledger."""

import copy
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.ports.containers import Engine
from responder.ports.hosts import Host
from responder.ports.pooler import Pooler
from responder.ports.silencing import Silencing
from responder.ports.tools import Cluster, Gate, HttpReply, HttpService, Postgres, Prometheus, Redis


class Dead(BaseException):
    """The process ended here; nothing of ours catches it."""


@dataclass(frozen=True, slots=True)
class Landed:
    """An effect that took place."""

    key: str
    item: str
    after: JsonValue


@dataclass(slots=True)
class Service:
    """Named resources behind ``/admin/``. ``faults`` are used up one by one by requests that change something."""

    resources: dict[str, JsonValue] = field(default_factory=dict)
    ledger: list[Landed] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    _versions: dict[str, int] = field(default_factory=dict)
    _answers: dict[str, HttpReply] = field(default_factory=dict)
    _seen: int = 0

    def edit(self, item: str, workers: int) -> None:
        """Change a resource by hand."""
        self.hold(item, {"workers": workers})

    def hold(self, item: str, json: JsonValue) -> None:
        """Have a resource, whatever it was before."""
        self._put(item, json)

    def unseen(self) -> list[Landed]:
        """Return what has landed since this was asked last."""
        new, self._seen = self.ledger[self._seen :], len(self.ledger)
        return new

    @property
    def idempotent(self) -> bool:
        """It knows its keys again."""
        return True

    async def call(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        gate: Gate | None = None,
    ) -> HttpReply:
        """See ``ports.tools.HttpService.call``."""
        if gate is not None and method != "GET":
            await gate()
        item = path.rpartition("/")[2]
        if method == "GET":
            return self._reply(item)
        if not path.startswith("/admin/"):
            raise Permanent("404")
        fault = self.faults.popleft() if self.faults else ""
        if fault == "refused":
            raise Temporary("503 before anything was sent")
        if fault == "gone":
            raise Uncertain("no answer, and nothing happened")
        if fault == "dies before":
            raise Dead
        reply = self._change(item, json, headers or {})
        if fault == "lost":
            raise Uncertain("no answer, and it happened")
        if fault == "dies after":
            raise Dead
        return reply

    def _change(self, item: str, json: JsonValue, headers: Mapping[str, str]) -> HttpReply:
        key = headers.get("Idempotency-Key", "")
        if key in self._answers:
            return self._answers[key]
        if headers.get("If-Match", self._etag(item)) != self._etag(item):
            raise Temporary("412")
        self._put(item, json)
        self.ledger.append(Landed(key, item, json))
        self._answers[key] = self._reply(item)
        return self._answers[key]

    def _put(self, item: str, json: JsonValue) -> None:
        self._versions[item] = self._versions.get(item, 0) + 1
        self.resources[item] = copy.deepcopy(json)

    def _reply(self, item: str) -> HttpReply:
        return HttpReply(200, copy.deepcopy(self.resources[item]), self._etag(item))

    def _etag(self, item: str) -> str:
        return f'"{self._versions[item]}"'


@dataclass(frozen=True, slots=True)
class Tools:
    """The tool box with that one service in it."""

    service: Service

    def http(self, name: str) -> HttpService:
        """Return the service."""
        return self.service

    def cluster(self, name: str) -> Cluster:
        """Have none."""
        raise Permanent("there is no cluster here")

    def cluster_of(self, labels: Mapping[str, str]) -> str:
        """Have none."""
        raise Permanent("there is no cluster here")

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        """Have none."""
        raise Permanent("there is no Prometheus here")

    def postgres(self, name: str) -> Postgres:
        """Have none."""
        raise Permanent("there is no PostgreSQL here")

    def redis(self, name: str) -> Redis:
        """Have none."""
        raise Permanent("there is no Redis here")

    def docker(self, name: str) -> Engine:
        """Have none."""
        raise Permanent("there are no containers here")

    def pooler(self, name: str) -> Pooler:
        """Have none."""
        raise Permanent("there is no pooler here")

    def host(self, name: str) -> Host:
        """Have none."""
        raise Permanent("there is no machine here")

    def alertmanager(self, name: str) -> Silencing:
        """Have none."""
        raise Permanent("there is no Alertmanager here")
