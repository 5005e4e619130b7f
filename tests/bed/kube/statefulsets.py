"""The StatefulSet controller: pods by ordinal, one after the other."""

from collections.abc import Iterator

from tests.bed.kube.pods import available, drop, pod_of, ready
from tests.bed.kube.revisions import HASH, latest, template_of
from tests.bed.kube.world import World, going, owned
from tests.bed.web import JsonObject


class StatefulSets:
    """Creates from the lowest ordinal up, deletes and updates from the highest down."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for found in world.store.every("StatefulSet"):
            revision, made = latest(world, found)
            if made:
                yield
            if not going(found) and self._step(world, found, revision):
                yield
            if self._report(world, found, revision):
                yield

    def _step(self, world: World, stateful: JsonObject, revision: JsonObject) -> bool:
        """Do the next thing; returns whether there was one."""
        spec, name = stateful["spec"], stateful["metadata"]["name"]
        pods = _by_ordinal(world, stateful)
        in_turn = spec["podManagementPolicy"] == "OrderedReady"
        for ordinal in range(spec["replicas"]):
            pod = pods.get(ordinal)
            if pod is None:
                return self._create(world, stateful, revision, ordinal)
            if pod["status"].get("phase") in {"Failed", "Succeeded"} and not going(pod):
                drop(world, pod)
                return True
            if in_turn and (going(pod) or not available(world, pod, spec.get("minReadySeconds", 0))):
                return False  # also when the pod can never be ready with its old template: known issue 67250
        for ordinal in sorted((one for one in pods if one >= spec["replicas"]), reverse=True):
            if not going(pods[ordinal]):
                drop(world, pods[ordinal])
                said = f"delete Pod {name}-{ordinal} in StatefulSet {name} successful"
                world.event(stateful, "SuccessfulDelete", said, "statefulset-controller")
                return True
            if in_turn:
                return False
        return self._update(world, stateful, revision, pods)

    def _create(self, world: World, stateful: JsonObject, revision: JsonObject, ordinal: int) -> bool:
        meta, spec = stateful["metadata"], stateful["spec"]
        current, partition = stateful["status"].get("currentRevision"), _partition(spec)
        chosen = revision
        if ordinal < partition and current:
            chosen = world.store.get("ControllerRevision", meta["namespace"], current) or revision
        name = f"{meta['name']}-{ordinal}"
        pod = pod_of(stateful, template_of(chosen), name)
        own = {HASH: chosen["metadata"]["name"], "statefulset.kubernetes.io/pod-name": name}
        pod["metadata"].setdefault("labels", {}).update({**own, "apps.kubernetes.io/pod-index": str(ordinal)})
        pod["spec"] |= {"hostname": name, **({"subdomain": spec["serviceName"]} if spec.get("serviceName") else {})}
        for claim in spec.get("volumeClaimTemplates", ()):
            self._claim(world, stateful, claim, name, pod)
        return world.try_create("Pod", pod, stateful, "statefulset-controller") is not None

    def _claim(self, world: World, stateful: JsonObject, claim: JsonObject, pod_name: str, pod: JsonObject) -> None:
        """Give a pod its volume of a claim template; the claim outlives it."""
        volume, namespace = claim["metadata"]["name"], stateful["metadata"]["namespace"]
        name = f"{volume}-{pod_name}"
        if world.store.get("PersistentVolumeClaim", namespace, name) is None:
            world.create("PersistentVolumeClaim", namespace, {"metadata": {"name": name}, "spec": claim["spec"]})
        source = {"name": volume, "persistentVolumeClaim": {"claimName": name}}
        pod["spec"].setdefault("volumes", []).append(source)

    def _update(self, world: World, stateful: JsonObject, revision: JsonObject, pods: dict[int, JsonObject]) -> bool:
        """Replace the highest pod that is not of the latest template, when all above it are ready."""
        spec, wanted = stateful["spec"], revision["metadata"]["name"]
        if spec["updateStrategy"]["type"] != "RollingUpdate":
            return False
        for ordinal in sorted((one for one in pods if one >= _partition(spec)), reverse=True):
            pod = pods[ordinal]
            if going(pod):
                return False
            if pod["metadata"]["labels"].get(HASH) != wanted:
                drop(world, pod)
                return True
            if not ready(pod):
                return False
        return False

    def _report(self, world: World, found: JsonObject, revision: JsonObject) -> bool:
        meta, wanted = found["metadata"], revision["metadata"]["name"]
        before = found["status"]
        pods = [pod for pod in _by_ordinal(world, found).values() if not going(pod)]
        fresh = [pod for pod in pods if pod["metadata"]["labels"].get(HASH) == wanted]
        current = before.get("currentRevision", wanted)
        counts = {
            "readyReplicas": sum(ready(pod) for pod in pods),
            "currentReplicas": sum(pod["metadata"]["labels"].get(HASH) == current for pod in pods),
            "updatedReplicas": len(fresh),
        }
        if len(fresh) == len(pods) == found["spec"]["replicas"] == counts["readyReplicas"]:
            current, counts["currentReplicas"] = wanted, len(fresh)
        minimum = found["spec"].get("minReadySeconds", 0)
        status: JsonObject = {
            "observedGeneration": meta["generation"],
            "replicas": len(pods),
            **{key: one for key, one in counts.items() if one},
            "currentRevision": current,
            "updateRevision": wanted,
            "collisionCount": 0,
            "availableReplicas": sum(available(world, pod, minimum) for pod in pods),
        }
        if status == before:
            return False
        world.set_status(found, status)
        return True


def _by_ordinal(world: World, stateful: JsonObject) -> dict[int, JsonObject]:
    return {int(pod["metadata"]["name"].rsplit("-", 1)[1]): pod for pod in owned(world, "Pod", stateful)}


def _partition(spec: JsonObject) -> int:
    found: int = spec["updateStrategy"].get("rollingUpdate", {}).get("partition", 0)
    return found
