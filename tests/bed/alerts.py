"""Webhook bodies as Alertmanager 0.33 writes them, from a few words."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Literal

from responder.domain.alerts import fingerprint
from tests.bed.web import JsonObject

STARTS_AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
"""When an alert of the tests begins unless it says otherwise: a Monday noon."""
_STILL_FIRING = "0001-01-01T00:00:00Z"  # what every Alertmanager sends as endsAt of a firing alert
_GENERATOR = "http://prometheus.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"


def alert(
    labels: Mapping[str, str] | None = None,
    *,
    status: Literal["firing", "resolved"] = "firing",
    annotations: Mapping[str, str] | None = None,
    starts_at: datetime = STARTS_AT,
    ends_at: datetime | None = None,
    generator_url: str = _GENERATOR,
    **more: str,
) -> JsonObject:
    """Return one alert; `more` are labels too: ``alert(severity="critical")``. Empty ones vanish, as they should."""
    merged = {"alertname": "HighLatency", "severity": "warning", **(labels or {}), **more}
    merged = {name: value for name, value in merged.items() if value}
    if status == "resolved" and ends_at is None:
        ends_at = starts_at + timedelta(minutes=1)
    return {
        "status": status,
        "labels": merged,
        "annotations": dict(annotations or {}),
        "startsAt": instant(starts_at),
        "endsAt": _STILL_FIRING if ends_at is None else instant(ends_at),
        "generatorURL": generator_url,
        "fingerprint": fingerprint(merged),
    }


def resolved(firing: Mapping[str, object], ends_at: datetime | None = None) -> JsonObject:
    """Return the same alert after its end, a minute after its start unless `ends_at` says otherwise."""
    started = datetime.fromisoformat(str(firing["startsAt"]))
    return {**firing, "status": "resolved", "endsAt": instant(ends_at or started + timedelta(minutes=1))}


def webhook(
    alerts: Iterable[Mapping[str, object]] | None = None,
    *,
    receiver: str = "responder",
    group_by: Iterable[str] = ("alertname",),
    group_key: str | None = None,
    external_url: str = "http://alertmanager.example:9093",
    max_alerts: int = 0,
    notification_reason: str = "first notification",
    **extra: object,
) -> JsonObject:
    """Return a notification of `alerts` (one firing alert by default).

    `max_alerts` cuts the list as Alertmanager does: status and common labels then come from the remainder alone.
    `extra` replaces or adds top-level keys.
    """
    every = sorted((dict(one) for one in (alerts if alerts is not None else [alert()])), key=cmp_to_key(_compare))
    shown = every[:max_alerts] if max_alerts else every
    first = _labels(every[0]) if every else {}
    group = {name: first[name] for name in group_by if name in first}
    key = ", ".join(f'{name}="{value}"' for name, value in sorted(group.items()))
    return {
        "receiver": receiver,
        "status": "firing" if any(one["status"] == "firing" for one in shown) else "resolved",
        "alerts": shown,
        "notification_reason": notification_reason,
        "groupLabels": group,
        "commonLabels": _common(shown, "labels"),
        "commonAnnotations": _common(shown, "annotations"),
        "externalURL": external_url,
        "version": "4",
        "groupKey": f"{{}}:{{{key}}}" if group_key is None else group_key,
        "truncatedAlerts": len(every) - len(shown),
        **extra,
    }


def instant(when: datetime) -> str:
    """Write an aware datetime as Go does: RFC 3339, UTC, no trailing zeros in the fraction."""
    utc = when.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{utc:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _texts(one: Mapping[str, object], key: str) -> dict[str, str]:
    value = one[key]
    return value if isinstance(value, dict) else {}


def _labels(one: Mapping[str, object]) -> dict[str, str]:
    return _texts(one, "labels")


def _compare(one: Mapping[str, object], other: Mapping[str, object]) -> int:
    """Order as Alertmanager does (types.AlertSlice, model.LabelSet.Before): job, instance, then fewer labels first.

    Where the names differ, the set without the smallest one goes first; an alert without job or instance goes last.
    """
    left, right = _labels(one), _labels(other)
    for name in ("job", "instance"):
        ours, theirs = (name not in left, left.get(name, "")), (name not in right, right.get(name, ""))
        if ours != theirs:
            return -1 if ours < theirs else 1
    if len(left) != len(right):
        return len(left) - len(right)
    for name in sorted({*left, *right}):
        mine, yours = (name in left, left.get(name, "")), (name in right, right.get(name, ""))
        if mine != yours:
            return -1 if mine < yours else 1
    return 0


def _common(alerts: list[dict[str, object]], key: str) -> dict[str, str]:
    if not alerts:
        return {}
    shared = set(_texts(alerts[0], key).items())
    for one in alerts[1:]:
        shared &= set(_texts(one, key).items())
    return dict(sorted(shared))
