"""Earlier pod templates of a workload: the ReplicaSets of a Deployment, the ControllerRevisions of the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from responder.domain.kubernetes import KINDS, Kind
from responder.domain.reconcilers import Object, at, text_at

Json = dict[str, JsonValue]

NUMBER: Final = "deployment.kubernetes.io/revision"
"""The annotation by which the controller of Deployments numbers ReplicaSets."""
_HASH: Final = "pod-template-hash"
_HISTORY: Final = Kind("controllerrevision", "ControllerRevision", "controllerrevisions", "apps")
KEPT_AS: Final[Mapping[str, Kind]] = {
    "daemonset": _HISTORY,
    "deployment": KINDS["replicaset"],
    "statefulset": _HISTORY,
}
"""By the kind of a workload: as what its earlier templates are kept."""


SILENT: Final = frozenset({"annotations", "value"})
"""Fields whose values may be anything, credentials too: that they have changed is told, not what they are.

Arguments and commands are lists without names, of which nothing else is told anyway.
"""


@dataclass(frozen=True, slots=True)
class Revision:
    """A pod template that a workload has or had; ``kept`` is the object that keeps it."""

    name: str
    number: int
    template: Json
    kept: Object

    @property
    def images(self) -> Json:
        """The image of each container."""
        found = at(self.template, "spec", "containers")
        return {text_at(one, "name"): text_at(one, "image") for one in (found if isinstance(found, list) else ())}


def revisions(workload: Object, kept: Iterable[Object]) -> list[Revision]:
    """Return the revisions of a workload among ``kept``, the latest first."""
    uid = at(workload, "metadata", "uid")
    found = [_revision(one) for one in kept if uid in [at(by, "uid") for by in _owners(one)]]
    return sorted(found, key=lambda one: -one.number)


def current(workload: Object, found: Sequence[Revision]) -> Revision | None:
    """Return the revision that has the template of the workload, None until its controller has made it."""
    wanted = template_of(workload)
    return next((one for one in found if one.template == wanted), None)


def previous(now: Revision, found: Sequence[Revision], number: int | None = None) -> Revision | None:
    """Return the revision before ``now``, or the one with a number."""
    if number is not None:
        return next((one for one in found if one.number == number and one is not now), None)
    return max((one for one in found if one.number < now.number), key=lambda one: one.number, default=None)


def template_of(workload: Object) -> Json:
    """Return the pod template, without the hash that a controller adds and what is written as nothing."""
    return _plain(at(workload, "spec", "template"))


def difference(now: JsonValue, goal: JsonValue) -> JsonValue:
    """Return the merge patch (RFC 7386) that makes ``goal`` of ``now``."""
    if not isinstance(now, dict) or not isinstance(goal, dict):
        return goal
    gone: Json = {name: None for name in now if name not in goal}
    return gone | {name: difference(now.get(name), value) for name, value in goal.items() if now.get(name) != value}


def changes(before: JsonValue, now: JsonValue, path: str = "", *, silent: bool = False) -> Iterator[str]:
    """Go through the fields that differ: ``spec.containers[c].image: shop:1 → shop:2``.

    Members of lists are told apart by their names. Values are shown where they are plain and nobody keeps secrets.
    """
    if before == now:
        return
    old, new = _members(before), _members(now)
    if old is not None and new is not None:
        for name in dict.fromkeys((*old, *new)):
            inner = f"{path}[{name}]" if isinstance(now, list) else f"{path}.{name}".removeprefix(".")
            yield from changes(old.get(name), new.get(name), inner, silent=silent or name in SILENT)
    elif silent or not (_shown(before) and _shown(now)):
        yield f"{path}: {'added' if before is None else 'removed' if now is None else 'changed'}"
    else:
        yield f"{path}: {_told(before)} → {_told(now)}"


def _members(value: JsonValue) -> Json | None:
    """Return the members of a mapping, or of a list whose members have names."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value:
        named = {text_at(one, "name"): one for one in value}
        return named if "" not in named and len(named) == len(value) else None
    return None


def _shown(value: JsonValue) -> bool:
    return not isinstance(value, dict | list)


def _told(value: JsonValue) -> str:
    return "none" if value is None else str(value)


def _revision(kept: Object) -> Revision:
    name = text_at(kept, "metadata", "name")
    if "data" not in kept:
        text = text_at(kept, "metadata", "annotations", NUMBER)
        return Revision(name, int(text) if text.isascii() and text.isdigit() else 0, template_of(kept), kept)
    number = kept.get("revision")
    template = _plain(at(kept, "data", "spec", "template"))
    template.pop("$patch", None)  # it is kept as the strategic merge patch that brings it back
    return Revision(name, number if isinstance(number, int) else 0, template, kept)


def _plain(template: JsonValue) -> Json:
    plain = cast("Json", _full(template or {}))
    metadata: Json = {name: value for name, value in cast("Json", plain.get("metadata") or {}).items() if value}
    labels = metadata.get("labels")
    if isinstance(labels, dict):
        metadata["labels"] = {name: value for name, value in labels.items() if name != _HASH}
    return {**plain, "metadata": metadata}


def _full(value: JsonValue) -> JsonValue:
    """Return ``value`` without nulls: some versions of the API write times that were never set as null."""
    if isinstance(value, dict):
        return {name: _full(one) for name, one in value.items() if one is not None}
    return [_full(one) for one in value] if isinstance(value, list) else value


def _owners(obj: Object) -> list[JsonValue]:
    found = at(obj, "metadata", "ownerReferences")
    return found if isinstance(found, list) else []
