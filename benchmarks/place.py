"""Where measurements happen: a durable PostgreSQL of our own, a target and responders as processes of their own."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.bed.postgres import Postgres, private_cluster
from tests.bed.processes import Child, free_port, private_directory, start
from tests.process_bed import Responder, responder
from tests.process_bed import config as responder_config

ROOT = Path(__file__).parents[1]


@dataclass
class Place:
    """What benchmarks share; whatever was started ends with ``stack``."""

    stack: contextlib.ExitStack
    given: Postgres | None = None

    @cached_property
    def postgres(self) -> Postgres:
        """A PostgreSQL that writes through to the disk: the given one, or one of our own."""
        return self.given or self.stack.enter_context(private_cluster(durable=True))

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of an empty database."""
        url = self.postgres.database()
        try:
            yield url
        finally:
            self.postgres.drop(url)


@contextlib.contextmanager
def module(name: str, *arguments: str) -> Iterator[tuple[str, Child]]:
    """Run ``python -m name --port N`` and give its URL once it listens."""
    with private_directory(name.rpartition(".")[2]) as directory:
        port = free_port()
        argv: list[str | Path] = [sys.executable, "-m", name, "--port", str(port), *arguments]
        child = start(name, argv, directory=directory, env={"PYTHONPATH": str(ROOT)})
        try:
            child.wait_for_port(port)
            yield f"http://127.0.0.1:{port}", child
        finally:
            child.stop()


@contextlib.contextmanager
def serving(
    store: str, target: str, playbooks: Mapping[str, str], command: tuple[str, ...] = ("responder", "serve")
) -> Iterator[Responder]:
    """Run a responder that tells nobody, so that only what is measured costs anything.

    ``command`` is the module that is run in its place, with the same flags.
    """
    settings = responder_config(store, target)
    settings["routes"] = []
    with responder(playbooks, settings) as running:
        running.command = command
        running.start()
        yield running


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10⁶ bytes), as Linux counts it."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)
