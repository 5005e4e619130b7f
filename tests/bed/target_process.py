"""The target as a process of its own, which outlives whatever a test does to the responder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bed.ledger import Entry, read_ledger
from tests.bed.processes import Child, free_port, start

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class TargetProcess:
    """A running target and the file of its ledger."""

    url: str
    child: Child
    path: Path

    def entries(self) -> list[Entry]:
        """Return what the ledger holds now."""
        return read_ledger(self.path)


@contextmanager
def target_process(directory: Path, *flags: str, port: int = 0) -> Iterator[TargetProcess]:
    """Run a target with its ledger in `directory`; `flags` are those of ``python -m tests.bed.target_peer``."""
    port, path = port or free_port(), directory / "ledger.jsonl"
    argv = [sys.executable, "-m", "tests.bed.target_peer", "--port", str(port), "--ledger", str(path), *flags]
    child = start("target", argv, directory=directory, env={**os.environ, "PYTHONPATH": str(_ROOT)})
    try:
        child.wait_for_port(port)
        yield TargetProcess(f"http://127.0.0.1:{port}", child, path)
    finally:
        child.stop()
