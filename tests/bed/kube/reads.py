"""Reading: lists in pages, and watches."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from tests.bed.kube import errors
from tests.bed.kube.kinds import Kind, flag
from tests.bed.kube.selectors import check_fields, fields_match, labels_match, page_token, read_token
from tests.bed.kube.store import Change, Store
from tests.bed.web import JsonObject

_LONG = 1800.0  # seconds of a watch without timeoutSeconds: the least that a server takes by default
_BOOKMARK = 60.0  # seconds between bookmarks


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which objects of a kind are meant."""

    kind: Kind
    namespace: str
    labels: str = ""
    fields: str = ""

    @classmethod
    def of(cls, kind: Kind, namespace: str, name: str, query: Mapping[str, str]) -> "Wanted":
        """Read a query; raise 400 for a selector that cannot be."""
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        if name:
            fields = f"metadata.name={name}"
        labels_match(labels, {})
        check_fields(kind, fields)
        return cls(kind, namespace if kind.namespaced else "", labels, fields)

    def has(self, obj: JsonObject) -> bool:
        """Return whether `obj` is one of them."""
        meta = obj["metadata"]
        here = not self.namespace or meta.get("namespace") == self.namespace
        return here and labels_match(self.labels, meta.get("labels", {})) and fields_match(self.kind, self.fields, obj)


def listing(store: Store, wanted: Wanted, query: Mapping[str, str]) -> JsonObject:
    """Return a list, or the page of it that `limit` and `continue` ask for."""
    limit, token = _number(query, "limit"), query.get("continue", "")
    version, after = read_token(token) if token else (store.version, "")
    if token and version < store.oldest:
        raise errors.expired("The provided continue parameter is too old to display a consistent list result.")
    found = [obj for obj in _at(store, wanted, version) if wanted.has(obj)]
    left = [obj for obj in found if _place(wanted, obj) > after]
    page = left[:limit] if limit else left
    meta: JsonObject = {"resourceVersion": str(version)}
    if len(page) < len(left):
        meta["continue"] = page_token(version, _place(wanted, page[-1]))
        if not wanted.labels and not wanted.fields:
            meta["remainingItemCount"] = len(left) - len(page)
    return {
        "kind": f"{wanted.kind.kind}List",
        "apiVersion": wanted.kind.api_version,
        "metadata": meta,
        "items": [obj if wanted.kind.custom else _bare(obj) for obj in page],
    }


def _number(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query.get(name) or 0)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{query[name]}": invalid syntax') from None


def _bare(obj: JsonObject) -> JsonObject:
    """Return an item as lists of built-in kinds show it: what it is stands once, above."""
    return {key: one for key, one in obj.items() if key not in {"kind", "apiVersion"}}


def _place(wanted: Wanted, obj: JsonObject) -> str:
    """Return where an object is below the collection, as etcd sorts it."""
    meta = obj["metadata"]
    inside = "" if wanted.namespace or not wanted.kind.namespaced else f"/{meta['namespace']}"
    return f"{inside}/{meta['name']}"


def _at(store: Store, wanted: Wanted, version: int) -> list[JsonObject]:
    """Return the objects as they were at `version`."""
    now = {_place(wanted, obj): obj for obj in store.every(wanted.kind, wanted.namespace)}
    for change in reversed(store.since(version)):
        if change.kind == wanted.kind and wanted.namespace in {"", change.now["metadata"].get("namespace")}:
            place = _place(wanted, change.now)
            if change.before is None:
                now.pop(place, None)
            else:
                now[place] = change.before
    return [now[place] for place in sorted(now)]


async def watching(request: web.Request, store: Store, wanted: Wanted, query: Mapping[str, str]) -> web.StreamResponse:
    """Stream changes until the client has enough or its time is up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    given = query.get("resourceVersion", "")
    bookmarks = flag(query, "allowWatchBookmarks")
    if given in {"", "0"}:
        last = store.version
        for obj in [obj for obj in store.every(wanted.kind, wanted.namespace) if wanted.has(obj)]:
            await _send(response, "ADDED", obj)
        if bookmarks:
            await _send(response, "BOOKMARK", _bookmark(wanted.kind, last, first=True))
    elif int(given) < store.oldest:
        too_old = errors.expired(f"too old resource version: {given} ({store.oldest})")
        await _send(response, "ERROR", too_old.body)
        return response
    else:
        last = int(given)
    await _follow(response, store, wanted, last, float(query.get("timeoutSeconds") or _LONG), bookmarks=bookmarks)
    return response


async def _follow(
    response: web.StreamResponse, store: Store, wanted: Wanted, last: int, seconds: float, *, bookmarks: bool
) -> None:
    end, marked = time.monotonic() + seconds, time.monotonic()
    while (left := end - time.monotonic()) > 0:
        fresh = store.since(last)
        for change in fresh:
            seen = _seen(wanted, change)
            if seen is not None:
                await _send(response, *seen)
            last = change.version
        if fresh:
            continue
        if bookmarks and time.monotonic() - marked >= _BOOKMARK:
            await _send(response, "BOOKMARK", _bookmark(wanted.kind, last, first=False))
            marked = time.monotonic()
        try:
            await asyncio.wait_for(store.changed(), min(left, _BOOKMARK))
        except TimeoutError:
            continue
    if bookmarks and time.monotonic() - marked >= _BOOKMARK:  # a long watch ends with one, too
        await _send(response, "BOOKMARK", _bookmark(wanted.kind, last, first=False))


def _seen(wanted: Wanted, change: Change) -> tuple[str, JsonObject] | None:
    """Return the event that a watcher of `wanted` gets; what leaves or enters its selection is gone or new to it."""
    if change.kind != wanted.kind:
        return None
    is_, was = wanted.has(change.now), change.before is not None and wanted.has(change.before)
    if change.what == "DELETED":
        return ("DELETED", change.now) if was else None
    if is_ and was:
        return "MODIFIED", change.now
    if is_:
        return "ADDED", change.now
    return ("DELETED", change.now) if was else None


async def _send(response: web.StreamResponse, what: str, obj: JsonObject) -> None:
    event = {"type": what, "object": obj}
    await response.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")


def _bookmark(kind: Kind, version: int, *, first: bool) -> JsonObject:
    meta: JsonObject = {"resourceVersion": str(version)}
    if first:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    mark: JsonObject = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta}
    if not kind.custom and "status" in kind.subresources:
        mark |= {"spec": {"containers": None} if kind.kind == "Pod" else {}, "status": {}}
    return mark
