"""Argo CD's Application: what was asked of it last, what it has deployed, and how it is asked for more."""

from collections.abc import Iterator
from typing import Final, cast

from pydantic import JsonValue

from responder.domain.kubernetes import MANAGER
from responder.domain.reconcilers import Object, at, text_at

Json = dict[str, JsonValue]

AUTOMATED: Final = ("spec", "syncPolicy", "automated")
_UNDER_WAY: Final = frozenset({"Running", "Terminating"})


def under_way(app: Object) -> bool:
    """Whether a sync waits or runs; Argo CD takes one at a time, and forgets what is written over it."""
    return at(app, "operation") is not None or text_at(app, "status", "operationState", "phase") in _UNDER_WAY


def automated(app: Object) -> JsonValue:
    """Return how it syncs by itself, None when it does not."""
    found = at(app, *AUTOMATED)
    return found if isinstance(found, dict) and found.get("enabled") is not False else None


def asked_for(app: Object) -> str:
    """Return the revision of the sync that was asked for last, however it ended; empty when there was none."""
    if at(app, "operation") is not None:
        return text_at(app, "operation", "sync", "revision") or text_at(app, "spec", "source", "targetRevision")
    state = at(app, "status", "operationState")
    last = text_at(state, "syncResult", "revision") or text_at(state, "operation", "sync", "revision")
    return last or next((text_at(one, "revision") for one in history(app)), "")


def history(app: Object) -> list[Json]:
    """Return what it has deployed, the latest first."""
    return sorted(_entries(app), key=lambda one: -_number(one))


def deployed(app: Object, number: int) -> Json | None:
    """Return what it has deployed under a number of its history."""
    return next((one for one in _entries(app) if _number(one) == number), None)


def sync(app: Object, revision: str = "", *, prune: bool) -> Json:
    """Return the operation that syncs an application, to the revision that it follows unless one is named.

    A revision is synced with the source that it was deployed with: paths and parameters change, too.
    """
    wanted: Json = {"prune": prune, "syncStrategy": {"hook": {}}}
    if revision:
        then = next((one for one in history(app) if text_at(one, "revision") == revision), {})
        source = at(then, "source")
        wanted |= {"revision": revision, **({"source": source} if source else {})}
    return {"initiatedBy": {"username": MANAGER}, "sync": wanted}


def _entries(app: Object) -> Iterator[Json]:
    found = at(app, "status", "history")
    for one in found if isinstance(found, list) else ():
        if text_at(one, "revision"):
            yield cast("Json", one)


def _number(entry: Object) -> int:
    number = entry.get("id")
    return number if isinstance(number, int) else 0
