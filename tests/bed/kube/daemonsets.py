"""The DaemonSet controller: one pod on each node that may have one."""

from collections.abc import Iterator

from tests.bed.kube.deployments import share
from tests.bed.kube.nodes import tolerates
from tests.bed.kube.pods import available, drop, pod_of, ready
from tests.bed.kube.revisions import HASH, latest
from tests.bed.kube.world import World, going, owned
from tests.bed.web import JsonObject

_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""What every pod of a DaemonSet tolerates without end: a cordon does not keep it away."""


class DaemonSets:
    """Places its pods itself."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for found in world.store.every("DaemonSet"):
            revision, made = latest(world, found)
            if made:
                yield
            if not going(found):
                yield from self._place(world, found, revision)
                yield from self._update(world, found, revision)
            if self._report(world, found, revision):
                yield

    def _place(self, world: World, daemons: JsonObject, revision: JsonObject) -> Iterator[None]:
        taken = {pod["spec"].get("nodeName"): pod for pod in owned(world, "Pod", daemons)}
        nodes = _nodes(world, daemons)
        for name in nodes:
            if name not in taken:
                pod = _pod(daemons, revision)
                pod["spec"]["nodeName"] = name
                if world.try_create("Pod", pod, daemons, "daemonset-controller"):
                    yield
        for name, pod in taken.items():
            if (name not in nodes or pod["status"].get("phase") == "Failed") and not going(pod):
                drop(world, pod)
                yield

    def _update(self, world: World, daemons: JsonObject, revision: JsonObject) -> Iterator[None]:
        strategy, digest = daemons["spec"]["updateStrategy"], revision["metadata"]["labels"][HASH]
        if strategy["type"] != "RollingUpdate":
            return
        pods = owned(world, "Pod", daemons)
        limit = max(1, share(strategy["rollingUpdate"]["maxUnavailable"], len(_nodes(world, daemons)), up=True))
        down = sum(going(pod) or not ready(pod) for pod in pods)
        old = [pod for pod in pods if pod["metadata"]["labels"].get(HASH) != digest and not going(pod)]
        for pod in sorted(old, key=ready):  # those that are down already go first, and cost nothing
            if ready(pod) and down >= limit:
                return
            down += ready(pod)
            drop(world, pod)
            yield

    def _report(self, world: World, found: JsonObject, revision: JsonObject) -> bool:
        nodes, digest = _nodes(world, found), revision["metadata"]["labels"][HASH]
        pods = [pod for pod in owned(world, "Pod", found) if not going(pod)]
        here = [pod for pod in pods if pod["spec"].get("nodeName") in nodes]
        minimum = found["spec"].get("minReadySeconds", 0)
        up = sum(available(world, pod, minimum) for pod in here)
        counts = {
            "updatedNumberScheduled": sum(pod["metadata"]["labels"].get(HASH) == digest for pod in here),
            "numberAvailable": up,
            "numberUnavailable": len(nodes) - up,
        }
        status: JsonObject = {
            "currentNumberScheduled": len(here),
            "numberMisscheduled": len(pods) - len(here),
            "desiredNumberScheduled": len(nodes),
            "numberReady": sum(ready(pod) for pod in here),
            "observedGeneration": found["metadata"]["generation"],
            **{key: one for key, one in counts.items() if one},
        }
        if status == found["status"]:
            return False
        world.set_status(found, status)
        return True


def _pod(daemons: JsonObject, revision: JsonObject) -> JsonObject:
    pod = pod_of(daemons, daemons["spec"]["template"])
    pod["metadata"].setdefault("labels", {})[HASH] = revision["metadata"]["labels"][HASH]
    endless = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in _TOLERATED]
    pod["spec"]["tolerations"] = [*pod["spec"].get("tolerations", ()), *endless]
    return pod


def _nodes(world: World, daemons: JsonObject) -> list[str]:
    """Return the names of the nodes that should have a pod."""
    pod = _pod(daemons, {"metadata": {"labels": {HASH: ""}}})
    wanted = pod["spec"].get("nodeSelector", {}).items()
    return [
        node["metadata"]["name"]
        for node in world.store.every("Node")
        if wanted <= node["metadata"].get("labels", {}).items()
        and all(tolerates(pod, taint) or _soft(taint) for taint in node["spec"].get("taints", ()))
    ]


def _soft(taint: JsonObject) -> bool:
    """Whether a taint does not send a daemon's pod away."""
    return bool(taint["effect"] == "PreferNoSchedule" or taint["key"] == "node.kubernetes.io/unreachable")
