"""What actions and probes reach the world with: thin clients, chosen by name from the configuration."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pydantic import JsonValue

from responder.ports.containers import Engine
from responder.ports.hosts import Host
from responder.ports.pooler import Pooler
from responder.ports.silencing import Silencing


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a service answered: 2xx only, everything else is an error of the tree."""

    status: int
    body: JsonValue
    etag: str


Gate = Callable[[], Awaitable[None]]
"""Awaited before a change leaves; what it raises is raised, and nothing was sent."""


class HttpService(Protocol):
    """A configured service: base URL, allow-list, credentials, deadline; no redirects, no other hosts."""

    @property
    def idempotent(self) -> bool:
        """Whether it is known to do nothing a second time under the same Idempotency-Key."""
        ...

    async def call(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        gate: Gate | None = None,
    ) -> HttpReply:
        """Send one request once and return the JSON answer.

        A request that changes something passes ``gate`` when its connection stands, before its first byte.

        Raises Permanent when the allow-list or the service refuses (4xx), Temporary when it certainly did not happen
        (connection refused, 409, 429), Uncertain when it may have (timeout, reset, 5xx after sending).
        """
        ...


Object = dict[str, JsonValue]
"""A Kubernetes object, as the API's JSON has it."""
PatchKind = Literal["merge", "strategic", "json"]


class Cluster(Protocol):
    """One configured Kubernetes cluster; paths are the API's own (``domain.kubernetes`` makes them).

    Everything raises Permanent with the API's sentence when it refuses (403, 404, 422 and the like), Temporary when
    a change certainly did not happen (refused connection, 409 Conflict, 429) or nothing could be read, and Uncertain
    when a change may have happened (timeout, reset, 5xx after sending). A change passes ``gate`` before its first byte;
    one with ``dry_run`` goes through everything at the server but is not kept there.
    """

    @property
    def reconcilers(self) -> "ReconcilerPolicy":
        """What to do about fields that somebody else keeps as they are."""
        ...

    async def get(self, path: str) -> Object:
        """Return one object."""
        ...

    async def find(self, path: str) -> Object | None:
        """Return one object, None when the API knows its kind and there is none."""
        ...

    async def list(self, path: str, labels: str = "", fields: str = "") -> tuple[Object, ...]:
        """Return all objects there, selected by the API's own selectors; more than it may be is Permanent."""
        ...

    async def text(self, path: str, query: Mapping[str, str]) -> str:
        """Return what is no JSON: logs."""
        ...

    async def patch(
        self,
        path: str,
        body: JsonValue,
        kind: PatchKind = "merge",
        gate: Gate | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """Change an object; ``metadata.resourceVersion`` in the body refuses what is stale. Returns it as it is now."""
        ...

    async def create(self, path: str, body: Object, gate: Gate | None = None, *, dry_run: bool = False) -> Object:
        """Create an object, or post to a subresource such as ``eviction``."""
        ...

    async def delete(self, path: str, options: Object, gate: Gate | None = None, *, dry_run: bool = False) -> Object:
        """Delete an object under ``options`` (``preconditions``, ``propagationPolicy``)."""
        ...


ReconcilerPolicy = Literal["refuse", "warn", "allow"]
"""What to do about a field that something else keeps as it is: not touch it, say so in the plan, or neither."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an instant query: its labels, its value (may be NaN) and when it was evaluated (not sampled)."""

    labels: Mapping[str, str]
    value: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Range:
    """One series over time: its labels and its figures, oldest first; they may be NaN."""

    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]


class Prometheus(Protocol):
    """One configured Prometheus."""

    async def query(self, expression: str) -> tuple[Series, ...]:
        """Evaluate an instant query; a scalar is one series without labels.

        Raises Temporary when it cannot be reached in time, Permanent when it refuses the expression.
        """
        ...

    async def rule_expressions(self, alertname: str) -> tuple[str, ...]:
        """Return the expressions of the alerting rules with this name."""
        ...

    async def over(self, expression: str, start: datetime, end: datetime, step: timedelta) -> tuple["Range", ...]:
        """Evaluate an expression over time, a figure every ``step``; raises as ``query`` does."""
        ...

    async def recorded(self, name: str) -> tuple[str, ...]:
        """Return the expressions of the recording rules that write the metric ``name``."""
        ...


Row = Mapping[str, JsonValue]
"""A row of a result, by column; statements return numbers, texts and truths only."""


class PostgresSession(Protocol):
    """A session that nobody else uses for the same effect, until its block ends."""

    async def read(self, statement: str, *values: object) -> Sequence[Row]:
        """Read; raises Temporary or Permanent."""
        ...

    async def change(self, statement: str, *values: object, certain: bool = True) -> Sequence[Row]:
        """Pass the gate and change something, once.

        Raises Permanent when the server refuses it, Temporary when it is busy, Uncertain when there is no answer. A
        refusal half-way through what is not ``certain`` to happen as a whole is Uncertain, too.
        """
        ...


class Postgres(Protocol):
    """A configured PostgreSQL as a target: few connections, short statements, no retries."""

    @property
    def parameters(self) -> frozenset[str] | None:
        """The parameters that may be set here; None leaves it to the action."""
        ...

    def behind(self, gate: Gate) -> "Postgres":
        """Return it with a gate that each change passes."""
        ...

    async def read(self, statement: str, *values: object) -> Sequence[Row]:
        """Read; raises Temporary or Permanent."""
        ...

    def fenced(self, key: str) -> AbstractAsyncContextManager[PostgresSession]:
        """Give a session that holds the advisory lock of ``key``; raises Temporary.

        Whoever held it is waited for and then ended, so that what it may have sent is done or never will be.
        """
        ...


Reply = object
"""What Redis answered to a command: a number, a text, a list, a mapping, None."""


class RedisSession(Protocol):
    """A connection that nobody else uses for the same effect, until its block ends."""

    async def read(self, *command: str | int) -> Reply:
        """Ask; raises Temporary or Permanent."""
        ...

    async def change(self, *commands: Sequence[str | int]) -> Sequence[Reply]:
        """Pass the gate and send commands as one, once, in order.

        Raises Permanent when the first one is refused, Uncertain when there is no answer or a later one is refused.
        """
        ...


class Redis(Protocol):
    """A configured Redis as a target: few connections, short answers, no retries."""

    @property
    def parameters(self) -> frozenset[str] | None:
        """The parameters that may be set here; None leaves it to the action."""
        ...

    def behind(self, gate: Gate) -> "Redis":
        """Return it with a gate that each change passes."""
        ...

    async def read(self, *command: str | int) -> Reply:
        """Ask; raises Temporary or Permanent."""
        ...

    def fenced(self, key: str) -> AbstractAsyncContextManager[RedisSession]:
        """Give a connection that bears the name ``key``; raises Temporary.

        Whoever bore it is disconnected first: what it may have sent is done or never will be.
        """
        ...


class Tools(Protocol):
    """The tool box handed to actions and probes."""

    def http(self, name: str) -> HttpService:
        """Return the named service; raises Permanent with the known names when there is none."""
        ...

    def cluster(self, name: str) -> Cluster:
        """Return the named cluster; raises Permanent with the known names when there is none."""
        ...

    def cluster_of(self, labels: Mapping[str, str]) -> str:
        """Return the name of the cluster that an alert with these labels is about.

        Raises Permanent when it does not say, and there is not just one.
        """
        ...

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        """Return the Prometheus that answers for an alert with these labels; raises Permanent when none does."""
        ...

    def postgres(self, name: str) -> Postgres:
        """Return the named PostgreSQL; raises Permanent with the known names when there is none."""
        ...

    def redis(self, name: str) -> Redis:
        """Return the named Redis; raises Permanent with the known names when there is none."""
        ...

    def alertmanager(self, name: str) -> Silencing:
        """Return the Alertmanager of the source ``name``; raises Permanent with those there are when it has none."""
        ...

    def docker(self, name: str) -> Engine:
        """Return the named container engine; raises Permanent with the known names when there is none."""
        ...

    def pooler(self, name: str) -> Pooler:
        """Return the named console of PgBouncer; raises Permanent with the known names when there is none."""
        ...

    def host(self, name: str) -> Host:
        """Return the named machine; raises Permanent with the known names when there is none."""
        ...
