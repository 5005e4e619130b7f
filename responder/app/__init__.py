"""The composition root: the only module that meets the adapters; everything is made here and closed in reverse."""

import functools
import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from responder.domain.errors import SettingsError
from responder.ports.action import Action
from responder.ports.catalogue import Catalogue
from responder.ports.probe import Probe

if TYPE_CHECKING:  # `responder check` builds the catalogue and must not load the rest
    from responder.clients.oauth2 import OAuth2Spec
    from responder.clients.ssh import SshSpec
    from responder.clients.toolbox import Toolbox
    from responder.clients.witnesses import AlertmanagerSpec, Witnesses
    from responder.playbook.names import Names
    from responder.settings import HttpConfig, Settings, SshConnection


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The flags of ``responder serve``."""

    config_file: Path
    listen: tuple[str, ...] = ("127.0.0.1:9095",)
    web_config: Path | None = None
    external_url: str = ""
    log_level: str = "info"
    log_format: str = "json"
    role: str = "all"
    """See ``app.roles``."""

    def flags(self) -> Mapping[str, str]:
        """Return what the settings take from the command line."""
        given = {"web.listen-address": ",".join(self.listen), "web.external-url": self.external_url}
        return {name: value for name, value in given.items() if value}


@functools.cache  # no kind comes or goes while a program runs
def catalogue() -> Catalogue:
    """Find every action and probe: a file in its folder, or an entry point of a third party."""
    actions = importlib.import_module("responder.actions")
    probes = importlib.import_module("responder.probes")
    return Catalogue(
        actions={kind.name: kind for kind in _found(actions) if issubclass(kind, Action)},
        probes={kind.name: kind for kind in _found(probes) if issubclass(kind, Probe)},
    )


def _found(package: ModuleType) -> Iterator[type[Action] | type[Probe]]:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Action | Probe) and "name" in vars(value):
                yield value
    for point in entry_points(group=package.__name__):
        yield point.load()


def read_settings(config_file: Path, flags: Mapping[str, str] | None = None) -> "Settings":
    """Read the configuration; raises SettingsError with the place and how to mend it."""
    from responder.settings import load_settings

    return load_settings(config_file, flags or {})


def names_of(settings: "Settings") -> "Names":
    """Return what the configuration offers to playbooks, by name."""
    from responder.domain.approvals import ANONYMOUS
    from responder.playbook.lookups import NAMED
    from responder.playbook.names import Names

    pagerduty, slack, access = settings.notify.pagerduty, settings.notify.slack, settings.access
    here = access.slack.values() if slack is not None and slack.pressable else ()
    return Names(
        connections={kind: settings.connections.names(kind) for kind in settings.connections.kinds},
        allow={name: connection.allow for name, connection in settings.connections_http.items()},
        time_intervals=settings.time_intervals,
        clusters=frozenset(settings.kubernetes.clusters),
        commands=settings.commands,
        parameters={
            "redis": {name: one.parameters for name, one in settings.connections_redis.items()},
            "postgres": {name: one.parameters for name, one in settings.connections_postgres.items()},
        },
        slack=settings.notify.slack is not None,
        pagerduty=frozenset(pagerduty.services) if pagerduty else frozenset(),
        channels={kind: frozenset(getattr(settings.notify, kind)) for kind in NAMED},
        email=settings.notify.email is not None,
        prometheus=bool(settings.prometheus),
        people=_highest(
            [
                *([(ANONYMOUS, "admin")] if access.anonymous else []),
                *((user.name, user.role) for user in here),
                *access.users.items(),
                *((token.name, token.role) for token in access.tokens),
            ]
        ),
        groups={user.name: user.groups for user in here},
        protect=settings.protect,
    )


def _highest(roles: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return the highest role that each name has anywhere."""
    from responder.domain.approvals import ROLES

    return dict(sorted(roles, key=lambda one: ROLES.index(one[1])))


def toolbox(settings: "Settings") -> "Toolbox":
    """Return the tools for the configured connections; nothing is connected before it is used."""
    from responder.clients.toolbox import (
        ClusterSpec,
        DockerSpec,
        HostSpec,
        HttpSpec,
        PoolerSpec,
        PostgresSpec,
        PrometheusSpec,
        RedisSpec,
        Toolbox,
    )

    for name, prometheus in settings.prometheus.items():
        _supported(f"prometheus.{name}", prometheus.http)
    return Toolbox(
        http={
            name: HttpSpec(
                url=connection.http.url,
                allow=connection.allow,
                headers=connection.http.headers(),
                tls=connection.http.ssl_context,
                timeout=connection.timeout,
                proxy=connection.http.proxy_url,
                idempotent=connection.idempotent,
                oauth2=_oauth2(connection.http),
                most=connection.most,
            )
            for name, connection in settings.connections_http.items()
        },
        prometheus={
            name: PrometheusSpec(
                url=prometheus.http.url,
                matchers=prometheus.matchers,
                headers=prometheus.http.headers(),
                tls=prometheus.http.ssl_context,
                proxy=prometheus.http.proxy_url,
            )
            for name, prometheus in settings.prometheus.items()
        },
        postgres={name: PostgresSpec(one.dsn, one.parameters) for name, one in settings.connections_postgres.items()},
        redis={
            name: RedisSpec(one.url, one.password, one.parameters) for name, one in settings.connections_redis.items()
        },
        clusters={
            name: ClusterSpec(
                kubeconfig=cluster.kubeconfig,
                context=cluster.context,
                prometheus=cluster.prometheus,
                reconcilers=settings.kubernetes.reconcilers,
            )
            for name, cluster in settings.kubernetes.clusters.items()
        },
        cluster_label=settings.kubernetes.cluster_label,
        alertmanagers=_alertmanagers(settings),
        poolers={name: PoolerSpec(one.dsn) for name, one in settings.connections_pgbouncer.items()},
        docker={name: DockerSpec(one.path, one.containers) for name, one in settings.connections_docker.items()},
        hosts={name: HostSpec(one.folder, one.units, _ssh(one.ssh)) for name, one in settings.connections_host.items()},
        commands=settings.commands,
    )


def _ssh(one: "SshConnection | None") -> "SshSpec | None":
    from responder.clients.ssh import SshSpec

    if one is None:
        return None
    return SshSpec(one.address, one.user, one.key_file, one.known_hosts, one.port, one.python, one.timeout)


def _oauth2(http: "HttpConfig") -> "OAuth2Spec | None":
    from responder.clients.oauth2 import OAuth2Spec

    one = http.oauth2
    if one is None:
        return None
    return OAuth2Spec(one.token_url, one.client_id, one.client_secret, one.scopes, one.endpoint_params)


def witnesses(settings: "Settings") -> "Witnesses":
    """Return the sources that can be asked; nothing is connected before it is used."""
    from responder.clients.witnesses import Witnesses

    return Witnesses(_alertmanagers(settings))


def _alertmanagers(settings: "Settings") -> "Mapping[str, AlertmanagerSpec]":
    """Return how the sources are reached that have an API."""
    from responder.app.parts import asked_sources
    from responder.clients.witnesses import AlertmanagerSpec

    asked = asked_sources(settings)
    for name, api in asked.items():
        _supported(f"sources.{name}.api_url", api)
    return {
        name: AlertmanagerSpec(url=api.url, headers=api.headers(), tls=api.ssl_context, proxy=api.proxy_url)
        for name, api in asked.items()
    }


def _supported(where: str, http: "HttpConfig") -> None:
    if http.oauth2 is not None:
        message = f"{where}: oauth2 is for connections.http; use authorization or basic_auth here"
        raise SettingsError(message)


async def serve(options: ServeOptions) -> int:
    """Receive alerts and act on them until SIGTERM; returns the exit code."""
    from responder.app.working import run

    return await run(options)
