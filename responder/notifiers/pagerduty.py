"""PagerDuty: pages once when a person is needed, adds what is worse, resolves when nobody is; changes are listed."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

from pydantic import JsonValue

from responder.clients.pagerduty import PagerDutyClient
from responder.domain.alerts import Severity
from responder.domain.errors import DeliveryError
from responder.domain.notification import Entry, Headline, Notification, Receipt
from responder.notifiers.text import block, cut, line, plain
from responder.ports.notifier import PartlyDelivered

SUMMARY, DEDUP_KEY = 1024, 255
"""Characters (developer.pagerduty.com, Events API v2)."""
FIELD, DETAIL, LINES, LINKS, URL = 250, 2000, 6000, 8, 2000
"""Characters of the parts: the event stays far below the 512 KB that PagerDuty takes."""
OWN = "responder/"
"""What a dedup key begins with that holds the id of an incident."""
EFFECTS = frozenset({"applied", "uncertain", "undone", "undo_uncertain"})
"""What may have become of a record for its target to be another than before."""
CHANGES = 20
"""Change events of one delivery: PagerDuty takes 120 calls a minute and key, and pages go first. More are counted."""
RULESET = "R"
"""Keys of rulesets begin with it; they take no change events."""
SEVERITIES: Final[Mapping[Severity, str]] = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "info",
}
_GRAVE: Final[Mapping[Headline, int]] = {
    Headline.ROLLED_BACK: 1,
    Headline.FAILED: 2,
    Headline.PARTLY_UNDONE: 3,
    Headline.NOT_UNDONE: 3,
    Headline.UNKNOWN: 4,
}
"""How a run has ended, the gravest last: whoever was called before that, or for less, hears of it."""
_DETAILS = ("tried", "undone", "state now", "checks", "target", "playbook", "meaning", "impact")


class PagerDutyNotifier:
    """Triggers and resolves, never acknowledges: that is for people to say. Every change is a change event."""

    kind = "pagerduty"

    def __init__(
        self,
        client: PagerDutyClient,
        routing_keys: Mapping[str, str],
        *,
        interop: Collection[str] = (),
        changes: bool = True,
    ) -> None:
        """``routing_keys`` are the integration keys by the services' names.

        At the services of ``interop`` Alertmanager pages with the same key: its alert is enriched, not doubled.
        """
        self._client = client
        self._routing_keys = dict(routing_keys)
        self._interop = frozenset(interop)
        self._changes = changes

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Trigger when a person is needed and was not yet called, or for less; resolve when none is and one was."""
        routing_key = self._routing_keys.get(address)
        if routing_key is None:
            raise DeliveryError(f"notify.pagerduty.services has no {address!r}", permanent=True)
        told = await self._page(notification, address, routing_key, dict(receipt or {}))
        if not self._changes or routing_key.startswith(RULESET):
            return told
        return await self._tell_changes(notification, routing_key, told)

    async def _page(
        self, news: Notification, address: str, routing_key: str, told: dict[str, JsonValue]
    ) -> dict[str, JsonValue]:
        if not _to_say(news, told):
            return told
        interop = address in self._interop
        dedup_key = self._dedup_key(news, address, told)
        event: dict[str, JsonValue] = {"routing_key": routing_key, "dedup_key": dedup_key}
        if news.page:
            await self._client.send({**event, **_trigger(news)})
        elif not interop or news.resolved:  # else the alert still fires, and Alertmanager's page is not ours to end
            await self._client.send({**event, "event_action": "resolve"})
        known = {name: value for name, value in told.items() if name not in ("trying", "told")}
        called: Receipt = {"told": news.headline.name} if news.page else {}
        return {**known, **called, "dedup_key": dedup_key, "triggered": bool(news.page)}

    def _dedup_key(self, news: Notification, address: str, told: Receipt) -> str:
        own = alertmanager_key(news.group_key) if address in self._interop else f"{OWN}{news.incident_id}"
        return str(told.get("dedup_key") or cut(own, DEDUP_KEY))

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Say that a call, or its end, is on its way."""
        told = receipt or {}
        if not _to_say(notification, told):
            return None
        key = self._dedup_key(notification, address, told)
        return {**told, "dedup_key": key, "trying": bool(notification.page)}

    async def _tell_changes(self, news: Notification, routing_key: str, told: dict[str, JsonValue]) -> Receipt:
        """Send an event for each change that has none yet; whoever was called must not wait for one that fails."""
        found = {digest: one for one in news.entries if (digest := _effect(one))}
        before = told.get("changes")
        known = [one for one in before if one in found] if isinstance(before, list) else []
        new = [one for one in found if one not in known]
        for digest in new[:CHANGES]:
            try:
                await self._client.send_change(_change(news, found[digest], routing_key, len(new) - CHANGES))
            except DeliveryError as error:
                if not error.permanent:
                    receipt: Receipt = {**told, "changes": [*known]}
                    raise PartlyDelivered(
                        str(error), receipt, retry_after=error.retry_after, uncertain=error.uncertain
                    ) from error
            known.append(digest)
        return {**told, "changes": [*known, *new[CHANGES:]]} if known else told

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Events cannot be read back; sending one again is harmless, its dedup key makes it the same."""
        return None


def alertmanager_key(group_key: str) -> str:
    """Return the key under which Alertmanager pages for a group: SHA-256 of it (notify/util.go, ``Key.Hash``)."""
    return hashlib.sha256(group_key.encode(errors="replace")).hexdigest()


def _to_say(news: Notification, told: Receipt) -> bool:
    """Say whether PagerDuty has to hear whether a person is needed; after a lost answer nobody knows what it knows."""
    return "trying" in told or bool(news.page) != (told.get("triggered") is True) or _graver(news, told)


def _graver(news: Notification, told: Receipt) -> bool:
    """Say whether what a person is needed for has become worse than what was told: an event more under the same key."""
    known = next((rank for word, rank in _GRAVE.items() if word.name == told.get("told")), 0)
    return bool(news.page) and _GRAVE.get(news.headline, 0) > known


def _effect(entry: Entry) -> str:
    """Return what a change is remembered by, empty for what is none: ``record:ID:STATE`` says what became of it."""
    about, _, rest = entry.key.partition(":")
    is_one = about == "record" and rest.rpartition(":")[2] in EFFECTS
    return hashlib.sha256(entry.key.encode(errors="replace")).hexdigest()[:12] if is_one else ""


def _change(news: Notification, entry: Entry, routing_key: str, more: int) -> dict[str, JsonValue]:
    facts = dict(news.facts)
    others = f"; one of {more + CHANGES} changes" if more > 0 else ""
    details = {
        "incident": news.incident_id,
        "target": line(facts.get("target", ""), FIELD),
        "playbook": line(facts.get("playbook", ""), FIELD),
        "because of": line(news.title, FIELD),
    }
    event: dict[str, JsonValue] = {
        "routing_key": routing_key,
        "payload": {
            "summary": line(f"{entry.text} ({news.title}{others})", SUMMARY),
            "source": line(facts.get("target") or news.source, FIELD) or "responder",
            "timestamp": entry.at.isoformat(),
            "custom_details": {name: value for name, value in details.items() if value},
        },
    }
    links = _links(news)
    return {**event, "links": links} if links else event


def _links(news: Notification) -> list[JsonValue]:
    shown = [(text, url) for text, url in news.links if len(url) <= URL and url.isprintable()][:LINKS]
    return [{"href": url, "text": line(text, FIELD)} for text, url in shown]


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
    links = _links(news)
    event: dict[str, JsonValue] = {
        "event_action": "trigger",
        "client": "responder",
        "payload": {key: value for key, value in payload.items() if value},
    }
    if links:
        event["links"] = links
        event["client_url"] = next(url for _, url in news.links if len(url) <= URL and url.isprintable())
    return event


def _details(news: Notification, facts: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return what helps whoever was called, in the order of their questions."""
    details: dict[str, JsonValue] = {"headline": str(news.headline), "summary": line(news.summary, DETAIL)}
    details |= {name.replace(" ", "_"): line(facts.get(name, ""), DETAIL) for name in _DETAILS}
    details["by_hand"] = cut(plain(news.by_hand).strip(), DETAIL)
    details["what_happened"] = block([line(f"{one.symbol} {one.text}", 400) for one in news.lines], LINES)
    details["incident"] = news.incident_id
    return {name: value for name, value in details.items() if value}
