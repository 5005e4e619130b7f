"""Requests that want a change, from their body to the answer."""

from dataclasses import dataclass

from tests.bed.kube import errors, patches
from tests.bed.kube.deletion import Deletion, delete
from tests.bed.kube.eviction import EVICTED, evict
from tests.bed.kube.kinds import Json, Kind, Place, place_of
from tests.bed.kube.objects import Objects, Options, Written
from tests.bed.kube.reads import Wanted, listing
from tests.bed.kube.requests import Asked
from tests.bed.kube.scaling import patch_scale, put_scale, scale_of
from tests.bed.kube.store import draft
from tests.bed.web import JsonObject


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a request, and what became of the object (None: nothing that is stored)."""

    status: int
    body: JsonObject
    written: Written | None = None

    @property
    def warnings(self) -> list[str]:
        """Return what the answer warns of."""
        return self.written.warnings if self.written is not None else []


@dataclass(frozen=True, slots=True)
class Change:
    """What a request wants; `how` is its content type, `body` any JSON."""

    kind: Kind
    asked: Asked
    how: str
    body: Json
    query: dict[str, str]
    options: Options

    @property
    def place(self) -> Place:
        """Return where the object is."""
        return Place(self.kind, self.asked.namespace if self.kind.namespaced else "", self.asked.name)

    def deletion(self, body: Json) -> Deletion:
        """Return how a delete is meant."""
        return Deletion.of({} if body is None else body, self.query, dry_run=self.options.dry_run)


def perform(objects: Objects, change: Change) -> Outcome:
    """Do what a request asks."""
    kind, asked, body = change.kind, change.asked, change.body
    if kind.namespaced and not asked.namespace:
        raise errors.not_allowed(kind) if asked.verb in kind.verbs else errors.no_route()
    if asked.verb not in kind.verbs:
        raise errors.not_allowed(kind)
    if asked.subresource and asked.subresource not in kind.subresources:
        raise errors.no_route()
    if asked.verb in {"delete", "deletecollection"}:
        return _delete(objects, change)
    if not isinstance(body, dict | list) or (isinstance(body, list) and change.how != patches.JSON):
        raise errors.bad_request("the body of the request is not an object")
    if asked.subresource == "eviction":
        if asked.verb != "create":
            raise errors.not_allowed(kind)
        how = change.deletion(change.body.get("deleteOptions"))
        return Outcome(201, EVICTED, evict(objects, asked.namespace, asked.name, how))
    if asked.subresource == "scale":
        return _scale(objects, change)
    return _write(objects, change)


def _write(objects: Objects, change: Change) -> Outcome:
    place, asked = change.place, change.asked
    if asked.verb == "create":
        if asked.name:
            raise errors.not_allowed(change.kind)
        written = objects.create(change.kind, place.namespace, change.body, change.options)
    elif asked.verb == "update":
        written = objects.replace(place, change.body, change.options)
    else:
        written = objects.patch(place, change.how, change.body, change.options)
    return Outcome(201 if written.before is None else 200, written.obj, written)


def _scale(objects: Objects, change: Change) -> Outcome:
    if change.asked.verb == "patch":
        written = patch_scale(objects, change.place, change.how, change.body, change.options)
    elif change.asked.verb == "update":
        written = put_scale(objects, change.place, change.body, change.options)
    else:
        raise errors.not_allowed(change.kind)
    return Outcome(200, scale_of(written.obj), written)


def _delete(objects: Objects, change: Change) -> Outcome:
    how, asked = change.deletion(change.body), change.asked
    if asked.subresource:
        raise errors.not_allowed(change.kind)
    if asked.verb == "delete":
        written, answer = delete(objects, change.place, how)
        return Outcome(200, answer, written)
    found = listing(objects.store, Wanted.of(change.kind, asked.namespace, "", change.query), change.query)
    answer = draft(found)
    for item in found["items"]:
        delete(objects, place_of({"apiVersion": change.kind.api_version, "kind": change.kind.kind, **item}), how)
    gone = Written({"metadata": {"resourceVersion": str(objects.store.version)}}, found)
    return Outcome(200, answer, gone if found["items"] else None)


def known_patch(how: str) -> bool:
    """Return whether `how` is a content type of patches."""
    return how in {patches.APPLY, patches.JSON, patches.MERGE, patches.STRATEGIC}
