"""``kubernetes.events``: what the cluster itself has said of an object."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from responder.domain.kubernetes import EVENTS, Place
from responder.domain.reconcilers import text_at
from responder.language.durations import parse_duration
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Cluster, Object, Tools
from responder.probes.kubernetes import KubernetesProbe, checked_duration, instant, number, pods_of

SHOWN = 5
_WITH_PODS = ("daemonset", "deployment", "job", "replicaset", "statefulset")


class KubernetesEvents(KubernetesProbe):
    """Count the recent events about an object, and about the pods of a workload."""

    name: ClassVar[str] = "kubernetes.events"
    kinds: ClassVar[tuple[str, ...]] = ("namespace", "node", "pod", *_WITH_PODS)
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("", "events", ("list",)),
        Permission("", "pods", ("list",)),
        Permission("apps", "daemonsets", ("get",)),
        Permission("apps", "deployments", ("get",)),
        Permission("apps", "replicasets", ("get",)),
        Permission("apps", "statefulsets", ("get",)),
        Permission("batch", "jobs", ("get",)),
    )
    example: ClassVar[str] = """\
name: no pod is killed for its memory
probe: kubernetes.events
with: { of: deployment/shop/api, reason: OOMKilling, since: 15m }
equals: 0
"""

    since: str = Field(default="15m", description="how far to look back")
    type: Literal["Warning", "Normal", "all"] = Field(default="Warning", description="which events")
    reason: str = Field(default="", description="only those of this reason, such as FailedScheduling")

    _since = field_validator("since")(checked_duration)

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return how often; the note has the latest."""
        place, cluster = self.place(labels, tools)
        found = [one for one in await self._about(place, cluster) if self._wanted(one)]
        found.sort(key=_last, reverse=True)
        lines = [f"{text_at(one, 'reason')} {_name(one)}: {text_at(one, 'message')}" for one in found[:SHOWN]]
        return Reading((sum(max(1, number(one.get("count"))) for one in found),), "; ".join(lines))

    async def _about(self, place: Place, cluster: Cluster) -> list[Object]:
        if place.kind.word == "namespace":
            return list(await cluster.list(EVENTS.path(place.name)))
        found = list(await cluster.list(EVENTS.path(place.namespace), fields=f"involvedObject.name={place.name}"))
        found = [one for one in found if text_at(one, "involvedObject", "kind") == place.kind.title]
        if place.kind.word in _WITH_PODS:
            uids = {text_at(pod, "metadata", "uid") for pod in await pods_of(place, cluster)}
            every = await cluster.list(EVENTS.path(place.namespace), fields="involvedObject.kind=Pod")
            found += [one for one in every if text_at(one, "involvedObject", "uid") in uids]
        return found

    def _wanted(self, event: Object) -> bool:
        if self.type not in ("all", text_at(event, "type")) or self.reason not in ("", text_at(event, "reason")):
            return False
        return _last(event) >= datetime.now(UTC) - parse_duration(self.since)


def _last(event: Object) -> datetime:
    """Return when it happened last; events of the newer kind have another field for it."""
    times = (text_at(event, name) for name in ("lastTimestamp", "eventTime", "firstTimestamp"))
    series = text_at(event, "series", "lastObservedTime")
    found = [at for at in map(instant, (series, *times)) if at is not None]
    return max(found, default=datetime.now(UTC) - timedelta(days=1))


def _name(event: Object) -> str:
    return text_at(event, "involvedObject", "name")
