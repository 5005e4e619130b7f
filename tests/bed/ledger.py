"""The book in which a target writes down every change that it was asked for: what tests judge effects by."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bed.web import JsonObject


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that wanted to change something.

    `began` and `ended` are seconds since 1970, by the target's clock: arrival and the instant of the effect or refusal.
    `status` is None when no answer was given. `how` names the fault or ``replay``; empty when all went well.
    """

    seq: int
    began: float
    ended: float
    method: str
    name: str
    key: str
    headers: dict[str, str]
    body: JsonObject
    before: JsonObject | None
    after: JsonObject | None
    changed: bool
    status: int | None
    how: str = ""

    @property
    def applied(self) -> bool:
        """Whether it took effect, though perhaps without a difference (a PUT of what was there already)."""
        return self.after is not None


@dataclass(slots=True)
class Ledger:
    """An append-only list of entries, in memory and, with a `path`, in a file of JSON lines that outlives us."""

    path: Path | None = None
    fsync: bool = False
    entries: list[Entry] = field(default_factory=list)
    _file: int | None = None

    def append(self, entry: Entry) -> None:
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


def read(path: Path) -> list[Entry]:
    """Return what a ledger's file holds so far; empty when nothing was written."""
    if not path.exists():
        return []
    return [Entry(**json.loads(line)) for line in path.read_text().splitlines()]


def effects(entries: list[Entry], name: str | None = None) -> list[Entry]:
    """Return the entries that took effect, of one resource when `name` is given."""
    return [entry for entry in entries if entry.applied and name in {None, entry.name}]


def twice(entries: list[Entry]) -> list[str]:
    """Return the idempotency keys whose effect landed more than once; a test wants none."""
    keys = [entry.key for entry in effects(entries) if entry.key]
    return sorted({key for key in keys if keys.count(key) > 1})
