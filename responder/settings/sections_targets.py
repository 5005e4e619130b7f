"""Reading what is watched and changed: Prometheus, Kubernetes clusters, connections."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

from responder.language.matchers import Matcher
from responder.settings.model import (
    Cluster,
    Connections,
    HttpConnection,
    KubernetesSettings,
    PostgresConnection,
    PrometheusSettings,
    Reconcilers,
    RedisConnection,
    RedisSettings,
    SourceSettings,
    StoreSettings,
)
from responder.settings.reader import UNREAD, Fields, Node, split_url, with_file
from responder.settings.sections_commands import read_docker, read_host
from responder.settings.sections_http import HTTP_KEYS, http_of, read_http

IN_CLUSTER = "in-cluster"
"""Stands for the mapping of a cluster: the one that the responder runs in, as its pod's service account."""
_REDIS_SCHEMES = ("redis", "rediss", "unix")
_POSTGRES_SCHEMES = ("postgresql", "postgres")
CONSOLE = "postgresql://user:password@host:6432/pgbouncer"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "*")
_LARGEST_ANSWER = 16 * 1024 * 1024
_LONGEST_CALL = timedelta(seconds=15)
"""A turn of a run takes at most 20 s (engine.md), with everything in it."""


def read_store(node: Node) -> StoreSettings:
    """Read a bare URL, or ``{ url, password, password_file }``."""
    if isinstance(node.value, str):
        return StoreSettings(_store_url(node))
    fields = node.keys(("url", *with_file("password")))
    url = fields.required("url", _store_url, "", "sqlite:///responder.db or postgresql://user@host/name")
    return StoreSettings(url, fields.secret("password"))


def _store_url(node: Node) -> str:
    text = node.text()
    path = text.removeprefix("sqlite:///")
    if path != text and path:
        return f"sqlite:///{node.reading.folder / path}"
    parts = split_url(text)
    if parts is None or parts.scheme not in _POSTGRES_SCHEMES:
        hint = "write sqlite:///responder.db or postgresql://user@host/name"
        node.complain("this is not the URL of a store", "url", hint)
    elif parts.password:
        node.secret(parts.password)
        node.secret(text)
    return text


def read_redis(node: Node) -> RedisSettings:
    """Read a bare URL, or ``{ url, password, password_file }``."""
    if isinstance(node.value, str):
        return RedisSettings(_redis_url(node))
    fields = node.keys(("url", *with_file("password")))
    url = fields.required("url", _redis_url, "", "redis://host:6379/0")
    return RedisSettings(url, fields.secret("password"))


def _redis_url(node: Node) -> str:
    text = node.text()
    parts = split_url(text)
    if parts is None or parts.scheme not in _REDIS_SCHEMES:
        node.complain(f"this is not a URL of {' or '.join(_REDIS_SCHEMES)}", "url", "write it like redis://host:6379/0")
    elif parts.password:
        node.secret(parts.password)
    return text


def read_prometheus(node: Node) -> Mapping[str, PrometheusSettings]:
    """Read the Prometheus servers by name; of several, all but one need matchers."""
    found: dict[str, PrometheusSettings] = {}
    for name, one in node.named().items():
        if isinstance(one.value, str):
            found[name] = PrometheusSettings(read_http(one))
            continue
        fields = one.keys((*HTTP_KEYS, "matchers"))
        found[name] = PrometheusSettings(http_of(fields), fields.get("matchers").matchers())
    without = [name for name, one in found.items() if not one.matchers]
    if len(without) > 1:
        message = f"{' and '.join(without)} both answer for every alert"
        node.named()[without[1]].complain(message, "ambiguous", "give all but one of them matchers", at_key=True)
    return found


def read_kubernetes(node: Node, prometheus: Mapping[str, PrometheusSettings]) -> KubernetesSettings:
    """Read the clusters."""
    fields = node.keys(("cluster_label", "clusters", "reconcilers"))
    clusters = {name: _cluster(one, prometheus) for name, one in fields.get("clusters").named().items()}
    usual: Reconcilers = "refuse"
    reconcilers = fields.read("reconcilers", _reconcilers, usual)
    return KubernetesSettings(fields.read("cluster_label", Node.text, "cluster"), clusters, reconcilers)


def _reconcilers(node: Node) -> Reconcilers:
    words: tuple[Reconcilers, ...] = ("refuse", "warn", "allow")
    return cast("Reconcilers", node.choice(words))


def _cluster(node: Node, prometheus: Mapping[str, PrometheusSettings]) -> Cluster:
    if node.value == IN_CLUSTER:
        return Cluster()
    if node.is_word(IN_CLUSTER, "the cluster that the responder runs in, or { kubeconfig: …, context: … }"):
        return Cluster()
    fields = node.keys(("kubeconfig", "context", "prometheus"))
    return Cluster(
        kubeconfig=fields.read("kubeconfig", Node.file_path, None),
        context=fields.read("context", Node.text, None),
        prometheus=fields.read("prometheus", lambda one: one.choice(prometheus), None) if prometheus else None,
    )


class ReadConnections:
    """The connections of each kind, and all their matchers."""

    def __init__(self, node: Node) -> None:
        """Read them from ``connections``."""
        fields = node.keys(("http", "redis", "postgres", "pgbouncer", "host", "docker"))
        self.http = {name: _http(one) for name, one in fields.get("http").named().items()}
        self.redis = {name: _redis(one) for name, one in fields.get("redis").named().items()}
        self.postgres = {name: _postgres(one) for name, one in fields.get("postgres").named().items()}
        self.pgbouncer = {name: _pgbouncer(one) for name, one in fields.get("pgbouncer").named().items()}
        self.host = {name: read_host(one) for name, one in fields.get("host").named().items()}
        self.docker = {name: read_docker(one) for name, one in fields.get("docker").named().items()}
        kinds: dict[str, Mapping[str, tuple[Matcher, ...]]] = {
            "http": {name: one.matchers for name, one in self.http.items()},
            "redis": {name: one.matchers for name, one in self.redis.items()},
            "postgres": {name: one.matchers for name, one in self.postgres.items()},
            "pgbouncer": {name: one.matchers for name, one in self.pgbouncer.items()},
            "host": {name: one.matchers for name, one in self.host.items()},
            "docker": {name: one.matchers for name, one in self.docker.items()},
        }
        self.matchers = Connections(kinds)


def with_sources(connections: Connections, sources: Mapping[str, SourceSettings]) -> Connections:
    """Add the Alertmanagers that can be asked: targets ``alertmanager/SOURCE``."""
    asked = {
        name: () for name, source in sources.items() if source.kind == "alertmanager" and source.api_url is not None
    }
    return Connections({**connections.kinds, "alertmanager": asked})


def _http(node: Node) -> HttpConnection:
    fields = node.keys((*HTTP_KEYS, "allow", "matchers", "timeout", "idempotent", "max_answer"))
    allow = tuple(_allowed(one) for one in fields.get("allow").items())
    if not allow:
        hint = 'say what may be called: allow: [ "GET /*", "PUT /admin/*" ]'
        node.complain("nothing may be called here", "missing-key", hint, at_key=True)
    timeout = fields.read("timeout", lambda one: one.duration(_LONGEST_CALL), timedelta(seconds=8))
    idempotent = fields.read("idempotent", Node.flag, otherwise=False)
    most = fields.read("max_answer", lambda one: one.count(_LARGEST_ANSWER), 1024 * 1024)
    return HttpConnection(http_of(fields), allow, fields.get("matchers").matchers(), timeout, idempotent, most)


def _allowed(node: Node) -> str:
    text = node.text()
    method, _, path = text.partition(" ")
    if method.upper() not in _METHODS or not path.strip().startswith("/"):
        node.complain("this is not a method and a path", "value", 'write it like "PUT /admin/*"')
    return text


def _redis(node: Node) -> RedisConnection:
    if isinstance(node.value, str):
        return RedisConnection(_redis_url(node))
    fields = node.keys(("url", "matchers", "parameters", *with_file("password")))
    url = fields.required("url", _redis_url, "", "redis://host:6379/0")
    parameters = fields.read("parameters", _parameters, None)
    return RedisConnection(url, fields.secret("password"), fields.get("matchers").matchers(), parameters)


def _parameters(node: Node) -> frozenset[str]:
    return frozenset(one.text().lower() for one in node.items())


def _postgres(node: Node) -> PostgresConnection:
    fields = node.keys((*with_file("dsn"), "matchers", "parameters"))
    dsn = _dsn(node, fields, "postgresql://user:password@host/name")
    return PostgresConnection(dsn, fields.get("matchers").matchers(), fields.read("parameters", _parameters, None))


def _pgbouncer(node: Node) -> PostgresConnection:
    fields = node.keys((*with_file("dsn"), "matchers"))
    return PostgresConnection(_dsn(node, fields, CONSOLE), fields.get("matchers").matchers())


def _dsn(node: Node, fields: Fields, example: str) -> str:
    dsn = fields.required_secret("dsn", example)
    parts = split_url(dsn)
    if dsn and not dsn.startswith(UNREAD) and (parts is None or parts.scheme not in _POSTGRES_SCHEMES):
        node.complain("the dsn is not a URL of postgresql", "url", "write it like postgresql://user:password@host/name")
    elif parts is not None and parts.password:
        node.secret(parts.password)
    return dsn


def read_playbooks(node: Node) -> tuple[Path, ...]:
    """Read the folders and files of playbooks."""
    return tuple(one.file_path() for one in node.one_or_many())
