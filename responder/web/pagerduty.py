"""``POST /pagerduty/webhook``: PagerDuty says that somebody has acknowledged, and the responder keeps its hands off.

Signed by PagerDuty, taken up once, answered within its 5 seconds (developer.pagerduty.com, webhooks v3). What is stored
is the acknowledgement and a pause of the incident; nothing is acknowledged or resolved in return.
"""

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web
from pydantic import JsonValue
from pydantic_core import from_json

from responder.domain.errors import Conflict, StoreError
from responder.domain.limits import Pause
from responder.domain.notification import PRESS_REFUSED, PRESSED
from responder.ports.audit import Audit
from responder.settings import PagerDutySettings, PagerDutyUser
from responder.web.api import rows
from responder.web.auth import RANK, same
from responder.web.body import body_of
from responder.web.parts import PARTS, Parts, Refused, unavailable

ACKNOWLEDGED = "incident.acknowledged"
BUTTON = "Acknowledge in PagerDuty"
OWN = "responder/"
"""What the keys of our own pages begin with (notifiers/pagerduty.py)."""
PAUSED = timedelta(hours=24)
"""How long the incident is left alone: nothing automatic lifts a pause, and nobody remembers to."""
OLDEST = timedelta(hours=24)
"""An event that is older is a replay, or too late to matter; keys of what was seen are kept for as long."""
ANSWER_SECONDS = 4.0
_OPEN = 1000
_SIGNATURES = 8
"""Of one request: while a secret is exchanged there are two."""


@dataclass(frozen=True, slots=True)
class Event:
    """Somebody acknowledged an incident of PagerDuty's; ``user`` is empty when it was no person."""

    id: str
    kind: str
    at: datetime
    user: str
    called: str
    key: str
    number: str


async def receive(request: web.Request) -> web.Response:
    """Take up one event; what is none of our business is answered with 202 as well, so that it is not sent again."""
    parts = request.app[PARTS]
    pagerduty = parts.settings().notify.pagerduty
    if pagerduty is None or pagerduty.webhook_secret is None:
        raise Refused(404, "there is nothing here", "notify.pagerduty.webhook_secret lets PagerDuty call")
    async with body_of(request, parts.bounds.signed_bytes, parts.unproven) as body:
        try:
            check_signature(pagerduty.webhook_secret, request.headers.get("X-PagerDuty-Signature", ""), body)
        except Refused as refused:
            remote = request.remote or ""
            parts.on_fact("access_refused", path=request.path, remote=remote, status=401, reason=refused.error)
            raise
        event = read_event(body)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            result = await _take(parts, pagerduty, event)
    except (StoreError, TimeoutError) as error:
        raise unavailable("the store did not answer") from error
    parts.on_fact("pagerduty_event", kind=event.kind, actor=event.user, result=result)
    return web.Response(status=202, text=f"{result}\n")


def check_signature(secret: str, given: str, body: bytes) -> None:
    """Raise Refused (401) unless one of the signatures in the header is that of ``body``."""
    expected = f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    if not any(same(one.strip(), expected) for one in given.split(",")[:_SIGNATURES]):
        hint = "compare notify.pagerduty.webhook_secret with the secret of the webhook subscription"
        raise Refused(401, "the signature is wrong", hint)


def read_event(body: bytes) -> Event:
    """Read an event; raises Refused (400)."""
    try:
        found = from_json(body)
        event = found["event"]
        data, agent = event.get("data") or {}, event.get("agent") or {}
        is_person = str(agent.get("type", "")).startswith("user")
        return Event(
            id=str(event["id"])[:200],
            kind=str(event["event_type"])[:100],
            at=datetime.fromisoformat(str(event["occurred_at"])).astimezone(UTC),
            user=str(agent.get("id", ""))[:40] if is_person else "",
            called=str(agent.get("summary", ""))[:100],
            key=str(data.get("incident_key") or "")[:300],
            number=str(data.get("number") or "")[:20],
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Refused(400, "this is no event of PagerDuty's webhooks v3") from error


async def _take(parts: Parts, pagerduty: PagerDutySettings, event: Event) -> str:
    if event.kind != ACKNOWLEDGED or not event.user:
        return "ignored"
    if abs(datetime.now(UTC) - event.at) > OLDEST:
        return "too old"
    incident = await _incident(parts, pagerduty, event.key)
    if incident is None:
        return "unknown incident"
    incident_id, team = str(incident["id"]), str(incident["team"] or "")
    user = parts.settings().access.pagerduty.get(event.user)
    name = user.name if user is not None else f"pagerduty:{event.user}"
    details = {"button": BUTTON, "user": event.user, "way": "pagerduty", "number": event.number}
    once = hashlib.sha256(f"pagerduty:{event.id}".encode()).hexdigest()
    why = _why_not(parts, user, team)
    if not why and pagerduty.on_acknowledge == "pause":
        await _pause(parts, incident_id, name, event, once)
    if not await parts.people.pressed(once, Audit(PRESSED, incident_id, name, details), incident_id):
        return "seen before"
    if why:
        await parts.people.press_refused(Audit(PRESS_REFUSED, incident_id, name, {**details, "why": why}), incident_id)
        return "not allowed"
    return "taken"


async def _pause(parts: Parts, incident_id: str, name: str, event: Event, once: str) -> None:
    """Pause the incident, once for each event: before it is written down, so that what is sent again is made good."""
    reason = f"acknowledged in PagerDuty, incident #{event.number}" if event.number else "acknowledged in PagerDuty"
    now, scope = parts.now(), f"incident:{incident_id}"
    with contextlib.suppress(Conflict):  # this very pause is there, or was lifted by a person
        await parts.people.pause(Pause(f"pagerduty-{once[:16]}", "pause", scope, reason, name, now, now + PAUSED))
        parts.on_fact("asked", what="pause", subject=scope, actor=name)


def _why_not(parts: Parts, user: PagerDutyUser | None, team: str) -> str:
    """Say why this person may not stop automation here. Where nobody is listed, whoever may acknowledge may do so."""
    if user is None:
        return "access.pagerduty does not list this user" if parts.settings().access.pagerduty else ""
    if user.teams and team not in user.teams:
        return f"this is of another team than those of {user.name}"
    return "" if RANK[user.role] >= RANK["operator"] else f"{user.name} is {user.role} here; this takes operator"


async def _incident(parts: Parts, pagerduty: PagerDutySettings, key: str) -> Mapping[str, JsonValue] | None:
    """Return the incident that was paged for under this key: its own, or with Alertmanager's key its group's."""
    if key.startswith(OWN):
        found = await parts.people.page("incidents", {"id": key.removeprefix(OWN)}, 1, "")
        return found.items[0] if found.items else None
    if not pagerduty.interop:
        return None
    for one in await rows(parts, "incidents", _OPEN, status="open"):
        if hashlib.sha256(str(one["group_key"]).encode(errors="replace")).hexdigest() == key:
            return one
    return None
