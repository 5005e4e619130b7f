"""ResourceQuota: what a namespace may hold; creating beyond it answers 403."""

import re
from collections import defaultdict

from tests.bed.kube.errors import forbidden
from tests.bed.kube.kinds import KINDS, Kind
from tests.bed.kube.store import Store
from tests.bed.web import JsonObject

_UNITS = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([a-zA-Z]*)")


def amount(quantity: str | float) -> float:
    """Return a quantity ("250m", "1Gi", 2) as a number."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    return float(match[1]) * _UNITS.get(match[2], 1.0)


def charge(store: Store, kind: Kind, obj: JsonObject) -> None:
    """Raise 403 when creating `obj` would exceed a quota of its namespace."""
    namespace = obj["metadata"].get("namespace", "")
    wanted = _usage(kind, obj)
    for limit in store.every("ResourceQuota", namespace) if namespace else ():
        hard = limit.get("spec", {}).get("hard", {})
        counted = used(store, namespace, hard)
        over = sorted(key for key in wanted.keys() & hard.keys() if counted[key] + wanted[key] > amount(hard[key]))
        if over:
            shown = [
                ",".join(f"{key}={_plain(one)}" for key, one in pairs)
                for pairs in (
                    [(key, wanted[key]) for key in over],
                    [(key, counted[key]) for key in over],
                    [(key, amount(hard[key])) for key in over],
                )
            ]
            name = limit["metadata"]["name"]
            why = f"exceeded quota: {name}, requested: {shown[0]}, used: {shown[1]}, limited: {shown[2]}"
            raise forbidden(kind, obj["metadata"]["name"], why)


def used(store: Store, namespace: str, hard: JsonObject) -> dict[str, float]:
    """Return how much of each quantity in `hard` a namespace uses."""
    total: dict[str, float] = defaultdict(float)
    for kind in KINDS:
        if not kind.namespaced:
            continue
        for obj in store.every(kind, namespace):
            for key, one in _usage(kind, obj).items():
                if key in hard:
                    total[key] += one
    return total


def _usage(kind: Kind, obj: JsonObject) -> dict[str, float]:
    usage: dict[str, float] = defaultdict(float, {f"count/{kind.resource}": 1})
    if kind.group == "":
        usage[kind.plural] += 1
    if kind.kind == "Pod" and obj.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
        for container in obj["spec"].get("containers", ()):
            resources = container.get("resources", {})
            for group in ("requests", "limits"):
                for name, quantity in resources.get(group, {}).items():
                    usage[f"{group}.{name}"] += amount(quantity)
    elif kind.kind == "Pod":
        usage["pods"] = 0
    return usage


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{round(number * 1000)}m"
