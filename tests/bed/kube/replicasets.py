"""The ReplicaSet controller: as many pods as asked for."""

from collections.abc import Callable, Iterator

from tests.bed.kube.conditions import Finding, condition, set_condition
from tests.bed.kube.errors import ApiError
from tests.bed.kube.pods import active, available, drop, first_to_go, pod_of, ready
from tests.bed.kube.selectors import selects
from tests.bed.kube.store import draft
from tests.bed.kube.world import World, going, owned, owner
from tests.bed.web import JsonObject


def _merge_meta(values: JsonObject) -> Callable[[JsonObject], None]:
    """Return an edit that sets `values` in the metadata."""
    return lambda body: body["metadata"].update(values)


class ReplicaSets:
    """Creates and deletes pods one by one, and reports."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for found in world.store.every("ReplicaSet"):
            yield from self._members(world, found)
            if not going(found):
                yield from self._fill(world, found)
            if self._report(world, found):
                yield

    def _members(self, world: World, replica_set: JsonObject) -> Iterator[None]:
        """Let go of pods whose labels no longer fit, and take in orphans whose labels do."""
        selector, uid = replica_set["spec"]["selector"], replica_set["metadata"]["uid"]
        for pod in world.store.every("Pod", replica_set["metadata"]["namespace"]):
            fits, by = selects(selector, pod["metadata"].get("labels", {})), owner(pod)
            if by is not None and by["uid"] == uid and not fits:
                world.change(pod, lambda it: it["metadata"].pop("ownerReferences"))
                yield
            elif by is None and fits and not going(pod) and not going(replica_set):
                mine = pod_of(replica_set, replica_set["spec"]["template"])["metadata"]["ownerReferences"]
                world.change(pod, _merge_meta({"ownerReferences": mine}))
                yield

    def _fill(self, world: World, replica_set: JsonObject) -> Iterator[None]:
        pods, wanted = active(world, replica_set), replica_set["spec"]["replicas"]
        for _ in range(wanted - len(pods)):
            try:
                pod = pod_of(replica_set, replica_set["spec"]["template"])
                made = world.create("Pod", replica_set["metadata"]["namespace"], pod)
            except ApiError as error:
                yield from self._failed(world, replica_set, error)
                return
            said = f"Created pod: {made['metadata']['name']}"
            world.event(replica_set, "SuccessfulCreate", said, "replicaset-controller")
            yield
        for pod in first_to_go(pods)[: max(0, len(pods) - wanted)]:
            drop(world, pod)
            said = f"Deleted pod: {pod['metadata']['name']}"
            world.event(replica_set, "SuccessfulDelete", said, "replicaset-controller")
            yield

    def _failed(self, world: World, replica_set: JsonObject, error: ApiError) -> Iterator[None]:
        current = world.store.get("ReplicaSet", replica_set["metadata"]["namespace"], replica_set["metadata"]["name"])
        if current is None or condition(current["status"], "ReplicaFailure"):
            return
        status = draft(current["status"])
        set_condition(status, world.store.clock, Finding("ReplicaFailure", "True", "FailedCreate", error.message))
        world.set_status(current, status)
        said = f"Error creating: {error.message}"
        world.event(current, "FailedCreate", said, "replicaset-controller", warning=True)
        yield

    def _report(self, world: World, found: JsonObject) -> bool:
        meta = found["metadata"]
        current = world.store.get("ReplicaSet", meta["namespace"], meta["name"])
        if current is None:
            return False
        pods, spec = active(world, current), current["spec"]
        labels = spec["template"].get("metadata", {}).get("labels", {})
        labelled = [pod for pod in pods if labels.items() <= pod["metadata"].get("labels", {}).items()]
        minimum = spec.get("minReadySeconds", 0)
        counts = {
            "fullyLabeledReplicas": len(labelled),
            "readyReplicas": sum(ready(pod) for pod in pods),
            "availableReplicas": sum(available(world, pod, minimum) for pod in pods),
        }
        status: JsonObject = {"replicas": len(pods), **{key: one for key, one in counts.items() if one}}
        status["terminatingReplicas"] = sum(going(pod) for pod in owned(world, "Pod", current))
        status["observedGeneration"] = meta["generation"] if current is found else current["metadata"]["generation"]
        kept = [one for one in current["status"].get("conditions", ()) if len(pods) < spec["replicas"]]
        if kept:
            status["conditions"] = kept
        if status == current["status"]:
            return False
        world.set_status(current, status)
        return True
