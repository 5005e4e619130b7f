"""``kubernetes.evict_pod`` and ``kubernetes.delete_pod``: one pod away, for its controller to make another."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.actions.kubernetes import KubernetesAction, Site, fence_of
from responder.domain.errors import Moved, Permanent
from responder.domain.kubernetes import KINDS, SYSTEM_NAMESPACE, Place, is_name
from responder.domain.reconcilers import at, text_at
from responder.domain.records import Direction, Record
from responder.domain.selectors import selector
from responder.ports.action import Landed, Permission, Snapshot
from responder.ports.tools import Object, Tools

POD = KINDS["pod"]
_OWNERS = ("daemonset", "deployment", "node", "replicaset", "statefulset")
OWNERS = tuple(Permission(KINDS[word].group, KINDS[word].plural, ("get",)) for word in _OWNERS if word != "node")


class EvictPod(KubernetesAction):
    """Evict a pod, as a drain does: within its disruption budget, and only if something makes another.

    A budget that does not allow it now refuses it; `retries` of the step tries again, ever later. What is gone cannot
    be brought back: the step needs `undo: none`. The target is the pod, or what it belongs to: with `items` found by
    the probe `kubernetes.pods`, each pod of a Deployment or on a node goes in turn.
    """

    name: ClassVar[str] = "kubernetes.evict_pod"
    effect: ClassVar[Literal["state", "event"]] = "event"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    kinds: ClassVar[tuple[str, ...]] = ("pod", *_OWNERS)
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("", "pods", ("get", "list")),
        Permission("", "pods/eviction", ("create",)),
        *OWNERS,
    )
    example: ClassVar[str] = """\
kubernetes.evict_pod: {}
undo: none
retries: 5
"""

    pod: str = Field(
        default="", description="which pod of the target, as NAME or NAMESPACE/NAME; none: the target itself is the pod"
    )
    grace: int | None = Field(default=None, ge=0, le=3600, description="seconds to end in; none: the pod's own")
    alone: bool = Field(default=False, description="also a pod that no controller would make anew")

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return which pod it is and who made it."""
        return {"uid": at(obj, "metadata", "uid"), "made_by": _maker(obj)}

    def change(self, before: JsonValue) -> JsonValue:
        """Return that the pod is gone; raises ValueError for one that would not be made anew."""
        if at(before, "made_by") == "" and not self.alone:
            raise ValueError("no controller would make the pod anew; say alone: true if it is to go all the same")
        return {"uid": None, "made_by": at(before, "made_by")}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return nothing: a pod is not patched."""
        return {}

    def site(self, target: str, tools: Tools) -> Site:
        """Return the pod: the target, or one that belongs to it."""
        site = super().site(target, tools)
        if site.place.kind is POD:
            if self.pod:
                raise Permanent(f"{self.name}: the target {target} is a pod already; leave pod out")
            return site
        namespace, _, name = self.pod.rpartition("/")
        namespace = namespace or site.place.namespace
        if not is_name(namespace) or not is_name(name) or site.place.namespace not in ("", namespace):
            raise Permanent(f"{self.name}: pod: {self.pod!r} is no pod of {target}; write NAME, or NAMESPACE/NAME")
        return Site(Place(site.place.cluster, POD, namespace, name), site.cluster)

    async def _check_owner(self, target: str, tools: Tools, pod: Object) -> None:
        """Refuse a pod that does not belong to the target: locks, limits and protection go by that."""
        owner = super().site(target, tools)
        if owner.place.kind is POD:
            return
        if text_at(pod, "metadata", "namespace") == SYSTEM_NAMESPACE:
            # The target alone is held against `protect`, and here it is not the one that is protected.
            raise Permanent(f"{self.name}: the pod {self.pod} is in {SYSTEM_NAMESPACE}, which is protected")
        if owner.place.kind.word == "node":
            belongs = text_at(pod, "spec", "nodeName") == owner.place.name
        else:
            try:
                chosen = selector(await owner.cluster.get(owner.place.path))
            except ValueError as error:
                raise Permanent(f"{self.name}: {error}") from error
            uids = [at(one, "metadata", "uid") for one in await owner.of_kind(POD, chosen)]
            belongs = at(pod, "metadata", "uid") in uids
        if not belongs:
            raise Permanent(f"{self.name}: the pod {self.pod} does not belong to {target}")

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read which pod it is, and let the server say whether it may go."""
        site = self.site(target, tools)
        obj = await site.cluster.get(site.place.path)
        await self._check_owner(target, tools, obj)
        if going(obj):
            raise Permanent(f"{site.place} is on its way out already")
        image = await self.owned(obj, site)
        await self.remove(site, text_at(obj, "metadata", "uid"), dry_run=True)
        return Snapshot(image, fence_of(obj))

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Send the pod away: exactly that one, not another of the same name."""
        site = self.site(target, tools)
        obj = await site.cluster.find(site.place.path)
        uid = text_at(record.before, "uid")
        if obj is None or going(obj) or text_at(obj, "metadata", "uid") != uid:
            raise Moved(f"{site.place} went by itself meanwhile")
        await self.remove(site, uid)
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Go by the identity: that pod is gone, or on its way out."""
        site = self.site(target, tools)
        obj = await site.cluster.find(site.place.path)
        if obj is None or going(obj) or at(obj, "metadata", "uid") != at(record.before, "uid"):
            return Landed.YES
        return Landed.NO

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: the pod is gone."""
        raise Permanent("a pod that is gone cannot be brought back")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: there is nothing left to drift."""
        return False

    def options(self, uid: str) -> Object:
        """Return the conditions of the removal."""
        grace: Object = {} if self.grace is None else {"gracePeriodSeconds": self.grace}
        return {"preconditions": {"uid": uid}, **grace}

    async def remove(self, site: Site, uid: str, *, dry_run: bool = False) -> None:
        """Ask the server to evict the pod."""
        where = {"name": site.place.name, "namespace": site.place.namespace}
        body: Object = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": dict(where),
            "deleteOptions": {**self.options(uid), **({"dryRun": ["All"]} if dry_run else {})},
        }
        await site.cluster.create(f"{site.place.path}/eviction", body, dry_run=dry_run)


class DeletePod(EvictPod):
    """Delete a pod without asking its disruption budget, for its controller to make another.

    Prefer `kubernetes.evict_pod`. What is gone cannot be brought back: the step needs `undo: none`.
    """

    name: ClassVar[str] = "kubernetes.delete_pod"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("", "pods", ("delete", "get", "list")),
        *OWNERS,
    )
    example: ClassVar[str] = """\
kubernetes.delete_pod: {}
undo: none
"""

    async def remove(self, site: Site, uid: str, *, dry_run: bool = False) -> None:
        """Ask the server to delete the pod."""
        await site.cluster.delete(site.place.path, self.options(uid), dry_run=dry_run)


def going(pod: Object) -> bool:
    """Whether a pod is on its way out."""
    return at(pod, "metadata", "deletionTimestamp") is not None


def _maker(pod: Object) -> str:
    """Return what makes the pod anew when it goes, empty when nothing does."""
    owners = at(pod, "metadata", "ownerReferences")
    for one in owners if isinstance(owners, list) else []:
        if at(one, "controller") is True:
            return f"{text_at(one, 'kind')} {text_at(one, 'name')}"
    return ""
