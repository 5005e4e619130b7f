"""``kubernetes.hpa``: what the autoscaler of a workload does."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.kubernetes import KINDS
from responder.domain.reconcilers import at, scales, text_at
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Tools
from responder.probes.kubernetes import KubernetesProbe, condition, number

HPA = KINDS["hpa"]


class KubernetesHpa(KubernetesProbe):
    """Read the autoscaler that scales a Deployment or StatefulSet; without one there is no data."""

    name: ClassVar[str] = "kubernetes.hpa"
    kinds: ClassVar[tuple[str, ...]] = ("deployment", "statefulset")
    permissions: ClassVar[tuple[Permission, ...]] = (Permission(HPA.group, HPA.plural, ("list",)),)
    example: ClassVar[str] = """\
name: the autoscaler is at its end
probe: kubernetes.hpa
with: { of: deployment/shop/api, read: at_max }
equals: true
"""

    read: Literal["at_max", "current", "desired", "min", "max"] = Field(
        default="at_max", description="whether it wants as many as it may, or a number of replicas"
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return what was asked for; the note says what limits it."""
        place, cluster = self.place(labels, tools)
        found = [one for one in await cluster.list(HPA.path(place.namespace)) if scales(one, place)]
        if len(found) != 1:
            return Reading((), f"{len(found)} autoscalers scale {place}")
        low = at(found[0], "spec", "minReplicas")
        values = {
            "current": number(at(found[0], "status", "currentReplicas")),
            "desired": number(at(found[0], "status", "desiredReplicas")),
            "min": 1 if low is None else number(low),
            "max": number(at(found[0], "spec", "maxReplicas")),
        }
        limited = text_at(condition(found[0], "ScalingLimited"), "message")
        told = f"{values['current']} replicas, {values['desired']} wanted, {values['min']} to {values['max']} allowed"
        note = ", ".join(filter(None, (told, limited)))
        if self.read == "at_max":
            return Reading((values["desired"] >= values["max"],), note)
        return Reading((values[self.read],), note)
