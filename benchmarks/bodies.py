"""Webhook bodies for load: distinct alerts of the size that kube-prometheus sends, as many as wanted."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from tests.bed.alerts import alert, webhook

_STARTED = datetime.now(UTC).replace(microsecond=0)


def bodies(fingerprints: int, per_webhook: int, alertname: str = "HighLatency") -> Iterator[bytes]:
    """Make the bodies that hold ``fingerprints`` distinct alerts once, ``per_webhook`` in each; a body is a group."""
    for first in range(0, fingerprints, per_webhook):
        group = f"shop-{first // per_webhook}"
        alerts = [
            alert(
                alertname=alertname,
                namespace=group,
                pod=f"api-{number:06d}-7d4b9c-x2x9z",
                item=f"item-{number:06d}",
                severity="warning",
                service="checkout",
                team="payments",
                cluster="prod-eu",
                env="prod",
                job="kube-state-metrics",
                instance="10.0.0.17:8080",
                annotations={
                    "summary": "The 99th percentile of the latency is above 500 ms.",
                    "description": f"Pod api-{number:06d} of {group} answers slowly; see the runbook for what to do.",
                    "runbook_url": "https://runbooks.example/high-latency",
                },
                starts_at=_STARTED,
            )
            for number in range(first, min(first + per_webhook, fingerprints))
        ]
        yield json.dumps(webhook(alerts, group_by=("alertname", "namespace"))).encode()
