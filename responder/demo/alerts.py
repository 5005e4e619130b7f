"""Webhook bodies as Alertmanager 0.33 sends them, one alert a group."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote_plus

from responder.domain.alerts import fingerprint

_STILL_FIRING = "0001-01-01T00:00:00Z"
"""What every Alertmanager sends as ``endsAt`` of a firing alert."""


@dataclass(frozen=True, slots=True)
class DemoAlert:
    """An alert of the demonstration, as a rule would make it."""

    name: str
    severity: str
    summary: str
    expression: str
    starts_at: datetime

    @property
    def labels(self) -> dict[str, str]:
        """The labels that a rule would give it."""
        return {
            "alertname": self.name,
            "job": "checkout",
            "service": "checkout",
            "severity": self.severity,
            "team": "checkout",
        }


def webhook(
    alert: DemoAlert, status: Literal["firing", "resolved"], ends_at: datetime | None = None
) -> Mapping[str, object]:
    """Return the body of a notification about ``alert``; a resolved one needs ``ends_at``."""
    labels, annotations = alert.labels, {"summary": alert.summary}
    return {
        "version": "4",
        "receiver": "responder",
        "status": status,
        "groupKey": f'{{}}:{{alertname="{alert.name}"}}',
        "groupLabels": {"alertname": alert.name},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "http://alertmanager.example:9093",
        "notification_reason": "first notification" if status == "firing" else "all alerts resolved",
        "truncatedAlerts": 0,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": _instant(alert.starts_at),
                "endsAt": _STILL_FIRING if ends_at is None else _instant(ends_at),
                "generatorURL": f"http://prometheus.example:9090/graph?g0.expr={quote_plus(alert.expression)}&g0.tab=1",
                "fingerprint": fingerprint(labels),
            },
        ],
    }


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
