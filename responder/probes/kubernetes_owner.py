"""``kubernetes.owner``: what made a pod."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.owners import BETWEEN
from responder.ports.action import Permission
from responder.ports.owners import owners_of
from responder.ports.probe import Reading
from responder.ports.tools import Tools
from responder.probes.kubernetes import KubernetesProbe


class KubernetesOwner(KubernetesProbe):
    """Read what made a pod: the Deployment behind its ReplicaSet, the CronJob behind its Job, or what is asked for.

    As a target it is written `{{ owner.deployment }}`.
    """

    name: ClassVar[str] = "kubernetes.owner"
    kinds: ClassVar[tuple[str, ...]] = ("pod",)
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("", "pods", ("get",)),
        Permission("apps", "replicasets", ("get",)),
        Permission("batch", "jobs", ("get",)),
    )
    example: ClassVar[str] = """\
name: it is a pod of the shop
probe: kubernetes.owner
with: { of: "pod/{{ labels.namespace }}/{{ labels.pod }}", read: deployment }
equals: api
"""

    read: Literal["kind", "deployment", "replicaset", "statefulset", "daemonset", "job", "cronjob"] = Field(
        default="kind", description="the kind of what made it in the end, or the name of one of a kind"
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return a kind or a name, nothing where there is none; the note has all of them."""
        place, cluster = self.place(labels, tools)
        found = await owners_of(cluster, place.namespace, place.name)
        if found is None:
            return Reading((), f"there is no {place}")
        note = ", ".join(f"{kind} {name}" for kind, name in found.items())
        if self.read != "kind":
            return Reading((found[self.read],) if self.read in found else (), note)
        last = next((kind for kind in found if BETWEEN.get(kind) not in found), "")
        return Reading((last,) if last else (), note)
