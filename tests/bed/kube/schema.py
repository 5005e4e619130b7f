"""Which fields the built-in kinds have, as the models of the client library list them."""

import functools
import re

from tests.bed.kube.errors import bad_request
from tests.bed.kube.kinds import Json, Kind
from tests.bed.web import JsonObject

_QUANTITY_MAPS = {"allocatable", "capacity", "hard", "limits", "requests", "used"}
_QUANTITY_FIELDS = {"averageValue", "divisor", "sizeLimit"}
"""What holds quantities, which may be written as numbers."""

_QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")

_NUMBER_OR_TEXT = {"maxSurge", "maxUnavailable", "minAvailable", "port", "targetPort"}
"""Fields of the type IntOrString, where the model allows anything."""

_FREE = {"object", "datetime", "date"}
"""Anything goes: ints or strings, JSON of somebody else's, times (which nobody here writes by hand)."""

_WANTED: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}
_GO = {"int": "int32", "float": "float64", "bool": "bool", "str": "string"}


@functools.cache
def _fields(model: str) -> dict[str, str]:
    """Return {field as in JSON: its type} of a model; importing the models takes most of a second, once."""
    from kubernetes_asyncio.client import models

    found = getattr(models, model)
    return {found.attribute_map[python]: kind for python, kind in found.openapi_types.items()}


def has_field(kind: Kind, name: str) -> bool:
    """Return whether a built-in kind has a field."""
    return name in _fields(kind.model)


def decode(kind: Kind, body: JsonObject) -> tuple[JsonObject, list[str]]:
    """Return `body` without nulls and unknown fields, and the paths of the unknown ones.

    A value of a wrong type is refused with 400, as the server does. Custom kinds keep every field.
    """
    if kind.custom:
        return _without_nulls(body), []
    unknown: list[str] = []
    return _object(kind, kind.model, body, "", unknown), unknown


def _object(kind: Kind, model: str, value: Json, path: str, unknown: list[str]) -> JsonObject:
    if not isinstance(value, dict):
        raise _mismatch(kind, value, model, path)
    fields, result = _fields(model), {}
    for key, one in value.items():
        here = f"{path}.{key}" if path else key
        if key not in fields:
            unknown.append(here)
        elif one is not None:
            wanted = "quantity" if key in _QUANTITY_FIELDS and fields[key] == "str" else fields[key]
            result[key] = _value(kind, wanted, one, here, unknown)
    return result


def _value(kind: Kind, wanted: str, value: Json, path: str, unknown: list[str]) -> Json:
    if wanted in _FREE:
        if path.rsplit(".", 1)[-1] in _NUMBER_OR_TEXT and not isinstance(value, int | str):
            raise _mismatch(kind, value, "intstr.IntOrString", path)
        return value
    if wanted.startswith("list["):
        if not isinstance(value, list):
            raise _mismatch(kind, value, "[]" + wanted[5:-1], path)
        return [_value(kind, wanted[5:-1], one, f"{path}[{index}]", unknown) for index, one in enumerate(value)]
    if wanted.startswith("dict("):
        if not isinstance(value, dict):
            raise _mismatch(kind, value, "map", path)
        inner = wanted[5:-1].split(", ", 1)[1]
        if path.rsplit(".", 1)[-1] in _QUANTITY_MAPS:
            inner = "quantity"
        return {
            key: _value(kind, inner, one, f"{path}.{key}", unknown) for key, one in value.items() if one is not None
        }
    if wanted == "quantity":
        return _quantity(kind, value, path)
    if wanted in _WANTED:
        return _scalar(kind, wanted, value, path)
    return _object(kind, wanted, value, path, unknown)


def _quantity(kind: Kind, value: Json, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not _QUANTITY.fullmatch(str(value)):
        raise _mismatch(kind, value, "resource.Quantity", path)
    return str(value)


def _scalar(kind: Kind, wanted: str, value: Json, path: str) -> Json:
    fits = isinstance(value, _WANTED[wanted]) and (wanted == "bool" or not isinstance(value, bool))
    if not fits:
        raise _mismatch(kind, value, _GO[wanted], path)
    return value


def _mismatch(kind: Kind, value: Json, wanted: str, path: str) -> Exception:
    names = {bool: "bool", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    said = f"json: cannot unmarshal {names.get(type(value), 'value')} into Go struct field "
    said += f"{kind.kind}.{path} of type {wanted}"
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {said}')


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
