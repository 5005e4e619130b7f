"""``kubernetes.rollout_undo``: a workload back to an earlier revision, and forward again."""

from typing import ClassVar, cast

from pydantic import Field, JsonValue

from responder.actions.kubernetes import KubernetesAction, Site, permissions
from responder.domain.errors import Permanent, Temporary
from responder.domain.reconcilers import at, text_at
from responder.domain.records import Record
from responder.domain.revisions import KEPT_AS, Revision, current, difference, previous, revisions, template_of
from responder.ports.action import Permission, Snapshot
from responder.ports.tools import Object, Tools

KINDS = tuple(KEPT_AS)
LOOKING = tuple(Permission(kind.group, kind.plural, ("list",), of=(word,)) for word, kind in KEPT_AS.items())
"""What it takes to look at the revisions of each kind."""


class RolloutUndo(KubernetesAction):
    """Take a workload back to its previous revision, or to a named one, as `kubectl rollout undo` does.

    What is recorded is the object that keeps the pod template (a ReplicaSet, or a ControllerRevision): no environment
    variable gets into a record. Undo goes back to the revision that there was. A paused rollout is refused. Pods follow
    by the workload's own strategy: with `OnDelete` not by themselves. A StatefulSet that creates its pods in order does
    not replace one that never became ready: let a step `kubernetes.delete_pod` follow.
    """

    name: ClassVar[str] = "kubernetes.rollout_undo"
    kinds: ClassVar[tuple[str, ...]] = KINDS
    field: ClassVar[tuple[str, ...]] = ("spec", "template")
    permissions: ClassVar[tuple[Permission, ...]] = (*permissions(*KINDS), *LOOKING)
    example: ClassVar[str] = """\
kubernetes.rollout_undo: {}
"""

    to_revision: int | None = Field(default=None, ge=1, description="the revision to go to; none: the previous one")

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return what keeps the revision and its images, and those that it would go back to."""
        if at(obj, "spec", "paused") is True:
            raise Permanent(f"the rollout of {site.place} is paused: resume it first")
        found = await _revisions(obj, site)
        now = current(obj, found)
        if now is None:
            return {_word(site): None, "images": {}, "back_to": None}
        before = previous(now, found, self.to_revision)
        return {**_image(now, site), "back_to": None if before is None else _image(before, site)}

    def same(self, one: JsonValue, other: JsonValue) -> bool:
        """Go by what keeps the template: its name is made from it."""
        return _kept(one) == _kept(other)

    def change(self, before: JsonValue) -> JsonValue:
        """Return the revision that it goes back to."""
        if not _kept(before):
            raise ValueError("its controller has not kept its template as a revision yet")
        goal = at(before, "back_to")
        if goal is None:
            named = "no earlier revision" if self.to_revision is None else f"no revision {self.to_revision}"
            raise ValueError(f"{named} is kept besides the one in use")
        return goal

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the revision that is in use; one that the controller has not seen yet is waited for."""
        found = await super().snapshot(target, tools)
        if not _kept(found.image):
            title = KEPT_AS[self.site(target, tools).place.kind.word].title
            raise Temporary(f"{target}: its controller has not made a {title} of its template yet")
        return found

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Send the pod template of the revision once."""
        now = cast("Object", await super().apply(target, record, tools))
        return {name: value for name, value in now.items() if name != "back_to"}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch that makes the pod template that of the revision."""
        name = _kept(image)
        goal = next((one for one in await _revisions(obj, site) if one.name == name), None)
        if goal is None:
            title = KEPT_AS[site.place.kind.word].title
            raise Permanent(f"the {title} {name} is no longer kept: there is nothing to go back to")
        return {"spec": {"template": difference(template_of(obj), goal.template)}}


async def _revisions(obj: Object, site: Site) -> list[Revision]:
    """Return the revisions that the workload keeps."""
    return revisions(obj, await site.of_kind(KEPT_AS[site.place.kind.word]))


def _word(site: Site) -> str:
    """Return what an image calls that which keeps the template."""
    return KEPT_AS[site.place.kind.word].word


def _kept(image: JsonValue) -> str:
    """Return the name of what keeps the template of an image, empty where nothing does."""
    return next(filter(None, (text_at(image, kind.word) for kind in KEPT_AS.values())), "")


def _image(revision: Revision, site: Site) -> Object:
    return {_word(site): revision.name, "images": revision.images}
