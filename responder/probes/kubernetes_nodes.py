"""``kubernetes.nodes``: how many nodes are in a state, and which."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.errors import Permanent
from responder.domain.kubernetes import KINDS, is_name
from responder.domain.reconcilers import at, text_at
from responder.ports.action import Permission
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Object, Tools
from responder.probes.kubernetes import condition

NODE = KINDS["node"]
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
SHOWN = 10


class KubernetesNodes(Probe):
    """Count the nodes that are in a state: of all, of some by their labels, or one by its name."""

    name: ClassVar[str] = "kubernetes.nodes"
    lists: ClassVar[bool] = True
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("", "nodes", ("get", "list")),)
    example: ClassVar[str] = """\
name: most nodes are fine
probe: kubernetes.nodes
with: { read: not_ready }
at_most: 1
"""

    read: Literal["all", "ready", "not_ready", "cordoned", "pressure"] = Field(
        default="not_ready", description="which nodes to count"
    )
    node: str = Field(default="", description="one node by its name")
    labels: str = Field(default="", description="a label selector, such as topology.kubernetes.io/zone=a")
    cluster: str = Field(default="", description="the cluster; none: the alert's, or the only one")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the number; the note names the nodes."""
        chosen = await self._chosen(labels, tools)
        names = [text_at(one, "metadata", "name") for one in chosen]
        return Reading((len(chosen),), ", ".join(names[:SHOWN]))

    async def items(self, labels: Mapping[str, str], tools: Tools) -> Sequence[JsonValue]:
        """Return the names of the nodes in that state."""
        return [text_at(one, "metadata", "name") for one in await self._chosen(labels, tools)]

    async def _chosen(self, labels: Mapping[str, str], tools: Tools) -> list[Object]:
        cluster = tools.cluster(self.cluster or tools.cluster_of(labels))
        if not self.node:
            found = await cluster.list(NODE.path(), labels=self.labels)
        elif is_name(self.node):
            found = (await cluster.get(NODE.path(name=self.node)),)
        else:
            raise Permanent(f"{self.node!r} is not the name of a node")
        return [one for one in found if _is(one, self.read)]


def _is(node: Object, state: str) -> bool:
    match state:
        case "ready":
            return condition(node, "Ready").get("status") == "True"
        case "not_ready":
            return condition(node, "Ready").get("status") != "True"
        case "cordoned":
            return at(node, "spec", "unschedulable") is True
        case "pressure":
            return any(condition(node, kind).get("status") == "True" for kind in PRESSURES)
        case _:
            return True
