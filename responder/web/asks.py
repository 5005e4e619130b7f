"""What people ask for, whichever way they ask: the API, a button, a command in a chat. One set of rules for all."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from responder.domain.approvals import may_answer
from responder.domain.brakes import KINDS, PAUSE_VARIABLE, SCOPES, is_scope
from responder.domain.ids import new_id
from responder.domain.limits import Pause, Refusal
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.language.durations import parse_duration
from responder.web.api import Row, brakes, find
from responder.web.auth import Caller
from responder.web.parts import Parts, Refused

LONGEST_SAID = 1000
"""Characters of what people say: a comment, a reason, the summary of a change. It stands in messages and tables."""
_LIFTED_BY = {
    "file": "remove the file, where this process sees it",
    "environment": f"take {PAUSE_VARIABLE} away and start it again",
    "store": "look again: it was put on this moment",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A yes to exactly one plan, or a no to whatever plan there is."""

    approved: bool
    plan_hash: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Brake:
    """A pause or halt as it is asked for; ``length`` is how long it lasts, empty for until it is lifted."""

    kind: str = "pause"
    scope: str = "all"
    reason: str = ""
    length: str = ""


def check_length(what: str, text: str) -> None:
    """Raise Refused (400) for a text that is longer than people are told."""
    if len(text) > LONGEST_SAID:
        raise Refused(400, f"the {what} is longer than {LONGEST_SAID:,} characters", "say it shorter, or give a link")


def noted(parts: Parts, caller: Caller, what: str, subject: str) -> None:
    """Tell that somebody asked for something and was heard."""
    parts.on_fact("asked", what=what, subject=subject, actor=caller.name)


async def answer(parts: Parts, caller: Caller, run_id: str, given: Answer) -> JsonValue:
    """Answer the open question of a run; raises Refused (400, 403, 404, 409)."""
    check_length("comment", given.comment)
    run = await run_of(parts, run_id)
    await check_approver(parts, run, caller, approved=given.approved)
    refusal = await parts.people.answer(run.id, given.approved, caller.name, given.plan_hash, given.comment)
    if refusal is not None and refusal.verdict is Verdict.NOT_ALLOWED:
        raise Refused(403, refusal.reason, f"it takes two of {', '.join(await parts.approvers(run)) or 'nobody'}")
    if refusal is not None:
        raise Refused(409, refusal.reason)
    noted(parts, caller, "approve" if given.approved else "reject", run.id)
    word = "approved" if given.approved else "rejected"
    said: dict[str, JsonValue] = {"run": run.id, "answer": word, "by": caller.name}
    still_open = (await parts.people.page("approvals", {"run": run.id, "state": "pending"}, 1, "")).items
    waits = given.approved and any(one["first_by"] == caller.name for one in still_open)
    return {**said, "waits_for": "a second person's yes"} if waits else said


async def check_approver(parts: Parts, run: Run, caller: Caller, *, approved: bool) -> None:
    """Raise Refused (403) unless the playbook's ``approval.from`` names the caller or its role; that is audited."""
    allowed = await parts.approvers(run)
    if may_answer(allowed, caller.name, caller.role, caller.groups):
        return
    reason = f"{caller.name} ({caller.role}) may not answer for {run.playbook}"
    await parts.people.refuse_answer(run.id, approved, caller.name, reason)
    parts.on_fact("access_refused", path=f"/runs/{run.id}", remote="", status=403, caller=caller.name)
    instead = "" if approved else f"; an operator may stop it: responder stop {run.id}"
    raise Refused(403, reason, f"it takes {', '.join(allowed) or 'nobody'}{instead}")


async def run_of(parts: Parts, run_id: str) -> Run:
    """Return a run; raises Refused (404)."""
    run = await parts.people.run(run_id)
    if run is None:
        raise Refused(404, f"there is no run {run_id[:60]!r}", "/api/v1/runs lists them")
    return run


async def stop(parts: Parts, caller: Caller, run_id: str) -> Run:
    """Ask a run to stop; raises Refused (404, 409). Its ``stop_by`` says who asked first."""
    run = await run_of(parts, run_id)
    stopping = await parts.people.stop(run.id, caller.name)
    now = await run_of(parts, run.id)
    if not stopping:
        stands = f"is over: {now.state}" if now.state.final else f"is {now.state.value.replace('_', ' ')}"
        raise Refused(409, f"run {run.id} {stands}", await _instead_of_stopping(parts, now))
    noted(parts, caller, "stop", run.id)
    return now


async def _instead_of_stopping(parts: Parts, run: Run) -> str:
    """Say what is left to do about a run that is over, or is being taken back."""
    if run.kind == "rollback" and not run.state.final:
        return f"it takes back what run {run.of_run} changed, and does so to the end; a halt holds it up"
    if run.state is RunState.ROLLED_BACK:
        return f"what it changed is undone; to keep it from another try: responder pause playbook:{run.playbook}"
    account = await parts.people.account(run.incident_id)
    undoing = [one for one in account.runs if one.of_run == run.id] if account else []
    if undoing and undoing[-1].state is RunState.ROLLED_BACK:
        return f"run {undoing[-1].id} has undone what it changed"
    if undoing and not undoing[-1].state.final:
        return f"run {undoing[-1].id} is undoing what it changed"
    return "roll it back instead"


async def roll_back(parts: Parts, caller: Caller, run_id: str, reason: str) -> Run:
    """Create a run that undoes another; raises Refused (400, 404, 409)."""
    check_length("reason", reason)
    run = await run_of(parts, run_id)
    made = await parts.people.roll_back(run.id, caller.name, reason)
    if isinstance(made, Refusal):
        raise Refused(409, made.reason)
    noted(parts, caller, "rollback", run.id)
    return made


async def put_on(parts: Parts, caller: Caller, brake: Brake) -> Pause:
    """Put a pause or halt in force; raises Refused (400)."""
    if brake.kind not in KINDS:
        raise Refused(400, f"kind is {brake.kind[:20]!r}", " or ".join(KINDS))
    if not is_scope(brake.scope):
        raise Refused(400, f"scope is {brake.scope[:60]!r}", SCOPES)
    check_length("reason", brake.reason)
    now = parts.now()
    new = Pause(new_id(), brake.kind, brake.scope, brake.reason, caller.name, now, _until(brake.length, now))
    await parts.people.pause(new)
    noted(parts, caller, brake.kind, brake.scope)
    return new


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


async def lift(parts: Parts, caller: Caller, which: str) -> tuple[int, list[Row]]:
    """Lift pauses by id, by scope or ``all``; returns how many, and what is still in force. Raises Refused."""
    lifted = await parts.people.resume(which, caller.name)
    left = await brakes(parts)
    if not lifted and which != "all":
        own = next((one for one in left if one["id"] == which), None)
        if own is not None:
            raise Refused(409, f"{own['actor']} has put this on", _LIFTED_BY[str(own["source"])])
        raise Refused(404, f"there is no pause {which[:60]!r} in force", "those in force: responder pauses")
    noted(parts, caller, "resume", which)
    return lifted, left


async def take(parts: Parts, caller: Caller, incident_id: str) -> str:
    """Take an incident over, and return its id; raises Refused (404, 409)."""
    found = str((await find(parts, "incidents", incident_id))["id"])
    if not await parts.people.acknowledge(found, caller.name):
        raise Refused(409, f"incident {found} asks for nobody", "nothing to acknowledge")
    noted(parts, caller, "ack", found)
    return found
