"""Who owns which field: ``metadata.managedFields``, kept as the API server keeps it.

A field set is a set of paths; a path is a tuple of FieldsV1 elements (``f:spec``, ``k:{"name":"c"}``, ``v:"x"``).
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bed.kube.errors import fieldmanager_conflict
from tests.bed.kube.kinds import Json, Kind
from tests.bed.web import JsonObject

Path = tuple[str, ...]
_KEYS = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""``x-kubernetes-list-map-keys`` of the built-in types; every other list is atomic, but for `_SETS` and ``ports``."""

_SETS = {"finalizers"}
_ATOMIC = {
    "configMapKeyRef",
    "fieldRef",
    "involvedObject",
    "nodeSelector",
    "resourceFieldRef",
    "roleRef",
    "secretKeyRef",
    "selector",
}
"""Maps and structs that are owned as a whole."""

_SYSTEM = {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "uid",
        )
    ),
}
"""What nobody owns."""

_PODS: JsonObject = {"metadata": {}, "spec": {"containers": []}}
_WORKLOAD: JsonObject = {
    "metadata": {},
    "spec": {"strategy": {}, "updateStrategy": {}, "template": _PODS},
    "status": {},
}
_EMPTY: dict[str, JsonObject] = {
    "Pod": {**_PODS, "status": {}},
    "Deployment": _WORKLOAD,
    "StatefulSet": _WORKLOAD,
    "DaemonSet": _WORKLOAD,
    "ReplicaSet": _WORKLOAD,
    "Job": _WORKLOAD,
    "CronJob": {"metadata": {}, "spec": {"jobTemplate": {"metadata": {}, "spec": {"template": _PODS}}}, "status": {}},
    "HorizontalPodAutoscaler": {"metadata": {}, "spec": {"scaleTargetRef": {}}, "status": {}},
    "Service": {"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}},
}
"""The structs that an object without any content has: their fields are owned one by one, they themselves are not."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A manager in one of its roles; `operation` is ``Update`` or ``Apply``."""

    manager: str
    operation: str = "Update"
    subresource: str = ""


def written(kind: Kind, before: JsonObject | None, after: JsonObject, owner: Owner, time: str) -> None:
    """Record in `after` that `owner` changed it from `before`: what it changed is its own now and nobody else's."""
    blank = _EMPTY.get(kind.kind, {"metadata": {}, "spec": {}, "status": {}}) if not kind.custom else {"metadata": {}}
    seen = after
    if before is None and "status" in kind.subresources:  # the server sets the first status, and nobody owns it
        seen = {key: one for key, one in after.items() if key != "status"}
        blank = {key: one for key, one in blank.items() if key != "status"}
    changed, removed = compare(before if before is not None else blank, seen)
    managed = _entries(before)
    for other, paths in managed.items():
        managed[other] = paths - removed - (changed if other != owner else set())
    managed[owner] = managed.get(owner, set()) | changed
    _store(before, after, managed, time, owner if changed or removed else None)


def applied(kind: Kind, live: JsonObject | None, config: JsonObject, owner: Owner, *, force: bool) -> JsonObject:
    """Return the object that applying `config` makes of `live`; raise 409 for fields that others own.

    The result still carries the owners of `live`: see `applied_fields`.
    """
    wanted = _own(config)
    merged: JsonObject = _merge(live or {}, config)
    changed, _ = compare(live or {}, merged)
    managed = _entries(live)
    conflicts = [
        (_who(kind, other), _shown(path))
        for other, paths in managed.items()
        if other != owner
        for path in sorted(paths & changed & wanted)
    ]
    if conflicts and not force:
        raise fieldmanager_conflict(conflicts)
    dropped = managed.get(owner, set()) - wanted
    others = set().union(*(paths for other, paths in managed.items() if other != owner))
    for path in sorted(dropped - others, key=len, reverse=True):
        if not any(one[: len(path)] == path for one in wanted | others):
            _delete(merged, path)
    return merged


def applied_fields(live: JsonObject | None, config: JsonObject, after: JsonObject, owner: Owner, time: str) -> None:
    """Record in `after` that `owner` applied `config`."""
    wanted = _own(config)
    changed, removed = compare(live or {}, after)
    managed = _entries(live)
    for other, paths in managed.items():
        managed[other] = paths - removed - ((changed & wanted) if other != owner else set())
    fresh = managed.get(owner) != wanted
    managed[owner] = wanted
    _store(live, after, managed, time, owner if fresh else None)


def compare(old: Json, new: Json) -> tuple[set[Path], set[Path]]:
    """Return the paths that are new or differ, and those that are gone, without what nobody owns."""
    changed: set[Path] = set()
    removed: set[Path] = set()
    _walk(old, new, (), changed, removed)
    return changed - _SYSTEM, removed - _SYSTEM


def _walk(old: Json, new: Json, path: Path, changed: set[Path], removed: set[Path]) -> None:
    before, after = _children(path, old), _children(path, new)
    if before is None or after is None:
        if old != new:
            changed.add(path)
            removed.update(set(_nodes(old, path)) - {path})
            changed.update(_nodes(new, path))
        return
    for key in {**before, **after}:
        here = (*path, key)
        if here in _SYSTEM and here != ("f:metadata",):
            continue
        if key not in after:
            removed.update(_nodes(before[key], here))
        elif key not in before:
            changed.update(_nodes(after[key], here))
        else:
            _walk(before[key], after[key], here, changed, removed)


def _children(path: Path, value: Json) -> dict[str, Json] | None:
    """Return {element: value} of what is owned piece by piece; None for what is owned as a whole."""
    name = path[-1][2:] if path and path[-1].startswith("f:") else ""
    if path[-2:-1] == ("f:ownerReferences",):
        return None
    if isinstance(value, dict):
        return None if name in _ATOMIC else {f"f:{key}": one for key, one in value.items()}
    if isinstance(value, list):
        return _list_children(name, value)
    return None


def _list_children(name: str, value: list[Json]) -> dict[str, Json] | None:
    if name in _SETS:
        return {f"v:{json.dumps(one)}": one for one in value}
    keys = _KEYS.get(name, ())
    if name == "ports" and all(isinstance(one, dict) for one in value):
        keys = ("containerPort", "protocol") if any("containerPort" in one for one in value) else ("port", "protocol")
    if not keys or not all(isinstance(one, dict) and keys[0] in one for one in value):
        return None if value or not keys else {}
    return {_key(one, keys): one for one in value}


def _key(item: JsonObject, keys: tuple[str, ...]) -> str:
    named = {key: item.get(key, "TCP" if key == "protocol" else "") for key in sorted(keys)}
    return f"k:{json.dumps(named, separators=(',', ':'))}"


def _nodes(value: Json, path: Path) -> Iterator[Path]:
    yield path
    for key, one in (_children(path, value) or {}).items():
        yield from _nodes(one, (*path, key))


def _own(config: JsonObject) -> set[Path]:
    """Return what whoever applies `config` owns: leaves, and the items of lists; not the structs on the way."""

    def collect(value: Json, path: Path) -> Iterator[Path]:
        children = _children(path, value)
        if not children or (path and path[-1].startswith(("k:", "v:"))):
            yield path
        for key, one in (children or {}).items():
            yield from collect(one, (*path, key))

    return {path for path in collect(config, ()) if path and path not in _SYSTEM}


def _merge(live: Json, config: Json, path: Path = ()) -> Json:
    theirs, ours = _children(path, live), _children(path, config)
    if theirs is None or ours is None:
        return copy.deepcopy(config)
    merged = {key: _merge(theirs[key], ours[key], (*path, key)) if key in ours else theirs[key] for key in theirs}
    merged |= {key: copy.deepcopy(one) for key, one in ours.items() if key not in theirs}
    if isinstance(config, dict):
        return {key[2:]: one for key, one in merged.items()}
    return list(merged.values())


def _delete(obj: Json, path: Path) -> None:
    """Remove what is at `path`, if it is there."""
    holder = obj
    for depth, element in enumerate(path):
        children = _children(path[:depth], holder) or {}
        if element not in children:
            return
        if depth == len(path) - 1:
            if isinstance(holder, dict):
                del holder[element[2:]]
            else:
                holder.remove(children[element])
            return
        holder = children[element]


def _entries(obj: JsonObject | None) -> dict[Owner, set[Path]]:
    """Return the owners of `obj` and what each owns."""
    found = {}
    for entry in (obj or {}).get("metadata", {}).get("managedFields", ()):
        owner = Owner(entry["manager"], entry["operation"], entry.get("subresource", ""))
        found[owner] = set(_paths(entry["fieldsV1"], ()))
    return found


def _paths(tree: JsonObject, path: Path) -> Iterator[Path]:
    for key, one in tree.items():
        if key == ".":
            yield path
        elif one:
            yield from _paths(one, (*path, key))
        else:
            yield (*path, key)


def _tree(paths: set[Path]) -> JsonObject:
    tree: JsonObject = {}
    for path in sorted(paths):
        here = tree
        for element in path:
            here = here.setdefault(element, {})
    for path in paths:
        here = tree
        for element in path:
            here = here[element]
        if here and "." not in here:
            rest = dict(here)
            here.clear()
            here.update({".": {}, **rest})
    return tree


def _store(
    before: JsonObject | None,
    after: JsonObject,
    managed: dict[Owner, set[Path]],
    time: str,
    who: Owner | None,
) -> None:
    times = {
        Owner(entry["manager"], entry["operation"], entry.get("subresource", "")): entry.get("time", "")
        for entry in (before or {}).get("metadata", {}).get("managedFields", ())
    }
    if who is not None:
        times[who] = "" if who.subresource == "scale" else time  # the scale handlers record no time
    entries = []
    for owner, paths in managed.items():
        if paths:
            entries.append(_entry(after["apiVersion"], owner, paths, times.get(owner, time)))
    entries.sort(key=lambda entry: (entry["operation"], entry.get("time", ""), entry["manager"]))
    after["metadata"].pop("managedFields", None)
    if entries:
        after["metadata"]["managedFields"] = entries


def _entry(version: str, owner: Owner, paths: set[Path], time: str) -> JsonObject:
    entry: JsonObject = {"manager": owner.manager, "operation": owner.operation, "apiVersion": version}
    if time:
        entry["time"] = time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": _tree(paths)}
    if owner.subresource:
        entry["subresource"] = owner.subresource
    return entry


def _who(kind: Kind, owner: Owner) -> str:
    inside = f' with subresource "{owner.subresource}"' if owner.subresource else ""
    return f'"{owner.manager}"{inside} using {kind.api_version}'


def _shown(path: Path) -> str:
    """Return a path as messages show it: ``.spec.template.spec.containers[name="c"].image``."""
    shown = ""
    for element in path:
        if element.startswith("k:"):
            shown += "[" + ",".join(f"{key}={json.dumps(one)}" for key, one in json.loads(element[2:]).items()) + "]"
        elif element.startswith("v:"):
            shown += f"[={element[2:]}]"
        else:
            shown += f".{element[2:]}"
    return shown
