"""What the cluster's own controllers share: the objects, the clock, the images, and how they write."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from tests.bed.kube.errors import ApiError
from tests.bed.kube.images import Behaviour
from tests.bed.kube.kinds import Kind, named, place_of
from tests.bed.kube.logs import Logs
from tests.bed.kube.metrics import Metrics
from tests.bed.kube.objects import Objects, Options
from tests.bed.kube.store import Store, draft
from tests.bed.web import JsonObject

MANAGER = "kube-controller-manager"


class Controller(Protocol):
    """Something that looks at the objects and mends one thing after another."""

    def work(self, world: "World") -> Iterator[None]:
        """Do what there is to do now; yields after each write."""
        ...


@dataclass(slots=True)
class World:
    """The cluster as its controllers see it. `dead` says since when a node's kubelet is silent."""

    store: Store
    objects: Objects
    logs: Logs
    metrics: Metrics
    images: dict[str, Behaviour] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    due: float | None = None

    @property
    def now(self) -> float:
        """Return the cluster's time."""
        return self.store.clock.now()

    def at(self, when: float) -> None:
        """Ask to be called again at `when`."""
        if when > self.now and (self.due is None or when < self.due):
            self.due = when

    def set_status(self, obj: JsonObject, status: JsonObject, manager: str = MANAGER) -> JsonObject:
        """Write the status of `obj`."""
        body = draft(obj)
        body["status"] = status
        return self._replace(body, Options(manager, subresource="status"))

    def change(self, obj: JsonObject, edit: Callable[[JsonObject], None], subresource: str = "") -> JsonObject:
        """Let `edit` change a copy of `obj` and write it."""
        body = draft(obj)
        edit(body)
        return self._replace(body, Options(MANAGER, subresource=subresource))

    def _replace(self, body: JsonObject, options: Options) -> JsonObject:
        return self.objects.replace(place_of(body), body, options).obj

    def bare_change(self, obj: JsonObject, edit: Callable[[JsonObject], None]) -> JsonObject:
        """Write without ownership of fields, as bindings and the marks of deletion are written."""
        body = draft(obj)
        edit(body)
        return self.store.put(named(body["kind"]), body)

    def create(self, kind: str, namespace: str, body: JsonObject) -> JsonObject:
        """Create an object as the controllers do."""
        return self.objects.create(named(kind), namespace, body, Options(MANAGER)).obj

    def try_create(self, kind: str, body: JsonObject, by: JsonObject, component: str) -> JsonObject | None:
        """Create an object beside `by`; when that is refused (a quota), say so in an event, once, and return None."""
        namespace, meta = by["metadata"]["namespace"], body["metadata"]
        name = meta.get("name", meta.get("generateName"))
        try:
            made = self.create(kind, namespace, body)
        except ApiError as error:
            why = error.message.partition(" is forbidden: ")[2] or error.message  # without the name, new each time
            said = f"create {kind} {name} in {by['kind']} {by['metadata']['name']} failed error: {why}"
            if not any(event["message"] == said for event in self.store.every("Event", namespace)):
                self.event(by, "FailedCreate", said, component, warning=True)
            return None
        said = f"create {kind} {made['metadata']['name']} in {by['kind']} {by['metadata']['name']} successful"
        self.event(by, "SuccessfulCreate", said, component)
        return made

    def event(self, about: JsonObject, reason: str, message: str, component: str, *, warning: bool = False) -> None:
        """Tell an event; the same again is counted."""
        meta, stamp = about["metadata"], self.store.clock.stamp()
        namespace = meta.get("namespace") or "default"
        for event in self.store.every("Event", namespace):
            about_it = event["involvedObject"].get("uid") == meta["uid"]
            if about_it and (event["reason"], event["message"]) == (reason, message):
                again = draft(event)
                again |= {"count": event["count"] + 1, "lastTimestamp": stamp}
                self.store.put(named("Event"), again)
                return
        involved = {"kind": about["kind"], "apiVersion": about["apiVersion"], "name": meta["name"], "uid": meta["uid"]}
        if "namespace" in meta:
            involved["namespace"] = meta["namespace"]
        body: JsonObject = {
            "metadata": {"name": f"{meta['name']}.{uuid.uuid4().hex[:16]}"},
            "involvedObject": {**involved, "resourceVersion": meta.get("resourceVersion", "")},
            "reason": reason,
            "message": message,
            "source": {"component": component},
            "type": "Warning" if warning else "Normal",
            "count": 1,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "reportingComponent": component,
        }
        try:
            self.objects.create(named("Event"), namespace, body, Options(component))
        except ApiError:
            return  # the namespace is on its way out, or full: events are a courtesy


def owner(obj: JsonObject) -> JsonObject | None:
    """Return the reference to the controller that owns `obj`."""
    for reference in obj["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            found: JsonObject = reference
            return found
    return None


def owned(world: World, kind: str, by: JsonObject) -> list[JsonObject]:
    """Return the objects of `kind` that `by` controls."""
    uid = by["metadata"]["uid"]
    candidates = world.store.every(kind, by["metadata"]["namespace"])
    return [obj for obj in candidates if (owner(obj) or {}).get("uid") == uid]


def owned_by(obj: JsonObject) -> list[JsonObject]:
    """Return the reference that makes `obj` the controller of something."""
    meta = obj["metadata"]
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": meta["name"], "uid": meta["uid"]}
    return [{**reference, "controller": True, "blockOwnerDeletion": True}]


def going(obj: JsonObject) -> bool:
    """Whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def of(kind: str) -> Kind:
    """Return a kind by name."""
    return named(kind)
