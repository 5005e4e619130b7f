"""``kubernetes.pods``: what state pods are in, and which they are."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.kubernetes import SYSTEM_NAMESPACE, Place
from responder.domain.reconcilers import at, text_at
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Cluster, Object, Tools
from responder.probes.kubernetes import POD, KubernetesProbe, condition, containers, number, pods_of

SHOWN = 5
MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a static pod: its kubelet keeps it, whatever the API does."""
State = Literal[
    "all",
    "ready",
    "not_ready",
    "pending",
    "unplaced",
    "failed",
    "crash_looping",
    "oom_killed",
    "movable",
    "restarts",
]


class KubernetesPods(KubernetesProbe):
    """Count the pods of a workload, a namespace or a node that are in a state, or their restarts.

    As the list of a step's `items` it gives these pods, each with its `name`, `namespace` and `node`.
    """

    name: ClassVar[str] = "kubernetes.pods"
    lists: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = (
        "daemonset",
        "deployment",
        "job",
        "namespace",
        "node",
        "pod",
        "replicaset",
        "statefulset",
    )
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("", "pods", ("get", "list")),
        Permission("apps", "daemonsets", ("get",)),
        Permission("apps", "deployments", ("get",)),
        Permission("apps", "replicasets", ("get",)),
        Permission("apps", "statefulsets", ("get",)),
        Permission("batch", "jobs", ("get",)),
    )
    example: ClassVar[str] = """\
name: nothing crashes
probe: kubernetes.pods
with: { of: deployment/shop/api, read: crash_looping }
equals: 0
"""

    read: State = Field(
        default="not_ready",
        description="which pods to count; `movable` are those that a drain would send away (none of kube-system), "
        "`unplaced` those that no node has taken (of a node: any in the cluster), `restarts` adds up those of all; "
        "where there is no pod at all, `not_ready` is no data",
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the number; the note names the pods and why their containers ended last."""
        place, cluster = self.place(labels, tools)
        pods = await self._pods(place, cluster)
        if self.read == "restarts":
            return Reading((sum(restarts(pod) for pod in pods),), _told([pod for pod in pods if restarts(pod)]))
        if self.read == "not_ready" and not pods:
            # Pods that cannot even be made would pass for ready ones. That none is ready is true, and stays a number.
            return Reading((), f"there are no pods of {self.of}")
        chosen = [pod for pod in pods if _is(pod, self.read)]
        return Reading((len(chosen),), _told(chosen))

    async def _pods(self, place: Place, cluster: Cluster) -> Sequence[Object]:
        if self.read == "unplaced" and place.kind.word == "node":
            return await cluster.list(POD.path(), fields="spec.nodeName=")
        return await pods_of(place, cluster)

    async def items(self, labels: Mapping[str, str], tools: Tools) -> Sequence[JsonValue]:
        """Return the pods in that state."""
        place, cluster = self.place(labels, tools)
        chosen = [pod for pod in await self._pods(place, cluster) if self.read == "restarts" or _is(pod, self.read)]
        return [
            {
                "name": text_at(pod, "metadata", "name"),
                "namespace": text_at(pod, "metadata", "namespace"),
                "node": text_at(pod, "spec", "nodeName"),
            }
            for pod in chosen
        ]


def _is(pod: Object, state: str) -> bool:
    phase = text_at(pod, "status", "phase")
    match state:
        case "ready" | "not_ready":
            return _ready(pod) if state == "ready" else not _ready(pod) and phase != "Succeeded"
        case "pending" | "failed":
            return phase == state.capitalize()
        case "movable" | "unplaced":
            unplaced = phase == "Pending" and not text_at(pod, "spec", "nodeName")
            return unplaced if state == "unplaced" else phase not in ("Succeeded", "Failed") and not _stays(pod)
        case "crash_looping":
            return any(text_at(one, "state", "waiting", "reason") == "CrashLoopBackOff" for one in containers(pod))
        case "oom_killed":
            return any("OOMKilled" in _endings(one) for one in containers(pod))
        case _:
            return True


def _ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True" and at(pod, "metadata", "deletionTimestamp") is None


def _stays(pod: Object) -> bool:
    """Whether a pod would be there again at once, on the same node, or goes already."""
    owners = at(pod, "metadata", "ownerReferences")
    kinds = [text_at(one, "kind") for one in owners] if isinstance(owners, list) else []
    static = bool(text_at(pod, "metadata", "annotations", MIRROR))
    own = text_at(pod, "metadata", "namespace") == SYSTEM_NAMESPACE
    return own or static or "DaemonSet" in kinds or at(pod, "metadata", "deletionTimestamp") is not None


def restarts(pod: Object) -> int:
    """Return how often the containers of a pod were restarted."""
    return sum(number(one.get("restartCount")) for one in containers(pod))


def _endings(container: Object) -> list[str]:
    """Return why a container ended, now and the last time."""
    found = (text_at(container, state, "terminated", "reason") for state in ("state", "lastState"))
    return [reason for reason in found if reason]


def _told(pods: Sequence[Object]) -> str:
    lines = []
    for pod in pods[:SHOWN]:
        waiting = [text_at(one, "state", "waiting", "reason") for one in containers(pod)]
        ended = [f"ended {reason}" for one in containers(pod) for reason in _endings(one)]
        more = [f"{restarts(pod)} restarts"] if restarts(pod) else []
        why = ", ".join(dict.fromkeys(filter(None, [text_at(pod, "status", "phase"), *waiting, *ended, *more])))
        lines.append(f"{text_at(pod, 'metadata', 'name')}: {why}")
    return "; ".join([*lines, *([f"{len(pods) - SHOWN} more"] if len(pods) > SHOWN else [])])
