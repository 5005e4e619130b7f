"""What stands between changes: a wait, a question, a call, a note. No target is touched and nothing is recorded.

Each is done once: that it is done is kept in the same transaction as what it writes.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from responder.act.ends import turn_back, withdrawn
from responder.act.engine import Engine, Next
from responder.domain.ids import new_id
from responder.domain.notification import Approval
from responder.domain.runs import Pausing, Run, Said, advance
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook, Step
from responder.ports.action import Between
from responder.ports.store import Audit, RunEnd, Standing

LOOKS_AGAIN = timedelta(minutes=1)
"""At the latest, while it waits or asks."""


async def between(engine: Engine, run: Run, playbook: Playbook, action: Between, standing: Standing) -> Run | Next:
    """Do what the step at hand says, with its values put in; a step that is over gives the run after it."""
    step = playbook.steps[run.progress.step]
    match action.does:
        case "wait":
            return _wait(run, step, action, standing)
        case "ask":
            return await _ask(engine, run, playbook, action, standing)
        case "page":
            call = RunEnd(needs_person=f"{run.playbook}: {action.text.removeprefix('page: ')}")
            return _told(run, step, action, standing, call)
        case "note":
            return _told(run, step, action, standing, None)


def _passed(run: Run, step: Step) -> Run:
    update = {
        "step": run.progress.step + 1,
        "tries": 0,
        "pausing": None,
        "asking": "",
        "passed": (*run.progress.passed, step.id),
    }
    return replace(run, reason="", progress=run.progress.model_copy(update=update))


def _told(run: Run, step: Step, action: Between, standing: Standing, end: RunEnd | None) -> Next:
    """Keep what was said, and that it was."""
    run = _passed(run, step)
    said = Said(step=step.id, text=action.text, at=standing.now)
    progress = run.progress.model_copy(update={"said": (*run.progress.said, said)})
    entry = Audit(f"run.{action.does}", run.id, details={"step": step.id, "text": action.text})
    # The reason differs from before, so that the incident is told anew.
    return Next(replace(run, reason=action.text, progress=progress), at=standing.now, end=end, audit=(entry,))


def _wait(run: Run, step: Step, action: Between, standing: Standing) -> Run | Next:
    pausing = run.progress.pausing
    if pausing is None or pausing.step != run.progress.step:
        pausing = Pausing(step=run.progress.step, until=standing.now + action.lasts())
        progress = run.progress.model_copy(update={"pausing": pausing})
        entry = Audit("run.wait", run.id, details={"step": step.id, "until": pausing.until.isoformat()})
        at = _look_again_at(pausing.until, standing)
        return Next(replace(run, reason=action.text, progress=progress), at=at, audit=(entry,))
    if standing.now >= pausing.until:
        return _passed(run, step)
    return Next(run, at=_look_again_at(pausing.until, standing))


def question_hash(run: Run, step: Step, action: Between) -> str:
    """Return what a yes to this question is a yes to: this step of this plan, with these words."""
    return hashlib.sha256(f"{run.progress.plan_hash}\n{step.id}\n{action.text}".encode()).hexdigest()


async def _ask(engine: Engine, run: Run, playbook: Playbook, action: Between, standing: Standing) -> Run | Next:
    step = playbook.steps[run.progress.step]
    asked, wanted = standing.approval, question_hash(run, step, action)
    if asked is None or asked.plan_hash != wanted:
        return _question(run, playbook, step, action, standing)
    if asked.state == "spent":
        return _passed(run, step)  # by a turn that died before it could say so
    if standing.now >= asked.expires_at:
        return _unanswered(run, f"{action.text}: nobody answered in time.")
    if asked.state != "approved":
        return Next(run, at=_look_again_at(asked.expires_at, standing))
    spent = await engine.store.use_approval(run, asked)
    return _passed(run, step) if spent else Next(run, at=standing.now)


def _question(run: Run, playbook: Playbook, step: Step, action: Between, standing: Standing) -> Next:
    approval = Approval(
        id=new_id(),
        run_id=run.id,
        plan_hash=question_hash(run, step, action),
        plan=[{"id": step.id, "action": action.name, "arguments": action.arguments(), "after": action.text}],
        state="pending",
        asked_at=standing.now,
        expires_at=standing.now + action.lasts(),
        four_eyes=playbook.approval.four_eyes,
    )
    progress = run.progress.model_copy(update={"asking": step.id, "asked": run.progress.asked + 1})
    entry = Audit("question_asked", run.id, details={"step": step.id, "question": action.text})
    waits = replace(run, reason=action.text, progress=progress)
    return Next(waits, at=_look_again_at(approval.expires_at, standing), ask=approval, audit=(entry,))


def _unanswered(run: Run, reason: str) -> Next:
    """Do nothing further, and undo what was done; that nobody has answered is for a person to know."""
    end = RunEnd(needs_person=f"{run.playbook}: {reason}")
    if run.effects:
        return replace(turn_back(run, Verdict.APPROVAL_EXPIRED, reason), end=end)
    return Next(advance(withdrawn(run), "timed_out", Verdict.APPROVAL_EXPIRED, reason), end=end)


def _look_again_at(until: datetime, standing: Standing) -> datetime:
    """Return when a run that waits is looked at again: its alert may have ended while the turn before this one did."""
    return min(until, standing.now + LOOKS_AGAIN)
