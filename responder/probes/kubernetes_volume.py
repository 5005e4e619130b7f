"""``kubernetes.volume``: how full a volume is, as the kubelet has it that mounts it."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.kubernetes import KINDS, Place
from responder.domain.reconcilers import at, text_at
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Cluster, Object, Tools
from responder.probes.kubernetes import POD, KubernetesProbe

NODE = KINDS["node"]
_FIGURES = {"used": ("usedBytes", "capacityBytes"), "inodes": ("inodesUsed", "inodes"), "free": ("availableBytes", "")}
"""Names of the kubelet's summary: the figure, and of how many."""


class KubernetesVolume(KubernetesProbe):
    """Read how full the volume of a claim is: the share in use, of bytes or of inodes, or the bytes that are free.

    The kubelet measures what a running pod mounts, about once a minute; of what nobody mounts there is no data. It is
    asked through the API, with the right to `nodes/proxy`: that opens everything that kubelets can do. Where Prometheus
    has `kubelet_volume_stats_used_bytes`, a query needs no such right.
    """

    name: ClassVar[str] = "kubernetes.volume"
    kinds: ClassVar[tuple[str, ...]] = ("pvc",)
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("", "pods", ("list",)),
        Permission("", "nodes/proxy", ("get",)),
    )
    example: ClassVar[str] = """\
name: there is room on the volume
probe: kubernetes.volume
with: { of: pvc/shop/data }
below: 80%
within: 5m
"""

    read: Literal["used", "inodes", "free"] = Field(
        default="used", description="the share of bytes or of `inodes` in use, or how many bytes are `free`"
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the figure; the note says how much of how much, and which node has said so."""
        place, cluster = self.place(labels, tools)
        nodes = sorted({text_at(pod, "spec", "nodeName") for pod in await _mounting(place, cluster)} - {""})
        if not nodes:
            return Reading((), f"no running pod mounts {place}")
        for node in nodes:
            summary = await cluster.get(NODE.path("", node, "proxy/stats/summary"))
            for measured in _measured(summary, place):
                return self._reading(measured, node)
        return Reading((), f"{', '.join(nodes)}: the kubelet has not measured {place}")

    def _reading(self, measured: Object, node: str) -> Reading:
        name, of = _FIGURES[self.read]
        figure, most = at(measured, name), at(measured, of) if of else 1
        if not isinstance(figure, int) or not isinstance(most, int) or most <= 0:
            return Reading((), f"{node}: the kubelet does not say {name} and {of}" if of else f"{node}: no {name}")
        return Reading((figure / most,), f"{figure} of {most} on {node}" if of else f"on {node}")


async def _mounting(place: Place, cluster: Cluster) -> list[Object]:
    pods = await cluster.list(POD.path(place.namespace))
    return [pod for pod in pods if text_at(pod, "status", "phase") == "Running" and place.name in _claims(pod)]


def _claims(pod: Object) -> Iterator[str]:
    """Go through the claims of a pod; one that is made for the pod alone is called after both."""
    for volume in _items(at(pod, "spec", "volumes")):
        yield text_at(volume, "persistentVolumeClaim", "claimName")
        if at(volume, "ephemeral") is not None:
            yield f"{text_at(pod, 'metadata', 'name')}-{text_at(volume, 'name')}"


def _measured(summary: Object, place: Place) -> Iterator[Object]:
    for pod in _items(at(summary, "pods")):
        for volume in _items(at(pod, "volume")):
            of = (text_at(volume, "pvcRef", "namespace"), text_at(volume, "pvcRef", "name"))
            if of == (place.namespace, place.name):
                yield volume


def _items(value: JsonValue) -> list[Object]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
