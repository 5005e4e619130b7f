"""``kubernetes.job``: how a Job has ended, or the last one of a CronJob."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.kubernetes import KINDS, Place
from responder.domain.reconcilers import at, text_at
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Cluster, Object, Tools
from responder.probes.kubernetes import KubernetesProbe, condition, number

JOB = KINDS["job"]


class KubernetesJob(KubernetesProbe):
    """Read how a Job stands; of a CronJob, how the Job stands that was made last, by its schedule or beside it."""

    name: ClassVar[str] = "kubernetes.job"
    kinds: ClassVar[tuple[str, ...]] = ("cronjob", "job")
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("batch", "jobs", ("get", "list")),)
    example: ClassVar[str] = """\
name: it has run
probe: kubernetes.job
with: { of: cronjob/shop/nightly }
equals: true
within: 10m
"""

    read: Literal["complete", "failed", "active"] = Field(
        default="complete", description="whether it is so, or how many of its pods run"
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return how it stands; the note names the Job and says why it failed."""
        place, cluster = self.place(labels, tools)
        job = await _job(place, cluster)
        if job is None:
            return Reading((), f"there is no job of {place}" if place.kind is not JOB else f"there is no {place}")
        failed = condition(job, "Failed")
        why = text_at(failed, "message") if failed.get("status") == "True" else ""
        note = ": ".join(filter(None, (text_at(job, "metadata", "name"), why)))
        match self.read:
            case "complete":
                return Reading((condition(job, "Complete").get("status") == "True",), note)
            case "failed":
                return Reading((failed.get("status") == "True",), note)
            case "active":
                status = job.get("status")
                return Reading((number(status.get("active") if isinstance(status, dict) else None),), note)


async def _job(place: Place, cluster: Cluster) -> Object | None:
    if place.kind is JOB:
        return await cluster.find(place.path)
    every = await cluster.list(JOB.path(place.namespace))
    its = [one for one in every if _of(one, place.name)]
    return max(its, key=lambda one: text_at(one, "metadata", "creationTimestamp"), default=None)


def _of(job: Object, cronjob: str) -> bool:
    """Whether a Job belongs to a CronJob: made by its controller, or beside the schedule and only named after it."""
    owners = at(job, "metadata", "ownerReferences")
    named = [(at(one, "kind"), at(one, "name")) for one in (owners if isinstance(owners, list) else [])]
    return ("CronJob", cronjob) in named
