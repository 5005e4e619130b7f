"""What the actions on Kubernetes objects share: one PATCH that carries the version it was planned from and a marker.

See docs/decisions/0024-a-change-carries-its-record.md for why.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from pydantic import JsonValue

from responder.domain import reconcilers
from responder.domain.errors import Drifted, Moved, Permanent, Reconciled, StepError, Uncertain
from responder.domain.kubernetes import KINDS, MARKER, Kind, Place, place_of
from responder.domain.reconcilers import Keeper, at, text_at
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.tools import Cluster, Object, PatchKind, Tools

ASKING = (
    Permission("argoproj.io", "applications", ("list",)),
    Permission("kustomize.toolkit.fluxcd.io", "kustomizations", ("get",)),
    Permission("helm.toolkit.fluxcd.io", "helmreleases", ("get",)),
)
"""What it takes to ask who else keeps an object as it is; missing, the unsure answer counts."""

UNDO_SENDS = 5
"""How often an undo is sent at once, as long as the API answers that the object has changed; then the engine waits."""


@dataclass(frozen=True, slots=True)
class Site:
    """An object as a target, and the cluster that has it."""

    place: Place
    cluster: Cluster

    async def of_kind(self, kind: Kind, labels: str = "") -> tuple[Object, ...]:
        """Return the objects of a kind in the same namespace."""
        return await self.cluster.list(kind.path(self.place.namespace), labels)


class KubernetesAction(Action):
    """Base: reads the owned fields of one object, changes them in one PATCH, and puts them back in another.

    ``field`` is the path of what others might keep as it is; empty: nobody is asked, for what is added beside what
    they apply is left alone by them.
    """

    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "precondition"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    field: ClassVar[tuple[str, ...]] = ()
    how: ClassVar[PatchKind] = "merge"

    @abstractmethod
    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return the owned fields of ``obj``; raises StepError where they cannot be told."""

    @abstractmethod
    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return the patch that makes the owned fields of ``obj`` those of ``image``, and nothing else."""

    def same(self, one: JsonValue, other: JsonValue) -> bool:
        """Whether two images are of the same owned fields."""
        return one == other

    async def path(self, site: Site) -> str:
        """Return where the object is that is changed: the target itself, unless it is found by it."""
        return site.place.path

    def site(self, target: str, tools: Tools) -> Site:
        """Return the object that is changed; raises Permanent for a target of another kind."""
        try:
            place = place_of(target)
        except ValueError as error:
            raise Permanent(f"{self.name}: {error}") from error
        if place.kind.word not in self.kinds:
            raise Permanent(f"{self.name} works on {', '.join(self.kinds)}, and the target is {target}")
        return Site(place, tools.cluster(place.cluster))

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the owned fields, ask who else keeps them, and let the server say what it would refuse."""
        site = self.site(target, tools)
        obj = await site.cluster.get(await self.path(site))
        image = await self.owned(obj, site)
        note = await self._keepers(site, obj)
        await self._rehearse(site, obj, image)
        return Snapshot(image, fence_of(obj), note)

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Send the planned fields once, under the version that they were planned from."""
        site = self.site(target, tools)
        obj = await site.cluster.get(await self.path(site))
        if fence_of(obj) != record.fence:
            raise Moved(f"{site.place} has changed since the plan was made")
        return await self._send(site, obj, record.planned, record.key("do"))

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Go by the marker; without it, by whether the version lets a send still land.

        A marker over other values than ours is somebody's edit of what landed: nobody may take that for ours.
        """
        site = self.site(target, tools)
        obj = await site.cluster.find(await self.path(site))
        if obj is None or not same_object(obj, record.fence):
            return Landed.UNKNOWN
        if direction == "do" and fence_of(obj) == record.fence:
            return Landed.NO
        marker = text_at(obj, "metadata", "annotations", MARKER)
        image = await self.owned(obj, site)
        if direction == "do":
            return self._done(record, marker == record.key("do"), image)
        if self.same(image, record.before):
            return Landed.YES
        return Landed.NO if self.same(image, left_by(record)) else Landed.UNKNOWN

    def _done(self, record: Record, marked: bool, image: JsonValue) -> Landed:  # noqa: FBT001 - what was found
        """Judge an object that has another version than the plan was made from."""
        if marked:
            return Landed.YES if self.effect == "event" or self.same(image, left_by(record)) else Landed.UNKNOWN
        return Landed.NEVER if self.same(image, record.before) else Landed.UNKNOWN

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Put the owned fields back, unless somebody else has changed them since.

        A controller that writes its status into the object between the look and the send makes the send refused: then
        it is looked at anew, a few times, and each time judged by what we own.
        """
        for left in reversed(range(UNDO_SENDS)):
            try:
                await self._undo_once(target, record, tools)
            except Moved:
                if not left:
                    raise
            else:
                return

    async def _undo_once(self, target: str, record: Record, tools: Tools) -> None:
        site = self.site(target, tools)
        obj = await site.cluster.find(await self.path(site))
        if obj is None or not same_object(obj, record.fence):
            raise Drifted(f"{site.place} is another one now, or gone")
        image = await self.owned(obj, site)
        if self.same(image, record.before):
            return
        if not self.same(image, left_by(record)):
            raise Drifted(f"{site.place} has changed since: {image} instead of {left_by(record)}")
        now = await self._send(site, obj, record.before, record.key("undo"))
        if not self.same(now, record.before):
            raise Uncertain(f"the undo was sent, and {site.place} has {now} instead of {record.before}")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say whether the owned fields differ from what this record left there."""
        site = self.site(target, tools)
        obj = await site.cluster.find(await self.path(site))
        if obj is None or not same_object(obj, record.fence):
            return True
        return not self.same(await self.owned(obj, site), left_by(record))

    async def _send(self, site: Site, obj: Object, image: JsonValue, key: str) -> JsonValue:
        patch = stamped(await self.wanted(image, obj, site), obj, key)
        now = await site.cluster.patch(await self.path(site), patch, self.how)
        try:
            return await self.owned(now, site)
        except StepError as error:
            raise Uncertain(f"{site.place} was changed, and cannot be looked at: {error}") from error

    async def _rehearse(self, site: Site, obj: Object, image: JsonValue) -> None:
        """Let the server go through the change without keeping it: it says what it would refuse."""
        try:
            planned = self.change(image)
        except ValueError:
            return  # the engine asks again, and says so
        if self.effect == "state" and planned == image:
            return
        await site.cluster.patch(await self.path(site), await self.wanted(planned, obj, site), self.how, dry_run=True)

    async def _keepers(self, site: Site, obj: Object) -> str:
        """Return who else has a say in what is changed; raises Reconciled for one that would undo it."""
        policy = site.cluster.reconcilers
        if policy == "allow" or not self.contested():
            return ""
        found = await self.keepers(site, obj)
        healing = [keeper for keeper in found if keeper.heals]
        if healing and policy == "refuse":
            raise Reconciled(f"{site.place}: {'; '.join(map(str, healing))} (policy: kubernetes.reconcilers)")
        return "; ".join([*map(str, found), *self._set_by(obj)])

    def contested(self) -> tuple[tuple[str, ...], ...]:
        """Return the paths of what others might keep as it is."""
        return (self.field,) if self.field else ()

    def _set_by(self, obj: Object) -> Iterator[str]:
        for path in self.contested():
            hands = sorted(set(reconcilers.setters(obj, path)))
            if hands:
                yield f"{'.'.join(path)} was last set by {', '.join(hands)}"

    async def keepers(self, site: Site, obj: Object) -> list[Keeper]:
        """Return what applies the object besides us."""
        found: list[Keeper | None] = []
        argo = reconcilers.argo_application(obj)
        if argo is not None:
            name, certain = argo
            found.append(reconcilers.argo_keeper(name, await _application(site.cluster, name), certain=certain))
        flux = reconcilers.flux_applier(obj)
        if flux is not None:
            path = reconcilers.flux_path(flux)
            found.append(reconcilers.flux_keeper(flux, await _found_if_allowed(site.cluster, path), obj))
        return [keeper for keeper in found if keeper is not None]


class FieldsAction(KubernetesAction):
    """Base of actions that own plain fields: ``owns`` says where each is, ``absent`` what it means when it is not."""

    owns: ClassVar[Mapping[str, tuple[str, ...]]]
    absent: ClassVar[Mapping[str, JsonValue]] = {}

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return the fields by their short names."""
        values = {name: at(obj, *path) for name, path in self.owns.items()}
        return {name: self.absent.get(name) if value is None else value for name, value in values.items()}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch of these fields only."""
        patch: Object = {}
        for name, path in self.owns.items():
            put(patch, path, at(image, name))
        return patch


def put(document: Object, path: tuple[str, ...], value: JsonValue) -> None:
    """Set what lies at ``path``, making the mappings on the way there."""
    *outer, last = path
    for name in outer:
        document = cast("Object", document.setdefault(name, {}))
    document[last] = value


def stamped(patch: Object, obj: Object, key: str) -> Object:
    """Return ``patch`` with the precondition and the marker: both or neither come true with it."""
    metadata = cast("Object", patch.get("metadata") or {})
    annotations = cast("Object", metadata.get("annotations") or {})
    fence = {name: at(obj, "metadata", name) for name in ("uid", "resourceVersion")}
    return {**patch, "metadata": {**metadata, **fence, "annotations": {**annotations, MARKER: key}}}


def fence_of(obj: Object) -> str:
    """Return which object it is and at which version."""
    return f"{text_at(obj, 'metadata', 'uid')}/{text_at(obj, 'metadata', 'resourceVersion')}"


def same_object(obj: Object, fence: str) -> bool:
    """Whether it is the one that a fence was taken of, and not one of the same name."""
    return text_at(obj, "metadata", "uid") == fence.partition("/")[0]


def left_by(record: Record) -> JsonValue:
    """Return what a record's effect left there, as far as it is known."""
    return record.observed if record.observed is not None else record.planned


def patching(*words: str) -> tuple[Permission, ...]:
    """Return the rights to read and patch objects of these kinds."""
    kinds = [KINDS[word] for word in words]
    return tuple(Permission(kind.group, kind.plural, ("get", "patch")) for kind in kinds)


def permissions(*words: str) -> tuple[Permission, ...]:
    """Return the rights to read and patch objects of these kinds, and to ask who keeps them."""
    return (*patching(*words), *ASKING)


async def _application(cluster: Cluster, name: str) -> Object | None:
    try:
        found = await cluster.list(reconcilers.ARGO_APPLICATIONS, fields=f"metadata.name={name}")
    except Permanent:
        return None  # no Argo CD here, or no right to look: who keeps the object is not known
    return found[0] if len(found) == 1 else None


async def _found_if_allowed(cluster: Cluster, path: str) -> Object | None:
    try:
        return await cluster.find(path)
    except Permanent:
        return None
