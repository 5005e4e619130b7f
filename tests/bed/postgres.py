"""A private PostgreSQL cluster, or the one that RESPONDER_TEST_POSTGRES names, and a database per test."""

import asyncio
import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.bed.processes import (
    Account,
    Child,
    ServerError,
    account,
    free_port,
    memory,
    private_directory,
    program,
    start,
)

T = TypeVar("T")

VARIABLE = "RESPONDER_TEST_POSTGRES"
"""Environment variable: URL of a PostgreSQL whose user may create databases."""

_DEBIAN = "usr/lib/postgresql/*/bin"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")
_COPIES_SINCE = 15
_ALWAYS = ("max_connections=200", "shared_buffers=32MB", "autovacuum_naptime=10min", "log_min_messages=fatal")


@dataclass(slots=True)
class Postgres:
    """A running PostgreSQL. `url` is its maintenance database; `server` is None for one that we did not start."""

    url: str
    server: "Cluster | None" = None
    templates: dict[str, str] = field(default_factory=dict)

    def database(self, template: str = "template1") -> str:
        """Create a database from `template` and return its URL, ``postgresql://user@127.0.0.1:port/name``."""
        name = f"bed_{uuid.uuid4().hex[:12]}"
        how = "STRATEGY FILE_COPY" if self.server is not None and self.server.copies_files else ""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {how}')
        return self.url_of(name)

    def template(self, label: str, prepare: Callable[[str], None]) -> str:
        """Return the name of a database that `prepare` (given its URL) has filled; it runs once per label."""
        if label not in self.templates:
            url = self.database()
            prepare(url)
            self.templates[label] = urlsplit(url).path.lstrip("/")
        return self.templates[label]

    def drop(self, url: str) -> None:
        """Drop the database of `url`, with everybody in it."""
        name = urlsplit(url).path.lstrip("/")
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def url_of(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def execute(self, *statements: str, url: str = "") -> None:
        """Run statements, each in its own transaction, on the maintenance database unless `url` says otherwise."""

        async def run() -> None:
            connection = await asyncpg.connect(url or self.url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        apart(run)


@dataclass(slots=True)
class Cluster:
    """The server process behind a private cluster: tests stop, crash and freeze it."""

    binaries: Path
    directory: Path
    port: int
    run_as: Account
    options: tuple[str, ...]
    child: Child | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def create(self) -> None:
        """Make the data directory."""
        command: list[str | Path] = [
            self.binaries / "initdb",
            "-A",
            "trust",
            "-U",
            "responder",
            "-N",
            "--locale=C.UTF-8",
            "-D",
            self.data,
        ]
        self._run(command)

    def copy(self, port: int, source: str) -> None:
        """Make the data directory a standby's of the server on `port`, which it is to follow through `source`.

        `source` is a connection string; through a proxy, a test decides what still reaches the standby.
        """
        reach = ["-h", "127.0.0.1", "-p", str(port), "-U", "responder"]
        self._run([self.binaries / "pg_basebackup", *reach, "-D", self.data, "-X", "stream", "-c", "fast", "-R"])
        with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"primary_conninfo = '{source}'\nwal_retrieve_retry_interval = 100ms\n")

    def promote(self) -> None:
        """Make a standby the primary; returns when it writes."""
        self._run([self.binaries / "pg_ctl", "promote", "-w", "-D", self.data])

    def _run(self, command: list[str | Path]) -> None:
        drop = self.run_as if self.run_as.name is not None else None
        done = subprocess.run(
            command,
            cwd=self.directory,
            capture_output=True,
            check=False,
            text=True,
            user=drop.uid if drop else None,
            group=drop.gid if drop else None,
            extra_groups=[] if drop else None,
        )
        if done.returncode:
            raise ServerError(f"{command[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}")

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def running(self) -> Child:
        """The process; raises ServerError when it was stopped."""
        if self.child is None:
            raise ServerError("postgres is not running")
        return self.child

    @property
    def copies_files(self) -> bool:
        """Whether copying the template's files is offered, and the quickest: it is when nothing is forced to disk."""
        return self.options == _FAST and int((self.data / "PG_VERSION").read_text(encoding="ascii")) >= _COPIES_SINCE

    def start(self) -> None:
        """Start the server and return when it answers; also after `stop` or `crash`, on the same port."""
        settings = [part for option in (*self.options, *_ALWAYS) for part in ("-c", option)]
        listen = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        # SIGQUIT is "immediate shutdown": the backends end with the postmaster and no shared memory is left behind.
        self.child = start(
            "postgres",
            [self.binaries / "postgres", "-D", self.data, *listen, *settings],
            directory=self.directory,
            run_as=self.run_as,
            env={**os.environ, **self.environment},
            death_signal=signal.SIGQUIT,
        )
        self.child.wait_until(self._answers)

    def stop(self) -> None:
        """Stop in order, cutting open sessions."""
        if self.child is not None:
            self.child.stop(signal.SIGINT)
            self.child = None

    def crash(self) -> None:
        """Kill the server with all its sessions, as a lost machine would; a durable cluster keeps what it committed."""
        self.running.kill()
        self.child = None

    def _answers(self) -> bool:
        ready: list[str | Path] = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0


@contextlib.contextmanager
def private_cluster(
    *, durable: bool = False, environment: Mapping[str, str] | None = None, within: Path | None = None
) -> Iterator[Postgres]:
    """Run a cluster of our own; `durable` writes through to where it is. FileNotFoundError when none is installed.

    A durable one in memory (`within`) keeps what it committed when it is killed, and only then.
    """
    initdb = program("initdb", _DEBIAN)
    if initdb is None:
        raise FileNotFoundError("postgres")
    run_as = account("postgres", "nobody")
    with private_directory("postgres", run_as, within if durable else memory()) as directory:
        cluster = Cluster(
            initdb.resolve().parent, directory, free_port(), run_as, options=_DURABLE if durable else _FAST
        )
        cluster.create()
        cluster.environment.update(environment or {})
        cluster.start()
        try:
            yield Postgres(f"postgresql://responder@127.0.0.1:{cluster.port}/postgres", cluster)
        finally:
            cluster.stop()


@contextlib.contextmanager
def standby_of(primary: Postgres, source: str) -> Iterator[Postgres]:
    """Run a copy of `primary` that follows it asynchronously through `source`, a connection string."""
    server = primary.server
    if server is None:
        raise ServerError("only a server of our own can have a standby")
    with private_directory("standby", server.run_as, server.directory.parent) as directory:
        copy = Cluster(server.binaries, directory, free_port(), server.run_as, server.options)
        copy.copy(server.port, source)
        copy.start()
        try:
            yield Postgres(f"postgresql://responder@127.0.0.1:{copy.port}/postgres", copy)
        finally:
            copy.stop()


def apart(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in a thread of its own, so that it works with and without a running loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, make()).result()
