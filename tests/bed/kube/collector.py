"""What is left behind goes: the garbage collector, the namespace controller, the counters of quotas."""

from collections.abc import Iterator
from functools import partial

from tests.bed.kube.deletion import Deletion, delete
from tests.bed.kube.kinds import KINDS, Kind, place_of
from tests.bed.kube.quota import used
from tests.bed.kube.world import World, going, of
from tests.bed.web import JsonObject

_OWNERS = {"ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"}


class Collector:
    """Deletes what has lost its owner, and finishes deletions that wait for dependents."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        uids = {obj["metadata"]["uid"] for _, obj in world.store.everything()}
        for kind in KINDS:
            for obj in world.store.every(kind):
                references = obj["metadata"].get("ownerReferences", [])
                if references and not going(obj) and not any(one["uid"] in uids for one in references):
                    delete(world.objects, place_of(obj), Deletion())
                    yield
                finalizers = obj["metadata"].get("finalizers", ())
                if going(obj) and "foregroundDeletion" in finalizers:
                    yield from self._foreground(world, kind, obj)
                elif going(obj) and "orphan" in finalizers:
                    yield from self._orphan(world, kind, obj)

    def _foreground(self, world: World, kind: Kind, obj: JsonObject) -> Iterator[None]:
        dependents = _dependents(world, obj)
        for other, dependent in dependents:
            if not going(dependent):
                foreground = "Foreground" if other.kind in _OWNERS else ""
                delete(world.objects, place_of(dependent), Deletion(propagation=foreground))
                yield
        if not dependents:
            _release(world, kind, obj, "foregroundDeletion")
            yield

    def _orphan(self, world: World, kind: Kind, obj: JsonObject) -> Iterator[None]:
        uid = obj["metadata"]["uid"]
        for _, dependent in _dependents(world, obj):
            kept = [one for one in dependent["metadata"]["ownerReferences"] if one["uid"] != uid]
            world.bare_change(dependent, partial(_own_up, kept))
            yield
        _release(world, kind, obj, "orphan")
        yield


def _own_up(references: list[JsonObject], body: JsonObject) -> None:
    body["metadata"]["ownerReferences"] = references


def _dependents(world: World, obj: JsonObject) -> list[tuple[Kind, JsonObject]]:
    uid = obj["metadata"]["uid"]
    return [
        (kind, one)
        for kind in KINDS
        for one in world.store.every(kind)
        if any(reference["uid"] == uid for reference in one["metadata"].get("ownerReferences", ()))
    ]


def _release(world: World, kind: Kind, obj: JsonObject, finalizer: str) -> None:
    """Take a finalizer away; without any left the object is gone."""
    left = [one for one in obj["metadata"]["finalizers"] if one != finalizer]
    current = world.bare_change(obj, lambda it: it["metadata"].update(finalizers=left))
    if not left and not (kind.kind == "Pod" and current["metadata"].get("deletionGracePeriodSeconds")):
        world.store.remove(kind, current)


class Namespaces:
    """Empties namespaces that are terminating, and then lets them go."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for namespace in world.store.every("Namespace"):
            if not going(namespace):
                continue
            name, left = namespace["metadata"]["name"], False
            for kind in KINDS:
                for obj in world.store.every(kind, name) if kind.namespaced else ():
                    left = True
                    if not going(obj):
                        delete(world.objects, place_of(obj), Deletion())
                        yield
            if not left and not namespace["metadata"].get("finalizers"):
                world.store.remove(of("Namespace"), namespace)
                yield


class Quotas:
    """Keeps the count in the status of each ResourceQuota."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for limit in world.store.every("ResourceQuota"):
            hard = limit["spec"].get("hard", {})
            counted = used(world.store, limit["metadata"]["namespace"], hard)
            shown = {key: _plain(counted[key]) for key in hard}
            if limit["status"] != {"hard": hard, "used": shown}:
                world.set_status(limit, {"hard": hard, "used": shown})
                yield


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{round(number * 1000)}m"
