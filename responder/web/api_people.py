"""What people ask for over the API: answers, stops, rollbacks, pauses and the way back from each."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from aiohttp import web
from pydantic import JsonValue
from pydantic_core import from_json

from responder.domain.approvals import may_answer
from responder.domain.brakes import KINDS, PAUSE_VARIABLE, SCOPES, is_scope
from responder.domain.ids import new_id
from responder.domain.limits import Pause, Refusal
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.language.durations import parse_duration
from responder.web.api import brakes, find
from responder.web.auth import Caller
from responder.web.body import body_of
from responder.web.parts import PARTS, Parts, Refused
from responder.web.routes import Route

_COMMENT = 2000
"""Characters of a comment or reason that are kept."""
_LIFTED_BY = {
    "file": "remove the file, where this process sees it",
    "environment": f"take {PAUSE_VARIABLE} away and start it again",
    "store": "look again: it was put on this moment",
}
_COMMENT_KEY = {"comment": "shown with the answer"}


def asking_routes() -> tuple[Route, ...]:
    """Return the routes that change something."""
    pause_keys = {
        "scope": f"{SCOPES}; `*` in a name stands for any text",
        "kind": "pause (no new changes) or halt (no change at all, undoing included)",
        "reason": "why, for the audit log",
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
            body={"reason": "why, for the audit log"},
        ),
        Route("POST", "/pauses", pause, "operator", "Let nothing new be changed.", body=pause_keys),
        Route("DELETE", "/pauses/{id}", resume, "operator", "Lift a pause by id or scope, or `all`."),
        Route(
            "POST", "/playbooks/{name}/reset", reset, "operator", "Let a playbook that tripped act by itself again."
        ),
        Route("POST", "/incidents/{id}/ack", acknowledge, "operator", "Take over: a person is on it."),
        Route("DELETE", "/quarantines/{target}", clear, "operator", "Let a target in doubt be changed again."),
        Route(
            "POST", "/redrive", redrive, "operator", "Bring back what was set aside.",
            body={"kind*": "delivery or outbox", "id*": "its id; for outbox incident|destination"},
        ),
    )  # fmt: skip


async def _body(request: web.Request, known: Mapping[str, type]) -> dict[str, str]:
    """Read a JSON object of texts; an empty body is an empty object. Unknown keys are refused, never ignored."""
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
        if value is not None and not isinstance(value, known[name]):
            raise Refused(400, f"{name} is not a text")
    return {name: _storable(value) for name, value in data.items() if value is not None}


def _storable(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_COMMENT]


def _texts(*names: str) -> dict[str, type]:
    return dict.fromkeys(names, str)


def _asked(parts: Parts, caller: Caller, what: str, subject: str) -> None:
    parts.on_fact("asked", what=what, subject=subject, actor=caller.name)


def _conflict(refusal: Refusal) -> Refused:
    return Refused(409, refusal.reason)


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
    parts = request.app[PARTS]
    run = await _run(parts, request.match_info["id"])
    await check_approver(parts, run, caller, approved=approved)
    plan_hash, comment = body.get("plan_hash", ""), body.get("comment", "")
    refusal = await parts.people.answer(run.id, approved, caller.name, plan_hash, comment)
    if refusal is not None and refusal.verdict is Verdict.NOT_ALLOWED:
        raise Refused(403, refusal.reason, f"it takes two of {', '.join(await parts.approvers(run)) or 'nobody'}")
    if refusal is not None:
        raise _conflict(refusal)
    _asked(parts, caller, "approve" if approved else "reject", run.id)
    said: dict[str, JsonValue] = {"run": run.id, "answer": "approved" if approved else "rejected", "by": caller.name}
    still_open = (await parts.people.page("approvals", {"run": run.id, "state": "pending"}, 1, "")).items
    waits = approved and any(one["first_by"] == caller.name for one in still_open)
    return {**said, "waits_for": "a second person's yes"} if waits else said


async def check_approver(parts: Parts, run: Run, caller: Caller, *, approved: bool) -> None:
    """Raise Refused (403) unless the playbook's ``approval.from`` names the caller or its role; that is audited."""
    allowed = await parts.approvers(run)
    if may_answer(allowed, caller.name, caller.role):
        return
    reason = f"{caller.name} ({caller.role}) may not answer for {run.playbook}"
    await parts.people.refuse_answer(run.id, approved, caller.name, reason)
    parts.on_fact("access_refused", path=f"/runs/{run.id}", remote="", status=403, caller=caller.name)
    raise Refused(403, reason, f"it takes {', '.join(allowed) or 'nobody'}")


async def _run(parts: Parts, run_id: str) -> Run:
    run = await parts.people.run(run_id)
    if run is None:
        raise Refused(404, f"there is no run {run_id[:60]!r}", "/api/v1/runs lists them")
    return run


async def stop(request: web.Request, caller: Caller) -> JsonValue:
    """Ask a run to stop."""
    parts = request.app[PARTS]
    run = await _run(parts, request.match_info["id"])
    if not await parts.people.stop(run.id, caller.name):
        raise Refused(409, f"run {run.id} is over: {run.state}", "roll it back instead")
    _asked(parts, caller, "stop", run.id)
    waits = {"waits_for": run.reason} if run.state is RunState.PARKED else {}
    return {"run": run.id, "stopping": True, **waits}


async def roll_back(request: web.Request, caller: Caller) -> JsonValue:
    """Create a run that undoes another."""
    body = await _body(request, _texts("reason"))
    parts = request.app[PARTS]
    run = await _run(parts, request.match_info["id"])
    made = await parts.people.roll_back(run.id, caller.name, body.get("reason", ""))
    if isinstance(made, Refusal):
        raise _conflict(made)
    _asked(parts, caller, "rollback", run.id)
    return await find(parts, "runs", made.id)


async def pause(request: web.Request, caller: Caller) -> JsonValue:
    """Put a pause or halt in force."""
    body = await _body(request, _texts("scope", "kind", "reason", "for"))
    parts = request.app[PARTS]
    kind, scope = body.get("kind", "pause"), body.get("scope", "all")
    if kind not in KINDS:
        raise Refused(400, f"kind is {kind[:20]!r}", " or ".join(KINDS))
    if not is_scope(scope):
        raise Refused(400, f"scope is {scope[:60]!r}", SCOPES)
    now = parts.now()
    new = Pause(new_id(), kind, scope, body.get("reason", ""), caller.name, now, _until(body.get("for", ""), now))
    await parts.people.pause(new)
    _asked(parts, caller, kind, scope)
    return await find(parts, "pauses", new.id)


def _until(text: str, now: datetime) -> datetime | None:
    if not text:
        return None
    try:
        length = parse_duration(text)
        if not length:
            raise Refused(400, "a pause of zero length is none", 'write for: "30m"')
        return now + length
    except (ValueError, OverflowError) as error:
        raise Refused(400, f"for: {error}") from error


async def resume(request: web.Request, caller: Caller) -> JsonValue:
    """Lift pauses."""
    parts = request.app[PARTS]
    which = request.match_info["id"]
    lifted = await parts.people.resume(which, caller.name)
    left = await brakes(parts)
    if not lifted and which != "all":
        own = next((one for one in left if one["id"] == which), None)
        if own is not None:
            raise Refused(409, f"{own['actor']} has put this on", _LIFTED_BY[str(own["source"])])
        raise Refused(404, f"there is no pause {which[:60]!r} in force", "/api/v1/status lists those in force")
    _asked(parts, caller, "resume", which)
    return {"lifted": lifted, "pauses": cast("list[JsonValue]", left)}


async def reset(request: web.Request, caller: Caller) -> JsonValue:
    """Take the trip off a playbook."""
    parts = request.app[PARTS]
    name = request.match_info["name"]
    if not await parts.people.reset(name, caller.name):
        raise Refused(404, f"the playbook {name[:60]!r} has not tripped", "/api/v1/status lists those that have")
    _asked(parts, caller, "reset", name)
    return {"playbook": name, "reset_by": caller.name}


async def acknowledge(request: web.Request, caller: Caller) -> JsonValue:
    """Clear the needs-a-person latch."""
    parts = request.app[PARTS]
    found = await find(parts, "incidents", request.match_info["id"])
    incident_id = str(found["id"])
    if not await parts.people.acknowledge(incident_id, caller.name):
        raise Refused(409, f"incident {incident_id} asks for nobody", "nothing to acknowledge")
    _asked(parts, caller, "ack", incident_id)
    return {"incident": incident_id, "acknowledged_by": caller.name}


async def clear(request: web.Request, caller: Caller) -> JsonValue:
    """Clear a quarantine."""
    parts = request.app[PARTS]
    target = request.match_info["target"]
    if not await parts.people.clear_quarantine(target, caller.name):
        raise Refused(404, f"the target {target[:100]!r} is not in quarantine")
    _asked(parts, caller, "clear_quarantine", target)
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
    _asked(parts, caller, "redrive", row_id)
    return {"kind": kind, "id": row_id}
