"""The tool box: the configured clients by name, made on first use."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from responder.clients.http import MAX_ANSWER_BYTES, HttpClient
from responder.clients.kubernetes import KubernetesClient
from responder.clients.oauth2 import OAuth2Spec
from responder.clients.prometheus import PrometheusClient
from responder.domain.errors import Permanent
from responder.language.commands import Command
from responder.language.matchers import Matcher
from responder.ports.tools import ReconcilerPolicy

if TYPE_CHECKING:  # their libraries are loaded by who has such a connection
    from responder.clients.docker import DockerClient
    from responder.clients.hosts import HostClient
    from responder.clients.pgbouncer import PgbouncerClient
    from responder.clients.postgres import PostgresClient
    from responder.clients.redis import RedisClient
    from responder.clients.silencing import SilencingClient
    from responder.clients.ssh import SshSpec
    from responder.clients.witnesses import AlertmanagerSpec


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """How to reach a service: see :class:`~responder.clients.http.HttpClient`. ``tls`` is called on first use."""

    url: str
    allow: tuple[str, ...]
    headers: Mapping[str, str]
    tls: Callable[[], ssl.SSLContext | None]
    timeout: timedelta
    proxy: str | None = None
    idempotent: bool = False
    oauth2: OAuth2Spec | None = None
    most: int = MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class PrometheusSpec:
    """How to reach a Prometheus, and which alerts it answers for (no matchers: all)."""

    url: str
    matchers: tuple[Matcher, ...]
    headers: Mapping[str, str]
    tls: Callable[[], ssl.SSLContext | None]
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class PostgresSpec:
    """How to reach a PostgreSQL as a target, and what may be set there (None: what the action allows)."""

    dsn: str
    parameters: frozenset[str] | None = None
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class RedisSpec:
    """How to reach a Redis as a target, and what may be set there (None: what the action allows)."""

    url: str
    password: str | None = None
    parameters: frozenset[str] | None = None
    timeout: timedelta = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class PoolerSpec:
    """How to reach a console of PgBouncer."""

    dsn: str
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class DockerSpec:
    """Where an engine's socket is, and which containers may be changed there."""

    path: Path
    containers: tuple[str, ...]
    timeout: timedelta = timedelta(seconds=8)


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A machine: where its journals are kept, which units may be restarted there, and how it is reached.

    Without ``ssh`` it is the one that this runs on.
    """

    folder: Path
    units: tuple[str, ...] = ()
    ssh: "SshSpec | None" = None


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """How to reach a cluster, and what to do about what something else keeps as it is there.

    Without ``kubeconfig`` it is the one that this process runs in. ``prometheus`` names the one that watches it.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    prometheus: str | None = None
    reconcilers: ReconcilerPolicy = "refuse"
    timeout: timedelta = timedelta(seconds=8)


class Toolbox:
    """What actions and probes reach the world with (``ports.tools.Tools``)."""

    def __init__(
        self,
        http: Mapping[str, HttpSpec],
        prometheus: Mapping[str, PrometheusSpec],
        *,
        postgres: Mapping[str, PostgresSpec] | None = None,
        redis: Mapping[str, RedisSpec] | None = None,
        clusters: Mapping[str, ClusterSpec] | None = None,
        alertmanagers: "Mapping[str, AlertmanagerSpec] | None" = None,
        poolers: Mapping[str, PoolerSpec] | None = None,
        docker: Mapping[str, DockerSpec] | None = None,
        hosts: Mapping[str, HostSpec] | None = None,
        commands: Mapping[str, Command] | None = None,
        cluster_label: str = "cluster",
    ) -> None:
        """Keep the descriptions; nothing is connected before it is used."""
        self._alertmanager_specs = alertmanagers or {}
        self._alertmanagers: dict[str, SilencingClient] = {}
        self._pooler_specs = poolers or {}
        self._docker_specs = docker or {}
        self._docker: dict[str, DockerClient] = {}
        self._host_specs = hosts or {}
        self._commands = commands or {}
        self._hosts: dict[str, HostClient] = {}
        self._postgres_specs = postgres or {}
        self._redis_specs = redis or {}
        self._postgres: dict[str, PostgresClient] = {}
        self._redis: dict[str, RedisClient] = {}
        self._cluster_specs = clusters or {}
        self._cluster_label = cluster_label
        self._clusters: dict[str, KubernetesClient] = {}
        self._http_specs = http
        self._prometheus_specs = prometheus
        self._http: dict[str, HttpClient] = {}
        self._prometheus: dict[str, PrometheusClient] = {}

    async def close(self) -> None:
        """Give every connection back."""
        for service in self._http.values():
            await service.close()
        for prometheus in self._prometheus.values():
            await prometheus.close()
        for postgres in self._postgres.values():
            await postgres.close()
        for redis in self._redis.values():
            await redis.close()
        for cluster in self._clusters.values():
            await cluster.close()
        for docker in self._docker.values():
            await docker.close()
        for alertmanager in self._alertmanagers.values():
            await alertmanager.close()

    def http(self, name: str) -> HttpClient:
        """Return the named service."""
        if name not in self._http:
            spec = self._http_specs.get(name)
            if spec is None:
                raise Permanent(_unknown("connections.http", name, list(self._http_specs)))
            self._http[name] = HttpClient(
                name,
                spec.url,
                spec.allow,
                headers=spec.headers,
                tls=spec.tls(),
                timeout=spec.timeout,
                proxy=spec.proxy,
                idempotent=spec.idempotent,
                oauth2=spec.oauth2,
                most=spec.most,
            )
        return self._http[name]

    def postgres(self, name: str) -> "PostgresClient":
        """Return the named PostgreSQL."""
        if name not in self._postgres:
            from responder.clients.postgres import PostgresClient

            spec = self._postgres_specs.get(name)
            if spec is None:
                raise Permanent(_unknown("connections.postgres", name, list(self._postgres_specs)))
            self._postgres[name] = PostgresClient(name, spec.dsn, timeout=spec.timeout, parameters=spec.parameters)
        return self._postgres[name]

    def redis(self, name: str) -> "RedisClient":
        """Return the named Redis."""
        if name not in self._redis:
            from responder.clients.redis import RedisClient

            spec = self._redis_specs.get(name)
            if spec is None:
                raise Permanent(_unknown("connections.redis", name, list(self._redis_specs)))
            self._redis[name] = RedisClient(
                name, spec.url, password=spec.password, timeout=spec.timeout, parameters=spec.parameters
            )
        return self._redis[name]

    def alertmanager(self, name: str) -> "SilencingClient":
        """Return the Alertmanager of the source ``name``."""
        if name not in self._alertmanagers:
            from responder.clients.silencing import SilencingClient

            spec = self._alertmanager_specs.get(name)
            if spec is None:
                raise Permanent(_unknown("sources with an api_url", name, list(self._alertmanager_specs)))
            client = SilencingClient(spec.url, headers=spec.headers, tls=spec.tls(), proxy=spec.proxy)
            self._alertmanagers[name] = client
        return self._alertmanagers[name]

    def pooler(self, name: str) -> "PgbouncerClient":
        """Return the named console; it keeps no connection."""
        from responder.clients.pgbouncer import PgbouncerClient

        spec = self._pooler_specs.get(name)
        if spec is None:
            raise Permanent(_unknown("connections.pgbouncer", name, list(self._pooler_specs)))
        return PgbouncerClient(name, spec.dsn, timeout=spec.timeout)

    def docker(self, name: str) -> "DockerClient":
        """Return the named container engine."""
        if name not in self._docker:
            from responder.clients.docker import DockerClient

            spec = self._docker_specs.get(name)
            if spec is None:
                raise Permanent(_unknown("connections.docker", name, list(self._docker_specs)))
            self._docker[name] = DockerClient(name, spec.path, spec.containers, timeout=spec.timeout)
        return self._docker[name]

    def host(self, name: str) -> "HostClient":
        """Return the named machine."""
        if name not in self._hosts:
            spec = self._host_specs.get(name)
            if spec is None:
                raise Permanent(_unknown("connections.host", name, list(self._host_specs)))
            self._hosts[name] = self._host(name, spec)
        return self._hosts[name]

    def _host(self, name: str, spec: HostSpec) -> "HostClient":
        from responder.clients.hosts import HostClient, LocalLine
        from responder.clients.ssh import SshLine

        line = LocalLine() if spec.ssh is None else SshLine(name, spec.ssh)
        return HostClient(name, str(spec.folder), self._commands, line, units=spec.units)

    def cluster(self, name: str) -> KubernetesClient:
        """Return the named cluster."""
        if name not in self._clusters:
            spec = self._cluster_specs.get(name)
            if spec is None:
                raise Permanent(_unknown("kubernetes.clusters", name, list(self._cluster_specs)))
            self._clusters[name] = KubernetesClient(
                name, spec.kubeconfig, spec.context, reconcilers=spec.reconcilers, timeout=spec.timeout
            )
        return self._clusters[name]

    def cluster_of(self, labels: Mapping[str, str]) -> str:
        """Return the name of the cluster that an alert with these labels is about."""
        named = labels.get(self._cluster_label, "")
        if not named and len(self._cluster_specs) == 1:
            return next(iter(self._cluster_specs))
        if named in self._cluster_specs:
            return named
        known = ", ".join(self._cluster_specs) or "none"
        said = f"the cluster {named!r} is not configured" if named else "the alert does not say which cluster"
        raise Permanent(f"{said} (configured: {known})")

    def prometheus(self, labels: Mapping[str, str]) -> PrometheusClient:
        """Return the one that watches the alert's cluster, else the one whose matchers fit.

        One without matchers serves when no other does.
        """
        cluster = self._cluster_specs.get(labels.get(self._cluster_label, ""))
        if cluster is not None and cluster.prometheus is not None:
            return self._prometheus_client(cluster.prometheus)
        fitting = [
            name
            for name, spec in self._prometheus_specs.items()
            if spec.matchers and all(matcher.matches(labels) for matcher in spec.matchers)
        ]
        if not fitting:
            fitting = [name for name, spec in self._prometheus_specs.items() if not spec.matchers]
        if len(fitting) != 1:
            known = ", ".join(self._prometheus_specs) or "none"
            msg = f"{len(fitting)} configured Prometheus fit this alert (configured: {known}); exactly one must"
            raise Permanent(msg)
        return self._prometheus_client(fitting[0])

    def _prometheus_client(self, name: str) -> PrometheusClient:
        if name not in self._prometheus:
            spec = self._prometheus_specs[name]
            self._prometheus[name] = PrometheusClient(
                spec.url,
                headers=spec.headers,
                tls=spec.tls(),
                proxy=spec.proxy,
            )
        return self._prometheus[name]


def _unknown(where: str, name: str, known: Sequence[str]) -> str:
    return f"{where} has no {name!r}; it has {', '.join(known) or 'nothing'}"
