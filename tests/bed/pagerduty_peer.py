"""A PagerDuty that checks events, computes incidents from them, and misbehaves on request.

Source: developer.pagerduty.com, Events API v2 (trigger-events, send-change-events, rate limits).
"""

import hashlib
import hmac
import json
import math
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web

from tests.bed.web import Faults, JsonObject, Rate, serving

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
"""A routing key of the right length for tests that need just one."""

_KEY, _DEDUP, _SUMMARY = 32, 255, 1024  # characters
_BYTES = 512 * 1024
_SEVERITIES = ("critical", "error", "warning", "info")
_ACTIONS = ("trigger", "acknowledge", "resolve")
_PER_MINUTE = 60.0


@dataclass(slots=True)
class Incident:
    """What people would see: the alert of one deduplication key, from trigger to resolve."""

    routing_key: str
    dedup_key: str
    status: Literal["triggered", "acknowledged", "resolved"]
    events: list[JsonObject]

    @property
    def payload(self) -> JsonObject:
        """What the first trigger said: later ones add to the log and leave the title."""
        first: JsonObject = self.events[0]["payload"]
        return first


@dataclass(slots=True)
class PagerDutyPeer:
    """The service. `events` and `changes` are accepted bodies; `rejected` holds the errors of the others.

    `routing_keys` None accepts every well-formed key; an unknown one is answered 202 and dropped, as the real one does.
    `swallow` answers 202 and creates nothing, for 202 is not yet an incident.
    """

    routing_keys: set[str] | None = None
    swallow: bool = False
    calls: Rate = field(default_factory=lambda: Rate(120, _PER_MINUTE))
    faults: Faults = field(default_factory=Faults)
    events: list[JsonObject] = field(default_factory=list)
    changes: list[JsonObject] = field(default_factory=list)
    dropped: list[JsonObject] = field(default_factory=list)
    rejected: list[list[str]] = field(default_factory=list)
    limited: int = 0
    incidents: list[Incident] = field(default_factory=list)
    url: str = ""

    def open(self, routing_key: str | None = None) -> list[Incident]:
        """Return the incidents that are not resolved, oldest first."""
        keys = {routing_key} if routing_key else {one.routing_key for one in self.incidents}
        return [one for one in self.incidents if one.status != "resolved" and one.routing_key in keys]

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[self.faults.middleware()], client_max_size=4 * _BYTES)
        app.router.add_post("/v2/enqueue", self._enqueue)
        app.router.add_post("/v2/change/enqueue", self._change)
        return app

    async def _enqueue(self, request: web.Request) -> web.Response:
        event = await self._read(request, _event_errors)
        if isinstance(event, web.Response):
            return event
        self.events.append(event)
        key = event.setdefault("dedup_key", uuid.uuid4().hex)
        if self.swallow or not self._known(event) or not self._apply(event):
            self.dropped.append(event)
        answer = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(answer, status=202)

    async def _change(self, request: web.Request) -> web.Response:
        event = await self._read(request, _change_errors)
        if isinstance(event, web.Response):
            return event
        self.changes.append(event)
        return web.json_response({"status": "success", "message": "Change event processed"}, status=202)

    async def _read(
        self, request: web.Request, errors_of: Callable[[Mapping[str, Any]], list[str]]
    ) -> JsonObject | web.Response:
        body = await request.read()
        if len(body) > _BYTES:
            return self._invalid([f"Event is {len(body)} bytes, at most {_BYTES}"], 413)
        try:
            event = json.loads(body)
        except ValueError:
            return self._invalid(["The body is not JSON"])
        errors = errors_of(event) if isinstance(event, dict) else ["The body is not an object"]
        if errors:
            return self._invalid(errors)
        wait = self.calls.wait(str(event["routing_key"]))
        if wait:
            self.limited += 1
            headers = {"Retry-After": str(math.ceil(wait))}
            answer = {"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly."}
            return web.json_response(answer, status=429, headers=headers)
        accepted: JsonObject = event
        return accepted

    def _invalid(self, errors: list[str], status: int = 400) -> web.Response:
        self.rejected.append(errors)
        answer = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        return web.json_response(answer, status=status)

    def _known(self, event: Mapping[str, Any]) -> bool:
        return self.routing_keys is None or event["routing_key"] in self.routing_keys

    def _apply(self, event: JsonObject) -> bool:
        """Let the event change an incident; False when it is dropped without a word."""
        routing_key, dedup_key = event["routing_key"], event["dedup_key"]
        known = next((one for one in self.open(routing_key) if one.dedup_key == dedup_key), None)
        if event["event_action"] == "trigger":
            if known is None:
                self.incidents.append(Incident(routing_key, dedup_key, "triggered", [event]))
            else:
                known.events.append(event)
            return True
        if known is None:
            return False
        known.status = "acknowledged" if event["event_action"] == "acknowledge" else "resolved"
        known.events.append(event)
        return True


def acknowledged(incident_key: str, user: str = "PANA", **changes: Any) -> JsonObject:  # noqa: ANN401 -- fields of the event
    """Return what PagerDuty sends when somebody acknowledges (developer.pagerduty.com, webhooks v3 overview)."""
    event = {
        "id": uuid.uuid4().hex,
        "event_type": "incident.acknowledged",
        "resource_type": "incident",
        "occurred_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "agent": {"id": user, "type": "user_reference", "summary": "Ana Lopez"},
        "client": None,
        "data": {"id": "Q1", "type": "incident", "number": 7, "status": "acknowledged", "incident_key": incident_key},
    }
    return {"event": {**event, **changes}}


def signed(secret: str, body: bytes, *others: str) -> dict[str, str]:
    """Return the headers of a webhook; ``others`` are signatures under further secrets, as during an exchange."""
    own = [f"v1={hmac.new(one.encode(), body, hashlib.sha256).hexdigest()}" for one in (*others, secret)]
    return {
        "X-PagerDuty-Signature": ",".join(own),
        "X-Webhook-Id": uuid.uuid4().hex,
        "Content-Type": "application/json",
    }


@asynccontextmanager
async def pagerduty(peer: PagerDutyPeer | None = None) -> AsyncIterator[PagerDutyPeer]:
    """Serve PagerDuty's event API in the running loop; ``peer.url`` takes the place of https://events.pagerduty.com."""
    running = peer or PagerDutyPeer()
    async with serving(running.app()) as running.url:
        yield running


def _event_errors(event: Mapping[str, Any]) -> list[str]:
    errors = _key_errors(event)
    action, dedup_key, payload = event.get("event_action"), event.get("dedup_key"), event.get("payload")
    if action not in _ACTIONS:
        errors.append(f"'event_action' must be one of {', '.join(_ACTIONS)}")
    if dedup_key is None and action in {"acknowledge", "resolve"}:
        errors.append(f"'dedup_key' is required to {action}")
    if dedup_key is not None and not (isinstance(dedup_key, str) and 0 < len(dedup_key) <= _DEDUP):
        errors.append(f"Length of 'dedup_key' is incorrect (at most {_DEDUP} characters)")
    if action == "trigger" or payload is not None:
        errors += _payload_errors(payload, required=("summary", "source", "severity"))
        if isinstance(payload, dict) and payload.get("severity") not in _SEVERITIES:
            errors.append(f"'payload.severity' must be one of {', '.join(_SEVERITIES)}")
    return errors + _link_errors(event)


def _change_errors(event: Mapping[str, Any]) -> list[str]:
    return [*_key_errors(event), *_payload_errors(event.get("payload"), required=("summary",)), *_link_errors(event)]


def _key_errors(event: Mapping[str, Any]) -> list[str]:
    key = event.get("routing_key")
    right = isinstance(key, str) and len(key) == _KEY
    return [] if right else [f"Length of 'routing_key' is incorrect (should be {_KEY} characters)"]


def _payload_errors(payload: object, required: tuple[str, ...]) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    errors = [f"'payload.{key}' is missing or blank" for key in required if not payload.get(key)]
    if len(str(payload.get("summary", ""))) > _SUMMARY:
        errors.append(f"Length of 'payload.summary' is incorrect (at most {_SUMMARY} characters)")
    if "timestamp" in payload and not _is_instant(payload["timestamp"]):
        errors.append("'payload.timestamp' is not ISO 8601")
    if not isinstance(payload.get("custom_details", {}), dict):
        errors.append("'payload.custom_details' is not an object")
    return errors


def _link_errors(event: Mapping[str, Any]) -> list[str]:
    links, images = event.get("links", []), event.get("images", [])
    errors = []
    if not isinstance(links, list) or not all(isinstance(one, dict) and one.get("href") for one in links):
        errors.append("'links' must be objects with href")
    if not isinstance(images, list) or not all(
        isinstance(one, dict) and str(one.get("src")).startswith("https://") for one in images
    ):
        errors.append("'images' must be objects with an https src")
    return errors


def _is_instant(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return True
