"""``kubernetes.logs``: the last lines of containers, and how many say something."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from responder.domain.errors import Permanent
from responder.domain.images import short
from responder.domain.reconcilers import at, text_at
from responder.language.durations import parse_duration
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Object, Tools
from responder.probes.kubernetes import POD, KubernetesProbe, checked_duration, pods_of
from responder.telemetry import shapes

MOST_PODS = 10
MOST_BYTES = 64 * 1024
"""Of each container: enough for a stack trace, too little to drown in."""
SHOWN = 3


class KubernetesLogs(KubernetesProbe):
    """Count the last log lines of a pod, or of a workload's pods, that hold a text.

    At most ten pods and 64 KiB of each are read. Logs may hold secrets: what is shown are the last few lines that
    match, and only where `contains` is given.
    """

    name: ClassVar[str] = "kubernetes.logs"
    kinds: ClassVar[tuple[str, ...]] = ("daemonset", "deployment", "job", "pod", "replicaset", "statefulset")
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("", "pods", ("get", "list")),
        Permission("", "pods/log", ("get",)),
        Permission("apps", "daemonsets", ("get",)),
        Permission("apps", "deployments", ("get",)),
        Permission("apps", "replicasets", ("get",)),
        Permission("apps", "statefulsets", ("get",)),
        Permission("batch", "jobs", ("get",)),
    )
    example: ClassVar[str] = """\
name: the pool is exhausted
probe: kubernetes.logs
with: { of: deployment/shop/api, contains: "pool exhausted", since: 5m }
above: 0
"""

    container: str = Field(default="", description="which container; none: the first")
    contains: str = Field(default="", description="a text that a line must hold to be counted")
    previous: bool = Field(default=False, description="of the container before its last restart")
    tail: int = Field(default=500, ge=1, le=5000, description="how many lines from the end")
    since: str | None = Field(default=None, description="how far to look back")

    _since = field_validator("since")(checked_duration)

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the number of lines."""
        place, cluster = self.place(labels, tools)
        pods = [pod for pod in await pods_of(place, cluster) if self._has_logs(pod)]
        if len(pods) > MOST_PODS:
            raise Permanent(f"{place} has {len(pods)} pods; logs of at most {MOST_PODS} are read")
        lines: list[str] = []
        for pod in pods:
            path = POD.path(text_at(pod, "metadata", "namespace"), text_at(pod, "metadata", "name"), "log")
            text = await cluster.text(path, self._query(pod))
            lines += [line for line in text.splitlines() if self.contains in line]
        if not pods:
            return Reading((), f"{place} has no pod with logs")
        shown = [short(shapes().redact(line), 120) for line in lines[-SHOWN:]] if self.contains else []
        return Reading((len(lines),), "; ".join(shown))

    def _has_logs(self, pod: Object) -> bool:
        return text_at(pod, "status", "phase") != "Pending"

    def _query(self, pod: Object) -> dict[str, str]:
        names = at(pod, "spec", "containers")
        first = text_at(names[0], "name") if isinstance(names, list) and names else ""
        query = {"container": self.container or first, "tailLines": str(self.tail), "limitBytes": str(MOST_BYTES)}
        if self.previous:
            query["previous"] = "true"
        if self.since is not None:
            query["sinceSeconds"] = str(max(1, int(parse_duration(self.since).total_seconds())))
        return query
