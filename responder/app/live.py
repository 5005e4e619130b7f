"""What the engine keeps hold of while a reload swaps what is behind it."""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from responder.clients.toolbox import Toolbox
from responder.clients.witnesses import Witnesses
from responder.domain.alerts import Alert
from responder.domain.episodes import Group
from responder.ports.containers import Engine
from responder.ports.hosts import Host
from responder.ports.pooler import Pooler
from responder.ports.silencing import Silencing
from responder.ports.store import Store
from responder.ports.tools import Cluster, HttpService, Postgres, Prometheus, Redis
from responder.ports.witness import Picture

EMPTY_TOOLS = Toolbox({}, {})


class StoreClock:
    """The store's clock, with the machine's monotonic one beside it (``ports.clock.Clock``)."""

    def __init__(self, store: Store) -> None:
        """Read from ``store``."""
        self._store = store

    def now(self) -> datetime:
        """Return the store's now."""
        return self._store.now()

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


class LiveTools:
    """The tools of the configuration in force: a reload swaps them under the engine (``ports.tools.Tools``)."""

    def __init__(self) -> None:
        """Know no connection yet."""
        self.current = EMPTY_TOOLS

    def http(self, name: str) -> HttpService:
        """Return the named service."""
        return self.current.http(name)

    def cluster(self, name: str) -> Cluster:
        """Return the named cluster."""
        return self.current.cluster(name)

    def cluster_of(self, labels: Mapping[str, str]) -> str:
        """Return the name of the cluster of an alert."""
        return self.current.cluster_of(labels)

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        """Return the Prometheus for these labels."""
        return self.current.prometheus(labels)

    def postgres(self, name: str) -> Postgres:
        """Return the named PostgreSQL."""
        return self.current.postgres(name)

    def redis(self, name: str) -> Redis:
        """Return the named Redis."""
        return self.current.redis(name)

    def docker(self, name: str) -> Engine:
        """Return the named container engine."""
        return self.current.docker(name)

    def pooler(self, name: str) -> Pooler:
        """Return the named console."""
        return self.current.pooler(name)

    def host(self, name: str) -> Host:
        """Return the named machine."""
        return self.current.host(name)

    def alertmanager(self, name: str) -> Silencing:
        """Return the Alertmanager of a source."""
        return self.current.alertmanager(name)


class LiveWitness:
    """The sources of the configuration in force: a reload swaps them (``ports.witness.Witness``)."""

    def __init__(self) -> None:
        """Know nobody to ask yet."""
        self.current = Witnesses({})

    @property
    def sources(self) -> Collection[str]:
        """The names of the sources that can be asked."""
        return self.current.sources

    async def picture(self, source: str, within: float | None = None) -> Picture:
        """Return what a source shows."""
        return await self.current.picture(source, within)

    async def group(self, group: Group) -> Sequence[Alert]:
        """Return one group's alerts."""
        return await self.current.group(group)

    async def silences_of(self, source: str, run_id: str) -> Collection[str]:
        """Return the silences that a run has made."""
        return await self.current.silences_of(source, run_id)

    async def uptime(self, source: str) -> timedelta:
        """Return how long a source has been up."""
        return await self.current.uptime(source)
