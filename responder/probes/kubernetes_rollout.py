"""``kubernetes.rollout``: whether a workload runs as it is meant to."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.reconcilers import at, text_at
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Object, Tools
from responder.probes.kubernetes import KubernetesProbe, condition, number

_KINDS = ("deployment", "statefulset", "daemonset")


class KubernetesRollout(KubernetesProbe):
    """Read how far the rollout of a Deployment, StatefulSet or DaemonSet is.

    It is complete when its controller has seen the last change, every pod is of it and available, and no older ones
    are left. A paused rollout with pods of another revision is not complete.
    """

    name: ClassVar[str] = "kubernetes.rollout"
    kinds: ClassVar[tuple[str, ...]] = _KINDS
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("apps", "deployments", ("get",)),
        Permission("apps", "statefulsets", ("get",)),
        Permission("apps", "daemonsets", ("get",)),
    )
    example: ClassVar[str] = """\
name: rolled out
probe: kubernetes.rollout
with: { of: deployment/shop/api }
equals: true
within: 5m
"""

    read: Literal["complete", "wanted", "updated", "ready", "available", "unavailable"] = Field(
        default="complete", description="what to return: whether it is complete, or how many pods are so"
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return whether it is complete, or a number of pods; the note says what is missing."""
        place, cluster = self.place(labels, tools)
        obj = await cluster.find(place.path)
        if obj is None:
            return Reading((), f"there is no {place}")
        counts = counted(obj)
        if self.read != "complete":
            return Reading((counts[self.read],), _told(obj, counts))
        return Reading((_complete(obj, counts),), _told(obj, counts))


def counted(obj: Object) -> dict[str, int]:
    """Return how many pods there are of each sort."""
    status = at(obj, "status")
    if text_at(obj, "kind") == "DaemonSet":
        wanted = number(at(status, "desiredNumberScheduled"))
        updated, ready = number(at(status, "updatedNumberScheduled")), number(at(status, "numberReady"))
        available, there = number(at(status, "numberAvailable")), number(at(status, "currentNumberScheduled"))
    else:
        replicas = at(obj, "spec", "replicas")
        wanted = 1 if replicas is None else number(replicas)
        updated, ready = number(at(status, "updatedReplicas")), number(at(status, "readyReplicas"))
        available, there = number(at(status, "availableReplicas")), number(at(status, "replicas"))
    unavailable = max(0, wanted - available)
    return {
        "wanted": wanted,
        "updated": updated,
        "ready": ready,
        "available": available,
        "unavailable": unavailable,
        "there": there,
    }


def _complete(obj: Object, counts: Mapping[str, int]) -> bool:
    seen = number(at(obj, "status", "observedGeneration")) >= number(at(obj, "metadata", "generation"))
    return seen and all(counts[name] == counts["wanted"] for name in ("updated", "available", "there"))


def _told(obj: Object, counts: Mapping[str, int]) -> str:
    said = "{updated} of {wanted} pods are of the last revision, {available} available".format_map(counts)
    progressing = condition(obj, "Progressing")
    stuck = text_at(progressing, "reason") if progressing.get("status") == "False" else ""
    paused = "paused" if at(obj, "spec", "paused") is True else ""
    return ", ".join(filter(None, (said, stuck, paused)))
