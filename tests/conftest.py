"""Fixtures of every test: real servers, started once per worker, and a clean place in them per test."""

import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from tests.bed import pagerduty_peer, servers, slack_peer, stores, target_peer
from tests.bed.kube import Cluster
from tests.bed.kube.process import ClusterProcess
from tests.bed.kube.process import cluster_process as run_cluster
from tests.bed.postgres import VARIABLE, Postgres, private_cluster
from tests.bed.processes import free_port, memory
from tests.bed.quick import spelled_once, translated_once
from tests.bed.target_process import TargetProcess
from tests.bed.target_process import target_process as run_target

_TESTS = Path(__file__).parent
_WAITING = ("crash", "attack", "acceptance")
"""Folders of tests that take long, and wait more than they work: for leases, grace periods and other processes."""
_WAITING_TOO = ("test_limits_hold.py", "test_benchmarks.py", "test_safety.py")
_SERVED = ("act", "conformance", "line")
"""Folders whose tests need a database each."""
_BEGUN_BY = 0.75
"""Of the other tests: when so many are through, the last of the waiting ones must have been begun."""
_SERVERS = {"alertmanager", "durable_postgres", "postgres", "prometheus_server", "redis_server", "sshd"}


def pytest_configure(config: pytest.Config) -> None:
    """Keep what tests write in memory: none of them pulls the plug, and a disk that others use makes them late."""
    place = memory()
    if place is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real server, so that ``-m "not server"`` runs anywhere; spread what takes longest."""
    for item in items:
        if isinstance(item, pytest.Function) and _SERVERS.intersection(item.fixturenames):
            item.add_marker("server")
    waiting = sorted(filter(_waits, items), key=_turn)
    items[:] = _spread(waiting, sorted((item for item in items if not _waits(item)), key=_turn))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(_TESTS).parts[0]


def _waits(item: pytest.Item) -> bool:
    return _folder(item) in _WAITING or item.path.name in _WAITING_TOO


def _turn(item: pytest.Item) -> int:
    order, folder = (*_WAITING, *_SERVED), _folder(item)
    return order.index(folder) if folder in order else len(order)


def _spread(waiting: list[pytest.Item], others: list[pytest.Item]) -> list[pytest.Item]:
    """Put what waits between the modules of the others, evenly: so the machine always has something to work on.

    What takes a minute must not be begun when all others are through; the many short ones fill up the end.
    """
    spread, queue = list[pytest.Item](), deque(waiting)
    for place, item in enumerate(others):
        if place == 0 or item.path != others[place - 1].path:
            due = len(waiting) * (1 - place / (len(others) * _BEGUN_BY))
            while queue and len(queue) > due - 1:
                spread.append(queue.popleft())
        spread.append(item)
    return [*spread, *queue]


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """Put no statement together twice."""
    with spelled_once(), translated_once():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL without durability, for speed."""
    given = os.environ.get(VARIABLE)
    if given:
        yield Postgres(given)
        return
    try:
        with private_cluster() as server:
            yield server
    except FileNotFoundError:
        servers.missing("PostgreSQL")


@pytest.fixture(scope="session")
def durable_postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL of our own with fsync on: what it acknowledged survives `server.crash()`."""
    try:
        with private_cluster(durable=True, within=memory()) as server:
            yield server
    except FileNotFoundError:
        servers.missing("PostgreSQL")


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """Name the template of `postgres_url`: migrated once, copied for each test. ``template1`` is an empty one."""
    return postgres.template("store", stores.migrate)


@pytest.fixture
def postgres_url(postgres: Postgres, postgres_template: str) -> Iterator[str]:
    """Give the URL of a database of the test's own, with the schema in it."""
    url = postgres.database(postgres_template)
    yield url
    postgres.drop(url)


@pytest.fixture
def durable_postgres_url(durable_postgres: Postgres) -> Iterator[str]:
    """Give the URL of a migrated database of the test's own in the durable PostgreSQL."""
    url = durable_postgres.database(durable_postgres.template("store", stores.migrate))
    yield url
    if durable_postgres.server is not None and durable_postgres.server.child is None:
        durable_postgres.server.start()
    durable_postgres.drop(url)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Redis]:
    """Give a Redis; workers that share one given by the environment use a database each."""
    given = os.environ.get(servers.REDIS_VARIABLE)
    if given:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        yield servers.Redis(f"{given.rstrip('/')}/{worker}" if given.count("/") == 2 else given)
        return
    try:
        with servers.private_redis() as server:
            yield server
    except FileNotFoundError:
        servers.missing("Redis")


@pytest.fixture
def redis_url(redis_server: servers.Redis) -> str:
    """Give the URL of an empty Redis database."""
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.flushdb()
    return redis_server.url


@pytest.fixture(scope="session")
def alertmanager_port() -> int:
    """Keep one port for every test's Alertmanager, so that Prometheus need not discover it again."""
    return free_port()


@pytest.fixture
def alertmanager(alertmanager_port: int) -> Iterator[servers.Alertmanager]:
    """Give a fresh Alertmanager; `configure` it with ``alertmanager_config(webhook_url)``."""
    try:
        with servers.private_alertmanager(port=alertmanager_port) as server:
            yield server
    except FileNotFoundError:
        servers.missing("Alertmanager")


@pytest.fixture(scope="session")
def prometheus_server(alertmanager_port: int) -> Iterator[servers.Prometheus]:
    """Give a Prometheus that sends to the fixture `alertmanager`."""
    try:
        with servers.private_prometheus(f"http://127.0.0.1:{alertmanager_port}") as server:
            yield server
    except FileNotFoundError:
        servers.missing("Prometheus")


@pytest.fixture
def prometheus(prometheus_server: servers.Prometheus) -> Iterator[servers.Prometheus]:
    """Give a Prometheus without targets and rules; `configure` it. Name jobs after the test: samples stay."""
    own = prometheus_server.alertmanager
    yield prometheus_server
    prometheus_server.configure(alertmanager=own)


@pytest.fixture
async def slack() -> AsyncIterator[slack_peer.SlackPeer]:
    """Give a Slack workspace that enforces the documented limits, one post a second and channel included."""
    async with slack_peer.slack() as running:
        yield running


@pytest.fixture
async def pagerduty() -> AsyncIterator[pagerduty_peer.PagerDutyPeer]:
    """Give a PagerDuty that takes events and computes incidents."""
    async with pagerduty_peer.pagerduty() as running:
        yield running


@pytest.fixture
async def target() -> AsyncIterator[target_peer.Target]:
    """Give a service to change over HTTP, in the loop of the test."""
    async with target_peer.target() as running:
        yield running


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Give a Kubernetes cluster with three nodes, in the loop of the test."""
    async with Cluster() as running:
        yield running


@pytest.fixture
def cluster_process() -> Iterator[ClusterProcess]:
    """Give a Kubernetes cluster as a process of its own, for tests that kill processes."""
    with run_cluster() as running:
        yield running


@pytest.fixture
def target_process() -> Iterator[TargetProcess]:
    """Give the same service as a process of its own, for tests that kill processes."""
    with run_target() as running:
        yield running
