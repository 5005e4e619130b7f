"""Conditions: the list of findings in a status, kept with its times."""

from typing import NamedTuple

from tests.bed.kube.store import Clock
from tests.bed.web import JsonObject


class Finding(NamedTuple):
    """What a condition says."""

    kind: str
    value: str
    reason: str
    message: str


def condition(status: JsonObject, kind: str) -> JsonObject | None:
    """Return a condition or None."""
    found: JsonObject | None = next((one for one in status.get("conditions", ()) if one["type"] == kind), None)
    return found


def holds(status: JsonObject, kind: str) -> bool:
    """Whether a condition is there and True."""
    return (condition(status, kind) or {}).get("status") == "True"


def set_condition(
    status: JsonObject, clock: Clock, finding: Finding, *, updates: bool = False, anew: bool = False
) -> None:
    """Set a condition in `status`.

    The time of transition changes with its value alone. With `updates` (deployments) it has a time of update, too:
    that changes with value or reason, and with `anew` always.
    """
    kind, value, reason, message = finding
    now, before = clock.stamp(), condition(status, kind)
    same = before is not None and (before["status"], before.get("reason")) == (value, reason)
    if same and not anew and before is not None and before.get("message") == message:
        return
    moved = now if before is None or before["status"] != value else before["lastTransitionTime"]
    fresh: JsonObject = {"type": kind, "status": value}
    if updates:
        fresh["lastUpdateTime"] = now
    fresh |= {"lastTransitionTime": moved, "reason": reason, "message": message}
    status["conditions"] = [one for one in status.get("conditions", ()) if one["type"] != kind] + [fresh]
