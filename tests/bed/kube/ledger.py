"""The book in which the API server writes down every request that wanted a change: what tests judge effects by."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bed.book import Book, read_book
from tests.bed.web import JsonObject


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that wanted to change something.

    `began` and `ended` are seconds since 1970, by the cluster's clock. `verb` is Kubernetes' word (create, update,
    patch, delete, deletecollection), `resource` is ``deployments.apps`` or ``deployments.apps/scale``. `status` is
    None when no answer was given. `before` and `after` are the object around the effect; `after` is None when there
    was none (refused, dry run). `version` is the resourceVersion after it. `how` names the fault, if there was one.
    """

    seq: int
    began: float
    ended: float
    user: str
    user_agent: str
    manager: str
    verb: str
    path: str
    resource: str
    namespace: str
    name: str
    dry_run: bool
    content_type: str
    body: Any
    status: int | None
    version: str
    changed: bool
    before: JsonObject | None = None
    after: JsonObject | None = None
    how: str = ""

    @property
    def applied(self) -> bool:
        """Whether it took effect, though perhaps without a difference."""
        return self.after is not None


class Ledger(Book[Entry]):
    """The entries of one cluster, in memory and perhaps in a file."""

    def effects(self, resource: str = "", name: str = "") -> list[Entry]:
        """Return the entries that made a difference; see `effects`."""
        return effects(self.entries, resource, name)


def read(path: Path) -> list[Entry]:
    """Return what a ledger's file holds so far; empty when nothing was written."""
    return read_book(path, Entry)


def effects(entries: list[Entry], resource: str = "", name: str = "") -> list[Entry]:
    """Return the entries that made a difference: applied, not a dry run, changed.

    `resource` ``deployments.apps`` means its subresources too, ``deployments.apps/scale`` means that one alone.
    """
    return [
        entry
        for entry in entries
        if entry.applied
        and entry.changed
        and (not resource or entry.resource == resource or entry.resource.startswith(f"{resource}/"))
        and name in {"", entry.name}
    ]
