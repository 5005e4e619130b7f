"""What a button does: held against what is offered now, then asked for like everything that people ask for."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeVar

from responder.domain.buttons import Press
from responder.domain.notification import Account
from responder.tell.buttons import offered
from responder.web import asks
from responder.web.auth import Caller
from responder.web.parts import Parts, Refused
from responder.web.slack.payloads import Pressed
from responder.web.slack.people import caller_of, need, user_of

T = TypeVar("T")


async def press(parts: Parts, asked: Pressed) -> str:
    """Do what was asked for and return what to say; raises Refused with why nothing was done, and who was first."""
    user = user_of(parts, asked.user)
    account = await parts.people.account(asked.incident)
    if account is None:
        raise Refused(404, "this incident is no longer kept")
    if asked.press is not Press.ACK and all(run.id != asked.run for run in account.runs):
        raise Refused(404, f"there is no run {asked.run[:60]!r} of this incident")
    return await _DO[asked.press](parts, caller_of(user, account.incident.team), account, asked)


async def _approve(parts: Parts, caller: Caller, _: Account, asked: Pressed) -> str:
    said = await asks.answer(parts, caller, asked.run, asks.Answer(approved=True, plan_hash=asked.revision))
    if isinstance(said, dict) and said.get("waits_for"):
        return f"Noted: your yes to run {asked.run} is the first of two."
    return f"You approved run {asked.run}."


async def _reject(parts: Parts, caller: Caller, _: Account, asked: Pressed) -> str:
    await asks.answer(parts, caller, asked.run, asks.Answer(approved=False))
    return f"You rejected run {asked.run}: nothing is changed."


async def _stop(parts: Parts, caller: Caller, account: Account, asked: Pressed) -> str:
    need(caller, "operator")
    await _still_offered(parts, account, asked)
    run = await _first(parts, asked, asks.stop(parts, caller, asked.run))
    if run.stop_by != caller.name:
        raise Refused(409, await _why_not(parts, await _now(parts, account), asked))
    return f"Run {asked.run} stops; what it has changed is undone."


async def _undo(parts: Parts, caller: Caller, account: Account, asked: Pressed) -> str:
    need(caller, "operator")
    await _still_offered(parts, account, asked)
    made = await _first(parts, asked, asks.roll_back(parts, caller, asked.run, "asked for in Slack"))
    return f"Undoing run {asked.run}: run {made.id}."


async def _ack(parts: Parts, caller: Caller, account: Account, asked: Pressed) -> str:
    need(caller, "operator")
    await _still_offered(parts, account, asked)
    await _first(parts, asked, asks.take(parts, caller, asked.incident))
    return "You have taken this incident over."


_DO: Mapping[Press, Callable[[Parts, Caller, Account, Pressed], Awaitable[str]]] = {
    Press.APPROVE: _approve,
    Press.REJECT: _reject,
    Press.STOP: _stop,
    Press.UNDO: _undo,
    Press.ACK: _ack,
}


async def _still_offered(parts: Parts, account: Account, asked: Pressed) -> None:
    """Raise Refused (409) unless the button is there now and shows what it showed when it was pressed."""
    found = [one for one in offered(account) if one.press is asked.press and one.run == asked.run]
    if not found:
        raise Refused(409, await _why_not(parts, account, asked))
    if found[0].revision != asked.revision:
        raise Refused(409, "what this button showed has changed since", "look at the message again, it is edited")


async def _first(parts: Parts, asked: Pressed, asking: Awaitable[T]) -> T:
    """Wait for what is asked; where somebody else was first, say who and when."""
    try:
        return await asking
    except Refused as refused:
        account = await parts.people.account(asked.incident) if refused.status == 409 else None  # noqa: PLR2004 - conflict
        if account is None:
            raise
        raise Refused(409, await _why_not(parts, account, asked)) from refused


async def _now(parts: Parts, account: Account) -> Account:
    return await parts.people.account(account.incident.id) or account


async def _why_not(parts: Parts, account: Account, asked: Pressed) -> str:
    """Say why a button is not there any more, by whom and since when."""
    if asked.press is Press.ACK:
        taken = account.acknowledged
        return f"{taken.by} took it over{_at(taken.at)}" if taken else "nobody is asked for any more"
    run = next(one for one in account.runs if one.id == asked.run)
    if asked.press is Press.UNDO:
        undoing = [one for one in account.runs if one.of_run == run.id]
        if undoing:
            last = undoing[-1]
            who = last.context.requested_by or "somebody"
            return f"{who} pressed first{_at(last.created_at)}: run {last.id}, which undoes it, is {last.state}"
        return f"nothing that run {run.id} changed could be put back now"
    if run.stop_by:
        return f"{run.stop_by} stopped it{await _stopped_at(parts, run.id)}"
    return (
        f"run {run.id} is over: {run.state}{_at(run.finished_at)}"
        if run.state.final
        else f"run {run.id} is {run.state}"
    )


async def _stopped_at(parts: Parts, run_id: str) -> str:
    page = await parts.people.page("audit", {"subject": run_id, "action": "run.stop_asked"}, 100, "")
    return _at(datetime.fromisoformat(str(page.items[-1]["at"]))) if page.items else ""


def _at(when: datetime | None) -> str:
    return f" at {when:%Y-%m-%d %H:%M:%S} UTC" if when else ""
