"""``kubernetes.quota``: how much of what a namespace may have it has."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from responder.domain.quantities import amount
from responder.domain.reconcilers import at, text_at
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Object, Tools
from responder.probes.kubernetes import KubernetesProbe


class KubernetesQuota(KubernetesProbe):
    """Read how much of the quotas of a namespace is used, as a share: the fullest one, or that of one resource."""

    name: ClassVar[str] = "kubernetes.quota"
    kinds: ClassVar[tuple[str, ...]] = ("namespace",)
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("", "resourcequotas", ("list",)),)
    example: ClassVar[str] = """\
name: there is room for more pods
probe: kubernetes.quota
with: { of: namespace/shop, resource: pods }
below: 90%
"""

    resource: str = Field(default="", description="such as pods or limits.memory; none: the one that is fullest")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the share, nothing where no quota limits it; the note has the amounts, the fullest first."""
        place, cluster = self.place(labels, tools)
        quotas = await cluster.list(f"/api/v1/namespaces/{place.name}/resourcequotas")
        found = sorted((one for quota in quotas for one in _shares(quota)), reverse=True)
        wanted = [(share, note) for share, name, note in found if self.resource in ("", name)]
        return Reading(tuple(share for share, _ in wanted[:1]), ", ".join(note for _, note in wanted))


def _shares(quota: Object) -> Iterator[tuple[float, str, str]]:
    hard = at(quota, "status", "hard")
    for name in hard if isinstance(hard, dict) else {}:
        most, used = amount(at(quota, "status", "hard", name)), amount(at(quota, "status", "used", name))
        if most is None or used is None:
            continue
        written = f"{text_at(quota, 'metadata', 'name')} {name} {used.normalize():f} of {most.normalize():f}"
        yield (float(used / most) if most else 1.0, name, written)
