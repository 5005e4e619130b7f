"""Every store, opened on a database of the test's own."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from responder.stores.core.store import SqlStore
from responder.stores.registry import open_store
from tests.bed.servers import Alertmanager, missing, private_alertmanager
from tests.bed.ssh import Sshd, private_sshd
from tests.bed.stores import embedded
from tests.conformance import bed_cluster
from tests.conformance.action_bed import SECRET
from tests.conformance.bed_command import TOKEN
from tests.conformance.bed_pgbouncer import Pgbouncer, private_pgbouncer

KINDS = ("sqlite", "postgres")


@pytest.fixture(scope="session", autouse=True)
def nothing_left_in_a_cluster() -> Iterator[None]:
    """Take the namespace of the tests away from a cluster that is not ours."""
    yield
    if bed_cluster.GIVEN:
        bed_cluster.forget()


@pytest.fixture(autouse=True)
def only_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the clock where a test sets it: a look at its source would find a jump."""
    monkeypatch.setattr("responder.stores.core.clock.SYNC_EVERY", timedelta(hours=1))


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of each kind of store in turn."""
    if request.param == "sqlite":
        yield embedded(tmp_path / "responder.db")
    else:
        yield request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def pgbouncer() -> Iterator[Pgbouncer]:
    """Give a PgBouncer whose console the tests may use."""
    try:
        with private_pgbouncer() as server:
            yield server
    except FileNotFoundError:
        missing("PgBouncer")


@pytest.fixture(scope="session")
def silencing_alertmanager() -> Iterator[Alertmanager]:
    """Give an Alertmanager whose silences the tests may make and end; it notifies nobody."""
    try:
        with private_alertmanager() as server:
            yield server
    except FileNotFoundError:
        missing("Alertmanager")


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """Give an sshd on which the tests may run commands."""
    try:
        with private_sshd(f"{TOKEN}={SECRET}") as server:
            yield server
    except FileNotFoundError:
        missing("OpenSSH's server")


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[SqlStore]:
    """Give an open store."""
    one = cast("SqlStore", open_store(store_url))
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def replica(store: SqlStore, store_url: str) -> AsyncIterator[SqlStore]:
    """Give a second process's store over the same data; SQLite serves one process, so there it is the same."""
    if store_url.startswith("sqlite"):
        yield store
        return
    one = cast("SqlStore", open_store(store_url))
    await one.open()
    yield one
    await one.close()
