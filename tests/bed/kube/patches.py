"""The patch types: JSON merge patch (RFC 7396), JSON patch (RFC 6902), strategic merge patch."""

import copy

from tests.bed.kube.errors import bad_request, unprocessable
from tests.bed.kube.kinds import Json
from tests.bed.web import JsonObject

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_MERGE_KEYS = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "secrets": "name",
    "taints": "key",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""``patchMergeKey`` of the built-in types; ``ports`` has two, see `_merge_key`. Other lists are replaced."""

_PRIMITIVE = {"finalizers"}
"""Lists of plain values that a strategic patch adds to."""


def merge(target: Json, patch: Json) -> Json:
    """Return `target` with a merge patch applied: null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: Json, operations: Json) -> Json:
    """Return `target` with a list of operations applied; any that fails refuses them all."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    result = copy.deepcopy(target)
    for operation in operations:
        try:
            result = _operate(result, operation)
        except (KeyError, IndexError, ValueError, TypeError):
            raise unprocessable() from None
    return result


def _operate(document: Json, operation: JsonObject) -> Json:
    op, path = operation["op"], _pointer(operation["path"])
    if op == "test":
        if _at(document, path) != operation.get("value"):
            raise ValueError(op)
    elif op == "remove":
        _remove(document, path)
    elif op in {"add", "replace"}:
        if op == "replace":
            _at(document, path)
        return _set(document, path, copy.deepcopy(operation["value"]), insert=op == "add")
    elif op in {"copy", "move"}:
        source = _pointer(operation["from"])
        value = copy.deepcopy(_at(document, source))
        if op == "move":
            _remove(document, source)
        return _set(document, path, value, insert=True)
    else:
        raise ValueError(op)
    return document


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(holder: list[Json], part: str) -> int:
    if not part.isdigit() or (part != "0" and part.startswith("0")):
        raise ValueError(part)
    return int(part)


def _at(document: Json, path: list[str]) -> Json:
    for part in path:
        document = document[_index(document, part)] if isinstance(document, list) else document[part]
    return document


def _remove(document: Json, path: list[str]) -> None:
    holder = _at(document, path[:-1])
    del holder[_index(holder, path[-1]) if isinstance(holder, list) else path[-1]]


def _set(document: Json, path: list[str], value: Json, *, insert: bool) -> Json:
    if not path:
        return value
    holder, last = _at(document, path[:-1]), path[-1]
    if isinstance(holder, list):
        place = len(holder) if last == "-" else _index(holder, last)
        if place > len(holder):
            raise IndexError(last)
        holder[place : place if insert else place + 1] = [value]
    elif isinstance(holder, dict):
        holder[last] = value
    else:
        raise TypeError(last)
    return document


def strategic(target: Json, patch: Json) -> Json:
    """Return `target` with a strategic merge patch applied: lists of named things are merged by their key."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    how = patch.get("$patch")
    if how == "delete":
        return {}
    wanted = {key: value for key, value in patch.items() if not key.startswith("$")}
    if how == "replace" or not isinstance(target, dict):
        return _plain(wanted)
    result = dict(target)
    for key in patch.get("$retainKeys", ()) and [k for k in target if k not in patch["$retainKeys"]]:
        del result[key]
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.split("/", 1)[1]
            result[field] = [one for one in result.get(field, []) if one not in value]
    for key, value in wanted.items():
        if value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _merge_list(key, result.get(key), value)
        else:
            result[key] = strategic(result.get(key), value)
    return result


def _merge_list(field: str, present: Json, patch: list[Json]) -> Json:
    if field in _PRIMITIVE:
        kept = list(present or [])
        return kept + [one for one in patch if one not in kept]
    key = _merge_key(field, patch, present)
    if not key:
        return _plain(patch)
    if {"$patch": "replace"} in patch:
        return [_plain(one) for one in patch if "$patch" not in one]
    result = list(present or [])
    for one in patch:
        if not isinstance(one, dict) or key not in one:
            raise bad_request(f"map: {one} does not contain declared merge key: {key}")
        same = [index for index, there in enumerate(result) if there.get(key) == one[key]]
        if one.get("$patch") == "delete":
            result = [there for there in result if there.get(key) != one[key]]
        elif same:
            result[same[0]] = strategic(result[same[0]], one)
        else:
            result.append(_plain(one))
    return result


def _merge_key(field: str, patch: list[Json], present: Json) -> str:
    if field == "ports":
        items = [one for one in [*patch, *(present or [])] if isinstance(one, dict)]
        return "containerPort" if any("containerPort" in one for one in items) else "port"
    return _MERGE_KEYS.get(field, "")


def _plain(value: Json) -> Json:
    """Return a patch's own value without directives."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if not key.startswith("$") and one is not None}
    return [_plain(one) for one in value] if isinstance(value, list) else copy.deepcopy(value)
