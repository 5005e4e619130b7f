"""``kubernetes.endpoints``: how many pods a service has behind it."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.errors import Permanent
from responder.domain.kubernetes import is_name
from responder.domain.reconcilers import at, text_at
from responder.domain.targets import SEPARATOR
from responder.ports.action import Permission
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Object, Tools

SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
SERVICE = "kubernetes.io/service-name"
"""The label by which the slices of a service are found. Source: the Kubernetes documentation of EndpointSlices."""
SHOWN = 5


class KubernetesEndpoints(Probe):
    """Count the endpoints behind a service: those that take requests, or those that do not."""

    name: ClassVar[str] = "kubernetes.endpoints"
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("discovery.k8s.io", "endpointslices", ("list",)),)
    example: ClassVar[str] = """\
name: somebody answers
probe: kubernetes.endpoints
with: { service: shop/api }
at_least: 2
"""

    service: str = Field(description="the service, as NAMESPACE/NAME")
    read: Literal["ready", "not_ready"] = Field(default="ready", description="which endpoints to count")
    cluster: str = Field(default="", description="the cluster; none: the alert's, or the only one")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return how many; the note names their pods. A service without slices is unknown, and no data."""
        namespace, _, name = self.service.partition(SEPARATOR)
        if not is_name(namespace) or not is_name(name):
            raise Permanent(f"{self.name}: {self.service!r} is no service; write NAMESPACE/NAME")
        cluster = tools.cluster(self.cluster or tools.cluster_of(labels))
        slices = await cluster.list(SLICES.format(namespace), labels=f"{SERVICE}={name}")
        if not slices:
            return Reading((), f"there are no endpoint slices of {self.service}")
        found = dict(sorted(one for part in slices for one in _endpoints(part)))
        wanted = [who for who, ready in found.items() if ready == (self.read == "ready")]
        return Reading((len(wanted),), ", ".join(wanted[:SHOWN]))


def _endpoints(part: Object) -> Iterator[tuple[str, bool]]:
    """Yield who it is and whether it is ready; left out, that means yes. One address may be in several slices."""
    listed = at(part, "endpoints")
    for one in listed if isinstance(listed, list) else []:
        addresses = at(one, "addresses")
        first = str(addresses[0]) if isinstance(addresses, list) and addresses else ""
        yield text_at(one, "targetRef", "name") or first, at(one, "conditions", "ready") is not False
