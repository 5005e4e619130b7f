"""A book of entries that outlives its process: what the peers that are changed write their ledgers into."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

E = TypeVar("E", bound="DataclassInstance")


@dataclass(slots=True)
class Book(Generic[E]):
    """An append-only list of entries, in memory and, with a `path`, in a file of JSON lines that outlives us."""

    path: Path | None = None
    fsync: bool = False
    entries: list[E] = field(default_factory=list)
    _file: int | None = None

    def append(self, entry: E) -> None:
        """Keep `entry`; with a path it has left this process when this returns, with `fsync` it is on the disk."""
        self.entries.append(entry)
        if self.path is None:
            return
        if self._file is None:
            self._file = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(self._file, json.dumps(asdict(entry)).encode() + b"\n")  # one write: lines never mix
        if self.fsync:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_book(path: Path, kind: type[E]) -> list[E]:
    """Return what a book's file holds so far; empty when nothing was written."""
    if not path.exists():
        return []
    return [kind(**json.loads(line)) for line in path.read_text().splitlines()]
