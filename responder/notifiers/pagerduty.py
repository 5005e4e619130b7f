"""PagerDuty: pages once when a person is needed, resolves when nobody is any more, and says nothing else."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from responder.clients.pagerduty import PagerDutyClient
from responder.domain.alerts import Severity
from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt
from responder.notifiers.text import block, cut, line, plain

SUMMARY, DEDUP_KEY = 1024, 255
"""Characters (developer.pagerduty.com, Events API v2)."""
FIELD, DETAIL, LINES, LINKS, URL = 250, 2000, 6000, 8, 2000
"""Characters of the parts: the event stays far below the 512 KB that PagerDuty takes."""
SEVERITIES: Final[Mapping[Severity, str]] = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "info",
}
_DETAILS = ("tried", "undone", "state now", "checks", "target", "playbook", "meaning", "impact")


class PagerDutyNotifier:
    """Triggers and resolves, never acknowledges: that is for people to say."""

    kind = "pagerduty"

    def __init__(self, client: PagerDutyClient, routing_keys: Mapping[str, str]) -> None:
        """``routing_keys`` are the integration keys by the services' names."""
        self._client = client
        self._routing_keys = dict(routing_keys)

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Trigger when a person is needed and was not yet called; resolve when none is needed and one was."""
        told = dict(receipt or {})
        routing_key = self._routing_keys.get(address)
        if routing_key is None:
            raise DeliveryError(f"notify.pagerduty.services has no {address!r}", permanent=True)
        called = told.get("triggered") is True
        if bool(notification.page) == called:
            return told
        dedup_key = str(told.get("dedup_key") or cut(f"responder/{notification.incident_id}", DEDUP_KEY))
        event: dict[str, JsonValue] = {"routing_key": routing_key, "dedup_key": dedup_key}
        if notification.page:
            await self._client.send({**event, **_trigger(notification)})
        else:
            await self._client.send({**event, "event_action": "resolve"})
        return {"dedup_key": dedup_key, "triggered": bool(notification.page)}

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Events cannot be read back; sending one again is harmless, its dedup key makes it the same."""
        return None


def _trigger(news: Notification) -> dict[str, JsonValue]:
    labels, facts = news.labels or {}, dict(news.facts)
    payload: dict[str, JsonValue] = {
        "summary": line(news.page, SUMMARY) or "A person is needed",
        "source": line(facts.get("target") or news.source, FIELD) or "responder",
        "severity": SEVERITIES[news.severity],
        "timestamp": news.since.isoformat(),
        "component": line(facts.get("target") or labels.get("service", ""), FIELD),
        "group": line(news.team, FIELD),
        "class": line(labels.get("alertname", ""), FIELD),
        "custom_details": _details(news, facts),
    }
    shown = [(text, url) for text, url in news.links if len(url) <= URL and url.isprintable()][:LINKS]
    links: list[JsonValue] = [{"href": url, "text": line(text, FIELD)} for text, url in shown]
    event: dict[str, JsonValue] = {
        "event_action": "trigger",
        "client": "responder",
        "payload": {key: value for key, value in payload.items() if value},
    }
    if links:
        event["links"] = links
        event["client_url"] = shown[0][1]
    return event


def _details(news: Notification, facts: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return what helps whoever was called, in the order of their questions."""
    details: dict[str, JsonValue] = {"headline": str(news.headline), "summary": line(news.summary, DETAIL)}
    details |= {name.replace(" ", "_"): line(facts.get(name, ""), DETAIL) for name in _DETAILS}
    details["by_hand"] = cut(plain(news.by_hand).strip(), DETAIL)
    details["what_happened"] = block([line(f"{one.symbol} {one.text}", 400) for one in news.lines], LINES)
    details["incident"] = news.incident_id
    return {name: value for name, value in details.items() if value}
