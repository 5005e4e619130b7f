"""``kubernetes.revision``: what the last revision of a workload has changed, and how the one before is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.kubernetes import Place
from responder.domain.reconcilers import text_at
from responder.domain.revisions import KEPT_AS, Revision, changes, current, previous, revisions
from responder.ports.action import Permission
from responder.ports.probe import Reading
from responder.ports.tools import Cluster, Tools
from responder.probes.kubernetes import POD, KubernetesProbe, condition, instant

_KINDS = tuple(KEPT_AS)
_LABELS = {"deployment": "pod-template-hash"}
_LABEL = "controller-revision-hash"
SHOWN = 12


class KubernetesRevision(KubernetesProbe):
    """Read what has changed between the previous revision of a workload and the current one, or how old they are.

    The note lists the fields of the pod template that differ, and nothing else; of environments, arguments and
    annotations only that they differ. A revision is as old as what keeps it: going back to one does not make it young.
    """

    name: ClassVar[str] = "kubernetes.revision"
    kinds: ClassVar[tuple[str, ...]] = _KINDS
    permissions: ClassVar[tuple[Permission, ...]] = (
        *(Permission("apps", f"{word}s", ("get",)) for word in _KINDS),
        *(Permission(kind.group, kind.plural, ("list",), of=(word,)) for word, kind in KEPT_AS.items()),
        Permission("", "pods", ("list",)),
    )
    example: ClassVar[str] = """\
name: the release is new
probe: kubernetes.revision
with: { of: deployment/shop/api, read: age }
below: 3600
"""

    read: Literal["changes", "number", "age", "previous_age", "previous_ready"] = Field(
        default="changes",
        description="how many fields differ, the number of the current revision, how many seconds ago it or the "
        "previous one was made, or how many pods of the previous one are ready",
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the figure, nothing where there is no such revision; the note has the changes."""
        place, cluster = self.place(labels, tools)
        obj = await cluster.find(place.path)
        if obj is None:
            return Reading((), f"there is no {place}")
        found = revisions(obj, await cluster.list(KEPT_AS[place.kind.word].path(place.namespace)))
        now = current(obj, found)
        if now is None:
            return Reading((), f"the controller of {place} has not kept its template as a revision yet")
        before = previous(now, found)
        note = _note(before, now)
        if self.read == "number":
            return Reading((now.number,), note)
        if self.read == "age":
            return Reading(_age(now), note)
        return Reading(() if before is None else await self._of(before, now, place, cluster), note)

    async def _of(self, before: Revision, now: Revision, place: Place, cluster: Cluster) -> tuple[int, ...]:
        """Return what was asked for of the previous revision."""
        if self.read == "changes":
            return (len([*changes(before.template, now.template)]),)
        return _age(before) if self.read == "previous_age" else (await _ready(place, cluster, before),)


def _age(revision: Revision) -> tuple[int, ...]:
    made = instant(text_at(revision.kept, "metadata", "creationTimestamp"))
    return () if made is None else (max(0, int((datetime.now(UTC) - made).total_seconds())),)


async def _ready(place: Place, cluster: Cluster, revision: Revision) -> int:
    """Count the ready pods of a revision, by the label that its controller gives them."""
    label = _LABELS.get(place.kind.word, _LABEL)
    value = text_at(revision.kept, "metadata", "labels", label)
    if place.kind.word == "statefulset":
        value = revision.name
    pods = await cluster.list(POD.path(place.namespace), labels=f"{label}={value}")
    return sum(condition(pod, "Ready").get("status") == "True" for pod in pods)


def _note(before: Revision | None, now: Revision) -> str:
    if before is None:
        return f"revision {now.number}, the first that is kept"
    found = [*changes(before.template, now.template)]
    more = [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return f"revision {before.number} → {now.number}: {'; '.join([*found[:SHOWN], *more])}"
