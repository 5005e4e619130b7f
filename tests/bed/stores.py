"""Stores whose schema is there already: migrating one costs more than most tests do with it."""

import contextlib
import functools
import sqlite3
import tempfile
from pathlib import Path

from responder.stores.core.clock import MARK
from responder.stores.registry import open_store
from tests.bed.postgres import apart


def migrate(url: str) -> None:
    """Bring the schema of a store up to date, as starting a responder does."""

    async def run() -> None:
        store = open_store(url)
        await store.open()
        await store.close()

    apart(run)


def embedded(path: Path) -> str:
    """Make a file at ``path`` with the schema and nothing in it, and return the store's URL."""
    path.write_bytes(_embedded())
    return f"sqlite:///{path}"


@functools.cache
def _embedded() -> bytes:
    with tempfile.TemporaryDirectory(prefix="bed-template-") as folder:
        path = Path(folder) / "responder.db"
        migrate(f"sqlite:///{path}")
        with contextlib.closing(sqlite3.connect(path)) as file:
            # A store that nobody has looked at the clock of: a test's own clock may say anything.
            file.execute("DELETE FROM meta WHERE key = ?", (MARK,))
            file.commit()
        return path.read_bytes()
