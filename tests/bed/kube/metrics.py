"""What pods, nodes and volumes use: ``metrics.k8s.io`` as the metrics server, and the summary as a kubelet has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.bed.kube import errors
from tests.bed.kube.kinds import Kind
from tests.bed.kube.quota import amount
from tests.bed.kube.selectors import labels_match
from tests.bed.kube.store import Store
from tests.bed.web import JsonObject


@dataclass(frozen=True, slots=True)
class Usage:
    """What one container uses."""

    cpu: str = "10m"
    memory: str = "32Mi"


@dataclass(frozen=True, slots=True)
class Filled:
    """What a volume holds, in bytes and inodes."""

    used: int
    capacity: int
    inodes_used: int = 1000
    inodes: int = 10_000


@dataclass(slots=True)
class Metrics:
    """Usage of containers: by (namespace, start of the pod's name), or the same for all; of volumes by their claims."""

    store: Store
    usage: dict[tuple[str, str], Usage] = field(default_factory=dict)
    volumes: dict[tuple[str, str], Filled] = field(default_factory=dict)

    def summary(self, node: str) -> JsonObject:
        """Return ``/stats/summary`` of a kubelet, as far as it is about volumes (kubelet's stats API, v1alpha1)."""
        here = [pod for pod in self.store.every("Pod") if _running(pod) and pod["spec"].get("nodeName") == node]
        return {"node": {"nodeName": node}, "pods": [self._mounts(pod) for pod in here]}

    def _mounts(self, pod: JsonObject) -> JsonObject:
        meta, found = pod["metadata"], []
        for one in pod["spec"].get("volumes", ()):
            claim = one.get("persistentVolumeClaim", {}).get("claimName", "")
            filled = self.volumes.get((meta["namespace"], claim))
            if filled is not None:
                figures = {
                    "time": self.store.clock.stamp(),
                    "availableBytes": filled.capacity - filled.used,
                    "capacityBytes": filled.capacity,
                    "usedBytes": filled.used,
                    "inodesFree": filled.inodes - filled.inodes_used,
                    "inodes": filled.inodes,
                    "inodesUsed": filled.inodes_used,
                }
                reference = {"name": claim, "namespace": meta["namespace"]}
                found.append({**figures, "name": one["name"], "pvcRef": reference})
        return {"podRef": {key: meta[key] for key in ("name", "namespace", "uid")}, "volume": found}

    def of(self, pod: JsonObject) -> Usage:
        """Return what each container of `pod` uses; the longest name that fits counts."""
        meta = pod["metadata"]
        fits = [key for key in self.usage if key[0] == meta["namespace"] and meta["name"].startswith(key[1])]
        return self.usage[max(fits, key=lambda key: len(key[1]))] if fits else Usage()

    def answer(self, kind: Kind, namespace: str, name: str, query: Mapping[str, str]) -> JsonObject:
        """Return metrics of one object or a list of them."""
        found = self._pods(namespace) if kind.plural == "pods" else self._nodes()
        if name:
            for one in found:
                if one["metadata"]["name"] == name:
                    return {"kind": kind.kind, "apiVersion": kind.api_version, **one}
            raise errors.not_found(kind, f"{namespace}/{name}" if namespace else name)
        selector = query.get("labelSelector", "")
        items = [one for one in found if labels_match(selector, one["metadata"].get("labels", {}))]
        return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": {}, "items": items}

    def _pods(self, namespace: str) -> list[JsonObject]:
        return [self._pod(pod) for pod in self.store.every("Pod", namespace) if _running(pod)]

    def _pod(self, pod: JsonObject) -> JsonObject:
        usage = self.of(pod)
        used = {"cpu": usage.cpu, "memory": usage.memory}
        containers = [{"name": one["name"], "usage": used} for one in pod["spec"]["containers"]]
        return {**self._about(pod), "containers": containers}

    def _nodes(self) -> list[JsonObject]:
        return [self._node(node) for node in self.store.every("Node")]

    def _node(self, node: JsonObject) -> JsonObject:
        here = [
            pod
            for pod in self.store.every("Pod")
            if _running(pod) and pod["spec"].get("nodeName") == node["metadata"]["name"]
        ]
        cpu = sum(amount(self.of(pod).cpu) * len(pod["spec"]["containers"]) for pod in here)
        memory = sum(amount(self.of(pod).memory) * len(pod["spec"]["containers"]) for pod in here)
        return {**self._about(node), "usage": {"cpu": f"{round(cpu * 1000)}m", "memory": f"{round(memory / 1024)}Ki"}}

    def _about(self, obj: JsonObject) -> JsonObject:
        meta = obj["metadata"]
        now = self.store.clock.stamp()
        kept = {key: meta[key] for key in ("name", "namespace", "labels") if key in meta}
        return {"metadata": {**kept, "creationTimestamp": now}, "timestamp": now, "window": "10s"}


def _running(pod: JsonObject) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return pod.get("status", {}).get("phase") == "Running" and any("running" in one["state"] for one in statuses)
