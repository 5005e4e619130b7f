"""What people ask for over the API: answers, stops, rollbacks, pauses and the way back from each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from aiohttp import web
from pydantic import JsonValue
from pydantic_core import from_json

from responder.domain.brakes import KINDS, SCOPES
from responder.domain.runs import RunState
from responder.web import asks
from responder.web.api import find
from responder.web.auth import Caller
from responder.web.body import body_of
from responder.web.parts import PARTS, Refused
from responder.web.routes import Route

_COMMENT_KEY = {"comment": f"shown with the answer; at most {asks.LONGEST_SAID:,} characters"}
_NONE: Mapping[str, str] = MappingProxyType({})


def asking_routes() -> tuple[Route, ...]:
    """Return the routes that change something."""
    pause_keys = {
        "scope": f"{SCOPES}; `*` in a name stands for any text",
        "kind": "pause (no new changes) or halt (no change at all, undoing included)",
        "reason": f"why, for the audit log; at most {asks.LONGEST_SAID:,} characters",
        "for": "lift it after this long, such as 30m",
    }
    return (
        Route(
            "POST", "/runs/{id}/approve", approve, "viewer", "Approve the plan of a run: exactly this plan, once.",
            body={"plan_hash*": "the hash of the plan that was shown", **_COMMENT_KEY},
        ),
        Route(
            "POST", "/runs/{id}/reject", reject, "viewer", "Say no to a run that waits for approval.",
            body={"plan_hash": "not needed: a no stands for whatever plan is asked about", **_COMMENT_KEY},
        ),
        Route("POST", "/runs/{id}/stop", stop, "operator", "Stop a run; what was applied is undone."),
        Route(
            "POST", "/runs/{id}/rollback", roll_back, "operator", "Undo what a finished run changed, as a new run.",
            body={"reason": f"why, for the audit log; at most {asks.LONGEST_SAID:,} characters"},
        ),
        Route("POST", "/pauses", pause, "operator", "Let nothing new be changed.", body=pause_keys),
        Route("DELETE", "/pauses/{id}", resume, "operator", "Lift a pause by id or scope, or `all`."),
        Route(
            "POST", "/playbooks/{name}/reset", reset, "operator", "Let a playbook that tripped act by itself again."
        ),
        Route("POST", "/incidents/{id}/ack", acknowledge, "operator", "Take over: a person is on it."),
        Route(
            "POST", "/changes", announce, "operator", "Say that something was changed, for messages about it.",
            body={
                "summary*": f"what was changed, in a sentence; at most {asks.LONGEST_SAID:,} characters",
                "target": "of what, such as prod-eu/deployment/shop/api; all that is below it, too",
                "labels": "or of alerts with all of these labels, as namespace=shop,deployment=api",
            },
        ),
        Route("DELETE", "/quarantines/{target}", clear, "operator", "Let a target in doubt be changed again."),
        Route(
            "POST", "/redrive", redrive, "operator", "Bring back what was set aside.",
            body={"kind*": "delivery or outbox", "id*": "its id; for outbox incident|destination"},
        ),
    )  # fmt: skip


async def _body(request: web.Request, known: Mapping[str, type], not_null: Mapping[str, str] = _NONE) -> dict[str, str]:
    """Read a JSON object of texts; an empty body is an empty object. Unknown keys are refused, never ignored.

    A null is taken for a key that is not there, but for those in ``not_null``, which say what to write.
    """
    async with body_of(request, request.app[PARTS].bounds.api_bytes) as body:
        if not body.strip():
            return {}
        if request.content_type != "application/json":
            # A form of another site's page can send text/plain, never this.
            raise Refused(415, "a JSON body is needed", "send Content-Type: application/json")
        try:
            data = from_json(body)
        except ValueError:
            raise Refused(400, "the body is not JSON") from None
    if not isinstance(data, dict):
        raise Refused(400, "the body is not a JSON object")
    for name, value in data.items():
        if name not in known:
            raise Refused(400, f"unknown key {name[:60]!r}", f"there are {', '.join(known)}")
        if value is None and name in not_null:
            raise Refused(400, f"{name} is null", not_null[name])
        if value is not None and not isinstance(value, known[name]):
            raise Refused(400, f"{name} is not a text")
    return {name: _storable(name, value) for name, value in data.items() if value is not None}


def _storable(name: str, text: str) -> str:
    asks.check_length(name, text)
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _texts(*names: str) -> dict[str, type]:
    return dict.fromkeys(names, str)


async def approve(request: web.Request, caller: Caller) -> JsonValue:
    """Approve a plan; the hash says which one was seen."""
    body = await _body(request, _texts("plan_hash", "comment"))
    if not body.get("plan_hash"):
        raise Refused(400, "plan_hash is missing", "show the plan first: GET /api/v1/approvals?run=ID")
    return await _answer(request, caller, body, approved=True)


async def reject(request: web.Request, caller: Caller) -> JsonValue:
    """Reject the open question of a run, whatever it is by now: a no is a no."""
    body = await _body(request, _texts("plan_hash", "comment"))
    return await _answer(request, caller, body, approved=False)


async def _answer(request: web.Request, caller: Caller, body: Mapping[str, str], *, approved: bool) -> JsonValue:
    given = asks.Answer(approved, body.get("plan_hash", ""), body.get("comment", ""))
    return await asks.answer(request.app[PARTS], caller, request.match_info["id"], given)


async def stop(request: web.Request, caller: Caller) -> JsonValue:
    """Ask a run to stop."""
    run = await asks.stop(request.app[PARTS], caller, request.match_info["id"])
    waits = {"waits_for": run.reason} if run.state is RunState.PARKED else {}
    return {"run": run.id, "stopping": True, **waits}


async def roll_back(request: web.Request, caller: Caller) -> JsonValue:
    """Create a run that undoes another."""
    body = await _body(request, _texts("reason"))
    parts = request.app[PARTS]
    made = await asks.roll_back(parts, caller, request.match_info["id"], body.get("reason", ""))
    return await find(parts, "runs", made.id)


async def pause(request: web.Request, caller: Caller) -> JsonValue:
    """Put a pause or halt in force."""
    forms = {"scope": f"write {SCOPES}; without the key it is all", "kind": f"write {' or '.join(KINDS)}"}
    body = await _body(request, _texts("scope", "kind", "reason", "for"), forms)
    parts = request.app[PARTS]
    brake = asks.Brake(body.get("kind", "pause"), body.get("scope", "all"), body.get("reason", ""), body.get("for", ""))
    return await find(parts, "pauses", (await asks.put_on(parts, caller, brake)).id)


async def resume(request: web.Request, caller: Caller) -> JsonValue:
    """Lift pauses."""
    lifted, left = await asks.lift(request.app[PARTS], caller, request.match_info["id"])
    return {"lifted": lifted, "pauses": cast("list[JsonValue]", left)}


async def reset(request: web.Request, caller: Caller) -> JsonValue:
    """Take the trip off a playbook."""
    parts = request.app[PARTS]
    name = request.match_info["name"]
    if not await parts.people.reset(name, caller.name):
        raise Refused(
            404, f"the playbook {name[:60]!r} has not tripped", "those that have are of the kind trip: responder pauses"
        )
    asks.noted(parts, caller, "reset", name)
    return {"playbook": name, "reset_by": caller.name}


async def acknowledge(request: web.Request, caller: Caller) -> JsonValue:
    """Clear the needs-a-person latch."""
    incident_id = await asks.take(request.app[PARTS], caller, request.match_info["id"])
    return {"incident": incident_id, "acknowledged_by": caller.name}


async def announce(request: web.Request, caller: Caller) -> JsonValue:
    """Take up a change that somebody else has made: messages about it name it for two hours."""
    body = await _body(request, _texts("summary", "target", "labels"))
    parts = request.app[PARTS]
    summary, target = body.get("summary", "").strip(), body.get("target", "").strip()
    labels = _labels(body.get("labels", ""))
    asks.check_length("summary", summary)
    if not summary:
        raise Refused(400, "summary is missing", "say in a sentence what was changed")
    if not target and not labels:
        raise Refused(400, "neither target nor labels say what was changed", "give a target, or labels of its alerts")
    await parts.people.announce_change(caller.name, summary, target, labels)
    asks.noted(parts, caller, "change", target or body["labels"][:200])
    return {"summary": summary, "target": target, "labels": cast("JsonValue", labels), "announced_by": caller.name}


def _labels(text: str) -> dict[str, str]:
    """Read ``namespace=shop,deployment=api``; raises Refused."""
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, equals, value = (one.strip() for one in part.partition("="))
        value = value.removeprefix('"').removesuffix('"')
        if not name or not equals or not value:
            raise Refused(400, f"labels: {part[:60]!r} is no label", "write them as namespace=shop,deployment=api")
        found[name] = value
    return found


async def clear(request: web.Request, caller: Caller) -> JsonValue:
    """Clear a quarantine."""
    parts = request.app[PARTS]
    target = request.match_info["target"]
    if not await parts.people.clear_quarantine(target, caller.name):
        raise Refused(404, f"the target {target[:100]!r} is not in quarantine")
    asks.noted(parts, caller, "clear_quarantine", target)
    return {"target": target, "cleared_by": caller.name}


async def redrive(request: web.Request, caller: Caller) -> JsonValue:
    """Bring a dead delivery or outbox item back."""
    body = await _body(request, _texts("kind", "id"))
    parts = request.app[PARTS]
    kind, row_id = body.get("kind", ""), body.get("id", "")
    if not kind or not row_id:
        raise Refused(400, "kind and id are needed", "kind is delivery or outbox")
    try:
        found = await parts.people.redrive(kind, row_id, caller.name)
    except ValueError as error:
        raise Refused(400, str(error)) from error
    if not found:
        raise Refused(404, f"there is no dead {kind[:20]} {row_id[:60]!r}")
    asks.noted(parts, caller, "redrive", row_id)
    return {"kind": kind, "id": row_id}
