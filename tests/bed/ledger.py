"""The book in which a target writes down every change that it was asked for: what tests judge effects by."""

from dataclasses import dataclass
from pathlib import Path

from tests.bed.book import Book, read_book
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


class Ledger(Book[Entry]):
    """The entries of one target, in memory and perhaps in a file."""


def read(path: Path) -> list[Entry]:
    """Return what a ledger's file holds so far; empty when nothing was written."""
    return read_book(path, Entry)


def effects(entries: list[Entry], name: str | None = None) -> list[Entry]:
    """Return the entries that took effect, of one resource when `name` is given."""
    return [entry for entry in entries if entry.applied and name in {None, entry.name}]


def twice(entries: list[Entry]) -> list[str]:
    """Return the idempotency keys whose effect landed more than once; a test wants none."""
    keys = [entry.key for entry in effects(entries) if entry.key]
    return sorted({key for key in keys if keys.count(key) > 1})
