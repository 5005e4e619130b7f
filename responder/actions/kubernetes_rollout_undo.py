"""``kubernetes.rollout_undo``: a Deployment back to an earlier revision, and forward again."""

from collections.abc import Sequence
from typing import ClassVar, cast

from pydantic import Field, JsonValue

from responder.actions.kubernetes import ASKING, KubernetesAction, Site
from responder.domain.errors import Permanent, Temporary
from responder.domain.kubernetes import KINDS
from responder.domain.reconcilers import at, text_at
from responder.domain.records import Record
from responder.ports.action import Permission, Snapshot
from responder.ports.tools import Object, Tools

REPLICASET = KINDS["replicaset"]
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


class RolloutUndo(KubernetesAction):
    """Take a Deployment back to its previous revision, or to a named one, as `kubectl rollout undo` does.

    What is recorded is the ReplicaSet of the revision, which keeps the pod template: no environment variable gets
    into a record. Undo goes back to the revision that there was. A paused rollout is refused.
    """

    name: ClassVar[str] = "kubernetes.rollout_undo"
    kinds: ClassVar[tuple[str, ...]] = ("deployment",)
    field: ClassVar[tuple[str, ...]] = ("spec", "template")
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("apps", "deployments", ("get", "patch")),
        Permission("apps", "replicasets", ("list",)),
        *ASKING,
    )
    example: ClassVar[str] = """\
kubernetes.rollout_undo: {}
"""

    to_revision: int | None = Field(default=None, ge=1, description="the revision to go to; none: the previous one")

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return the revision's ReplicaSet and images, and those that it would go back to."""
        if at(obj, "spec", "paused") is True:
            raise Permanent(f"the rollout of {site.place} is paused: resume it first")
        kept = await _revisions(obj, site)
        now = next((one for one in kept if _template(one) == _template(obj)), None)
        if now is None:
            return {"replicaset": None, "images": {}, "back_to": None}
        before = self._goal([one for one in kept if one is not now], _number(now))
        return {**_image(now), "back_to": None if before is None else _image(before)}

    def _goal(self, others: Sequence[Object], current: int) -> Object | None:
        if self.to_revision is not None:
            return next((one for one in others if _number(one) == self.to_revision), None)
        return max((one for one in others if _number(one) < current), key=_number, default=None)

    def same(self, one: JsonValue, other: JsonValue) -> bool:
        """Go by the ReplicaSet: its name is made from the template."""
        return at(one, "replicaset") == at(other, "replicaset")

    def change(self, before: JsonValue) -> JsonValue:
        """Return the revision that it goes back to."""
        if at(before, "replicaset") is None:
            raise ValueError("its controller has not made a ReplicaSet of its template yet")
        goal = at(before, "back_to")
        if goal is None:
            named = "no earlier revision" if self.to_revision is None else f"no revision {self.to_revision}"
            raise ValueError(f"{named} is kept besides the one in use")
        return goal

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the revision that is in use; one that the controller has not seen yet is waited for."""
        found = await super().snapshot(target, tools)
        if at(found.image, "replicaset") is None:
            raise Temporary(f"{target}: its controller has not made a ReplicaSet of its template yet")
        return found

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Send the pod template of the revision once."""
        now = cast("Object", await super().apply(target, record, tools))
        return {name: value for name, value in now.items() if name != "back_to"}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch that makes the pod template that of the revision."""
        name = at(image, "replicaset")
        kept = [one for one in await _revisions(obj, site) if text_at(one, "metadata", "name") == name]
        if not kept:
            raise Permanent(f"the ReplicaSet {name} is no longer kept: there is nothing to go back to")
        template = at(obj, "spec", "template")
        return {"spec": {"template": difference(template, _template(kept[0]))}}


def difference(now: JsonValue, goal: JsonValue) -> JsonValue:
    """Return the merge patch (RFC 7386) that makes ``goal`` of ``now``."""
    if not isinstance(now, dict) or not isinstance(goal, dict):
        return goal
    gone: Object = {name: None for name in now if name not in goal}
    return gone | {name: difference(now.get(name), value) for name, value in goal.items() if now.get(name) != value}


async def _revisions(obj: Object, site: Site) -> list[Object]:
    """Return the ReplicaSets that the Deployment keeps."""
    uid = at(obj, "metadata", "uid")
    return [one for one in await site.of_kind(REPLICASET) if uid in [at(by, "uid") for by in _owners(one)]]


def _owners(obj: Object) -> list[JsonValue]:
    found = at(obj, "metadata", "ownerReferences")
    return found if isinstance(found, list) else []


def _template(obj: Object) -> Object:
    """Return the pod template without the hash that the controller adds."""
    template = cast("Object", at(obj, "spec", "template") or {})
    metadata: Object = {name: value for name, value in cast("Object", template.get("metadata") or {}).items() if value}
    labels = metadata.get("labels")
    if isinstance(labels, dict):
        metadata["labels"] = {name: value for name, value in labels.items() if name != HASH}
    return {**template, "metadata": metadata}


def _number(replicaset: Object) -> int:
    text = text_at(replicaset, "metadata", "annotations", REVISION)
    return int(text) if text.isascii() and text.isdigit() else 0


def _image(replicaset: Object) -> Object:
    containers = at(replicaset, "spec", "template", "spec", "containers")
    images: Object = {
        text_at(one, "name"): text_at(one, "image")
        for one in (containers if isinstance(containers, list) else [])
        if isinstance(one, dict)
    }
    return {"replicaset": at(replicaset, "metadata", "name"), "images": images}
