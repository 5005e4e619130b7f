"""The target's own account of what was asked of it and what that changed: the judge after a crash."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["applied", "unchanged", "replayed", "refused", "faulted"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One mutating request.

    `received` is when it came, `at` when it was decided (they differ when it landed late); `key` is its
    Idempotency-Key; `status` is None where no answer was sent; `fault` names what the test had asked for.
    """

    received: datetime
    at: datetime
    method: str
    name: str
    key: str | None
    headers: Mapping[str, str]
    body: Any
    before: Any
    after: Any
    changed: bool
    outcome: Outcome
    status: int | None
    fault: str = ""


@dataclass(slots=True)
class Ledger:
    """Entries in memory and, given a path, one JSON line each in a file that is only appended to.

    `sync` writes through to the disk: needed only where the machine is lost, not where a process is killed.
    """

    path: Path | None = None
    sync: bool = False
    entries: list[Entry] = field(default_factory=list)

    def append(self, entry: Entry) -> None:
        """Keep an entry; it is in the file before this returns."""
        self.entries.append(entry)
        if self.path is None:
            return
        line = json.dumps(asdict(entry), default=datetime.isoformat) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())  # one write: lines of two processes do not mix
            if self.sync:
                os.fsync(file)
        finally:
            os.close(file)


def read_ledger(path: Path) -> list[Entry]:
    """Return the entries of a file in the order in which they were decided; none when there is no file yet."""
    if not path.exists():
        return []
    return [_entry(json.loads(line)) for line in path.read_text().splitlines()]


def effects(entries: Iterable[Entry], name: str | None = None) -> list[Entry]:
    """Return the entries that changed something, of one resource when `name` is given."""
    return [entry for entry in entries if entry.changed and name in {None, entry.name}]


def _entry(raw: dict[str, Any]) -> Entry:
    instants = {key: datetime.fromisoformat(raw[key]) for key in ("received", "at")}
    return Entry(**(raw | instants))
