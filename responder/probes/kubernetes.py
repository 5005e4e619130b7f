"""What the probes of Kubernetes objects share: which cluster, which object, which pods."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field, JsonValue

from responder.domain.errors import Permanent
from responder.domain.kubernetes import KINDS, Place, place_of
from responder.domain.reconcilers import at
from responder.domain.selectors import selector
from responder.domain.targets import SEPARATOR
from responder.language.durations import parse_duration
from responder.ports.probe import Probe
from responder.ports.tools import Cluster, Object, Tools

POD = KINDS["pod"]


class KubernetesProbe(Probe):
    """Base: ``of`` names an object, in the alert's cluster unless another one is named."""

    kinds: ClassVar[tuple[str, ...]]

    of: str = Field(description="the object, as KIND/NAMESPACE/NAME or KIND/NAME")
    cluster: str = Field(default="", description="its cluster; none: the alert's, or the only one")

    def place(self, labels: Mapping[str, str], tools: Tools) -> tuple[Place, Cluster]:
        """Return the object and its cluster; raises Permanent for one that cannot be meant."""
        name = self.cluster or tools.cluster_of(labels)
        try:
            place = place_of(f"{name}{SEPARATOR}{self.of}")
        except ValueError as error:
            raise Permanent(f"{self.name}: {error}") from error
        if place.kind.word not in self.kinds:
            raise Permanent(f"{self.name} looks at {', '.join(self.kinds)}, not at {self.of}")
        return place, tools.cluster(name)


async def pods_of(place: Place, cluster: Cluster) -> tuple[Object, ...]:
    """Return the pods of a workload or of a namespace, those on a node, or the one pod."""
    if place.kind is POD:
        found = await cluster.find(place.path)
        return () if found is None else (found,)
    if place.kind.word == "namespace":
        return await cluster.list(POD.path(place.name))
    if place.kind.word == "node":
        return await cluster.list(POD.path(), fields=f"spec.nodeName={place.name}")
    try:
        chosen = selector(await cluster.get(place.path))
    except ValueError as error:
        raise Permanent(str(error)) from error
    return await cluster.list(POD.path(place.namespace), labels=chosen)


def containers(pod: Object) -> list[Object]:
    """Return the states of a pod's containers."""
    return [one for one in _items(at(pod, "status", "containerStatuses")) if isinstance(one, dict)]


def condition(obj: Object, kind: str) -> Object:
    """Return a condition of an object's status, empty when it has none of this type."""
    for one in _items(at(obj, "status", "conditions")):
        if isinstance(one, dict) and one.get("type") == kind:
            return one
    return {}


def number(value: object) -> int:
    """Return a count; what is left out is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def instant(text: str) -> datetime | None:
    """Return a time as the API writes it."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def checked_duration(text: str | None) -> str | None:
    """Return a duration as it was written; raises ValueError for what is none."""
    if text is not None:
        parse_duration(text)
    return text


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
