"""``kubernetes.top``: how much of processors and memory pods or nodes use."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.errors import Permanent
from responder.domain.kubernetes import KINDS, Place
from responder.domain.quantities import amount
from responder.domain.reconcilers import at, text_at
from responder.domain.selectors import selector
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Cluster, Object, Tools
from responder.probes.kubernetes import KubernetesProbe

METRICS = "/apis/metrics.k8s.io/v1beta1"
SHOWN = 5
_WORKLOADS = ("daemonset", "deployment", "replicaset", "statefulset")


class KubernetesTop(KubernetesProbe):
    """Read what a pod, the pods of a workload or a namespace, or a node use now, as the metrics server has it.

    Processors are counted in cores, memory in bytes.
    """

    name: ClassVar[str] = "kubernetes.top"
    kinds: ClassVar[tuple[str, ...]] = ("namespace", "node", "pod", *_WORKLOADS)
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("metrics.k8s.io", "pods", ("get", "list")),
        Permission("metrics.k8s.io", "nodes", ("list",)),
        *(Permission("apps", KINDS[word].plural, ("get",)) for word in _WORKLOADS),
    )
    example: ClassVar[str] = """\
name: the node has processors left
probe: kubernetes.top
with: { of: "node/{{ labels.node }}", read: cpu }
below: 3.5
"""

    read: Literal["cpu", "memory"] = Field(default="cpu", description="cores, or bytes of memory")
    how: Literal["sum", "most"] = Field(default="sum", description="of all of them together, or of the one with most")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the figure; the note names those that use most. Without figures there is no data."""
        place, cluster = self.place(labels, tools)
        used = {text_at(one, "metadata", "name"): self._of(one) for one in await _measured(place, cluster)}
        if not used:
            return Reading((), f"nothing was measured of {place}")
        order = sorted(used, key=lambda name: -used[name])
        note = ", ".join(f"{name} {used[name]:.3g}" for name in order[:SHOWN])
        return Reading((sum(used.values()) if self.how == "sum" else used[order[0]],), note)

    def _of(self, measured: Object) -> float:
        parts = [measured] if "usage" in measured else list(_containers(measured))
        return sum(float(amount(at(one, "usage", self.read)) or 0) for one in parts)


def _containers(pod: Object) -> Iterator[Object]:
    listed = at(pod, "containers")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict):
            yield one


async def _measured(place: Place, cluster: Cluster) -> tuple[Object, ...]:
    word = place.kind.word
    if word in ("node", "pod"):
        # Asked for one that it has not measured yet, the metrics server answers as for a path that does not exist.
        scope = f"namespaces/{place.namespace}/pods" if word == "pod" else "nodes"
        every = await cluster.list(f"{METRICS}/{scope}")
        return tuple(one for one in every if text_at(one, "metadata", "name") == place.name)
    if word == "namespace":
        return await cluster.list(f"{METRICS}/namespaces/{place.name}/pods")
    try:
        chosen = selector(await cluster.get(place.path))
    except ValueError as error:
        raise Permanent(str(error)) from error
    return await cluster.list(f"{METRICS}/namespaces/{place.namespace}/pods", labels=chosen)
