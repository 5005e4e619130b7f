"""Before anything changes: resolving, checking, awaiting approval, ready."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from responder.act.checkpoints import all_checks, with_baselines
from responder.act.ends import refused, turn_back, withdrawn
from responder.act.engine import Engine, Next, soon
from responder.act.items import items_of
from responder.act.look import look
from responder.act.plan import Prepared, names_for, plan, plan_hash, unplanned
from responder.act.portions import portions_of
from responder.act.reach import failing, reach, reaching
from responder.act.witness import last_look
from responder.domain.errors import Permanent, Temporary
from responder.domain.ids import new_id
from responder.domain.limits import Refusal, over_limit, paused, subject_of, tripped
from responder.domain.modes import Mode
from responder.domain.notification import Approval
from responder.domain.records import IN_DOUBT, RecordState
from responder.domain.runs import Run, RunState, Sample, advance
from responder.domain.sentences import quoted, sentences
from responder.domain.verdicts import Verdict
from responder.playbook.model import OWN_RULE, Playbook
from responder.playbook.times import time_allowed
from responder.ports.store import Audit, RunEnd, Standing

MAX_ASKED = 3
"""A plan is put to people once and, when it has changed meanwhile, at most twice again (engine.md)."""


def forbidden(run: Run, playbook: Playbook, standing: Standing) -> Refusal | None:
    """Evaluate every guard of a forward effect that the store can answer, again."""
    refusal = brakes(run, playbook, standing)
    if refusal is not None or run.mode is Mode.OBSERVE:
        return refusal  # what only observes takes no slot and no budget: nothing else can be in its way
    return _taken(standing) or over_limit(playbook.limits, standing.usage, playbook.effects, standing.now)


def brakes(run: Run, playbook: Playbook, standing: Standing) -> Refusal | None:
    """Evaluate the guards that do not go by what was done to the target."""
    if not standing.firing:
        return Refusal(Verdict.RESOLVED, Verdict.RESOLVED.sentence)
    if standing.evidence_at is not None and standing.now - standing.evidence_at > playbook.limits.max_age:
        reason = f"{Verdict.STALE.sentence} The last sign was at {standing.evidence_at:%H:%M:%S} UTC."
        return Refusal(Verdict.STALE, reason)
    if run.mode is Mode.OBSERVE:
        return None
    doubted = standing.suspicion.refusal() if standing.suspicion is not None else None
    return doubted or paused(standing.pauses, subject_of(run, playbook.actions), standing.now)


def _taken(standing: Standing) -> Refusal | None:
    if standing.quarantined:
        return Refusal(Verdict.QUARANTINED, f"{Verdict.QUARANTINED.sentence} {standing.quarantined}")
    if standing.busy:
        return Refusal(Verdict.BUSY, f"{Verdict.BUSY.sentence} Run {standing.busy} holds it.")
    return None


async def checking(
    engine: Engine, run: Run, playbook: Playbook, standing: Standing
) -> tuple[Next, tuple[Prepared, ...]]:
    """Ask the sender, check the conditions, compute the plan, and say whether to act, to ask or only to show it."""
    refusal = (
        (await last_look(engine, run)).refusal
        or await failing(engine, run, playbook.limits)
        or await unmet(engine, run, playbook, standing)
    )
    if refusal is not None:
        return refused(run, refusal, standing), ()
    found = await _reach_and_plan(engine, run, playbook, standing)
    if isinstance(found, Refusal):
        return refused(run, found, standing), ()
    run, prepared = found
    if run.mode is Mode.OBSERVE:
        return Next(advance(run, "observe", Verdict.OBSERVED, Verdict.OBSERVED.sentence), end=RunEnd()), ()
    if all(step.changes_nothing for step in prepared):
        unchanged = Refusal(Verdict.UNCHANGED, Verdict.UNCHANGED.sentence)
        return refused(run, unchanged, standing), ()
    if _must_ask(run, playbook, standing):
        return ask(run, playbook, standing), ()
    return Next(advance(run, "go")), prepared


async def _reach_and_plan(
    engine: Engine, run: Run, playbook: Playbook, standing: Standing
) -> tuple[Run, tuple[Prepared, ...]] | Refusal:
    """Find what the run would do, and how far it may reach, before anybody is asked for what there is no room for."""
    listed = await items_of(engine, run, playbook)
    if isinstance(listed, Refusal):
        return listed
    parted = await portions_of(engine, listed, playbook.for_items(listed.progress.items))
    if isinstance(parted, Refusal):
        return parted
    run, playbook = parted, playbook.for_items(parted.progress.items).in_portions(parted.progress.portions)
    more = bool(run.progress.items or run.progress.portions)
    if more:
        # Its deadline had room for as many of them as there might have been.
        run = replace(run, deadline=min(run.deadline, standing.now + time_allowed(playbook, run.mode)))
    if (playbook.limits.blast_radius is not None or more) and run.mode is not Mode.OBSERVE:
        reached = await reach(engine, run, playbook.limits)
        if isinstance(reached, Refusal):
            return reached
        limits = reaching(playbook.limits, reached)
        full = over_limit(limits, standing.usage, playbook.effects, standing.now)
        if full is not None:
            return full
        run = reached
    prepared = await planned(engine, run, playbook)
    return prepared if isinstance(prepared, Refusal) else (with_plan(run, prepared), prepared)


async def unmet(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Refusal | None:
    """Return the first condition that does not hold or cannot be checked."""
    names = names_for(run)
    for condition in playbook.when:
        sample = await look(condition, names, engine.tools, None, standing.now)
        if sample.outcome != "pass":
            return _refusal_of(condition.name, sample)
    return None


def _refusal_of(name: str, sample: Sample) -> Refusal:
    verdict = Verdict.CONDITION_FAILED if sample.outcome == "fail" else Verdict.CONDITION_UNKNOWN
    return Refusal(
        verdict, f"“{name}” {'does not hold' if sample.outcome == 'fail' else 'is unknown'}: {sample.reason}"
    )


async def planned(engine: Engine, run: Run, playbook: Playbook) -> tuple[Prepared, ...] | Refusal:
    """Compute the plan, or say why it cannot be."""
    try:
        return await plan(engine, run, playbook)
    except (Temporary, Permanent) as error:
        return unplanned(error, engine.clock.now())


def with_plan(run: Run, prepared: tuple[Prepared, ...]) -> Run:
    """Keep the plan with the run."""
    steps = tuple(step.planned() for step in prepared)
    progress = run.progress.model_copy(update={"plan": steps, "plan_hash": plan_hash(run, steps)})
    return replace(run, progress=progress)


def _must_ask(run: Run, playbook: Playbook, standing: Standing) -> bool:
    if run.mode is Mode.APPROVE or tripped(standing.pauses, subject_of(run), standing.now):
        return True
    matchers = playbook.approval.matchers
    return bool(matchers) and all(matcher.matches(run.context.labels) for matcher in matchers)


def ask(run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Put the plan to people; too many changed plans end the run with a page."""
    if run.progress.asked >= MAX_ASKED:
        reason = "The plan kept changing while it waited for approval."
        ended = advance(run, "timed_out", Verdict.PLAN_CHANGED, reason)
        return Next(ended, end=RunEnd(needs_person=f"{run.playbook}: {reason}"))
    progress = run.progress.model_copy(update={"asked": run.progress.asked + 1})
    approval = Approval(
        id=new_id(),
        run_id=run.id,
        plan_hash=run.progress.plan_hash,
        plan=[step.model_dump(mode="json") for step in run.progress.plan],
        state="pending",
        asked_at=standing.now,
        expires_at=standing.now + playbook.approval.timeout,
        four_eyes=playbook.approval.four_eyes,
    )
    audit = Audit("approval_asked", run.id, details={"plan_hash": approval.plan_hash})
    return Next(replace(advance(run, "ask"), progress=progress), at=approval.expires_at, ask=approval, audit=(audit,))


def awaiting(run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Go on once a person said yes; end when they said no, in time or at all."""
    approval = standing.approval
    if approval is not None and approval.state == "rejected":
        return Next(advance(run, "rejected", Verdict.REJECTED, _said_no(approval)), end=RunEnd())
    if not standing.firing:
        return refused(run, Refusal(Verdict.RESOLVED, Verdict.RESOLVED.sentence), standing)
    if approval is not None and _said_yes(approval) and standing.now < approval.expires_at:
        return Next(advance(run, "approved"))
    if approval is None or standing.now >= approval.expires_at:
        reason = _not_in_time(approval)
        ended = advance(run, "timed_out", Verdict.APPROVAL_EXPIRED, reason)
        page = f"{run.playbook}: {reason}" if playbook.approval.on_timeout == "page" else ""
        return Next(ended, end=RunEnd(needs_person=page))
    return Next(run, at=approval.expires_at)


def _said_no(approval: Approval) -> str:
    return sentences(f"{approval.decided_by} said no.", quoted(approval.comment))


def _not_in_time(approval: Approval | None) -> str:
    if approval is None or not approval.first_by or approval.state != "pending":
        return Verdict.APPROVAL_EXPIRED.sentence
    return f"Only {approval.first_by} said yes in time; it takes two people."


def _said_yes(approval: Approval) -> bool:
    """Whether a person agreed, and nothing has come of it yet.

    One that is spent while its run does not act belongs to a turn that died in between: nothing was sent under it, for
    that takes the slot. Another turn goes on with it, for the same plan.
    """
    return approval.state in ("approved", "spent")


async def ready(
    engine: Engine,
    run: Run,
    playbook: Playbook,
    standing: Standing,
    prepared: tuple[Prepared, ...],
) -> tuple[Next, tuple[Prepared, ...]]:
    """Begin; what was approved must still be allowed, is planned again first, and must not have changed.

    The first record takes the target with it: one transaction less between an alert and its fix. A rollback has its
    records already, and takes the target alone.
    """
    if run.kind == "rollback":
        return await _roll_back(engine, run, standing), ()
    approval = standing.approval
    if approval is not None and _said_yes(approval):
        # What held when they were asked may be half an hour old.
        refusal = await failing(engine, run, playbook.limits) or await unmet(engine, run, playbook, standing)
        if refusal is not None:
            return refused(run, refusal, standing), ()
        again = await planned(engine, run, playbook)
        if isinstance(again, Refusal):
            return refused(run, again, standing), ()
        run = with_plan(run, again)
        if run.progress.plan_hash != approval.plan_hash:
            return ask(run, playbook, standing), ()
        if approval.state == "approved" and not await engine.store.use_approval(run, approval):
            ended = advance(run, "timed_out", Verdict.APPROVAL_EXPIRED, Verdict.APPROVAL_EXPIRED.sentence)
            return Next(ended, end=RunEnd(needs_person=f"{run.playbook}: {Verdict.APPROVAL_EXPIRED.sentence}")), ()
        run = replace(run, progress=run.progress.model_copy(update={"approved": approval.plan_hash}))
        prepared = again
    run = await with_baseline(engine, run, playbook, standing)
    return Next(advance(run, "started")), prepared


async def with_baseline(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Run:
    """Sample the verification before the first step: what improvement is measured against."""
    names = names_for(run)
    # By identity: the items of a step share their checks.
    asked = {id(one): one for one in all_checks(playbook) if not one.matchers and one is not OWN_RULE}
    # Together: one after another, what does not answer would take longer than the lease lasts.
    found = await asyncio.gather(*(look(one, names, engine.tools, None, standing.now) for one in asked.values()))
    seen = {key: sample.value for key, sample in zip(asked, found, strict=True)}
    return with_baselines(run, playbook, [seen.get(id(condition)) for condition in all_checks(playbook)])


async def _roll_back(engine: Engine, run: Run, standing: Standing) -> Next:
    # A doubt that is there already is looked at anew; one that it comes to itself ends it.
    doubts = tuple(one.id for one in standing.records if one.state in IN_DOUBT or one.state is RecordState.DRIFTED)
    started = advance(run, "roll_back")
    started = replace(started, progress=started.progress.model_copy(update={"look_anew": doubts}))
    refusal = await engine.store.take_slot(started)
    if refusal is None:
        return Next(started, at=standing.now)  # committed first: a turn that dies must not take its own doubts for old
    if refusal.verdict is Verdict.BUSY:
        return Next(run, at=soon(standing.now, None, timedelta(seconds=2)))
    return refused(run, refusal, standing)


_BY_THEMSELVES = frozenset({RunState.UNDOING, RunState.PARKED, RunState.KEPT, RunState.REVERTING})
"""States that know by themselves what a stop or the deadline means to them."""


def over(run: Run, standing: Standing) -> Next | None:
    """End or turn round a run that a person stopped, or that is past its deadline; None lets it go on."""
    # The records of a rollback are those of the run that it undoes.
    own = standing.records if run.kind == "forward" else ()
    changed = any(record.state.value not in ("not_applied", "undone") for record in own)
    if run.state in _BY_THEMSELVES or (run.kind == "rollback" and run.state is not RunState.READY):
        return None
    word = _word(run, standing)
    if word is not None:
        verdict, reason = word
    elif standing.now >= run.deadline:
        verdict, reason = Verdict.DEADLINE, Verdict.DEADLINE.sentence
    else:
        return None
    if changed:
        if run.state in (RunState.ACTING, RunState.VERIFYING) and not _in_doubt(standing):
            return turn_back(run, verdict, reason)
        return None
    page = "" if word is not None else f"{run.playbook}: {reason}"
    ended = advance(withdrawn(run), "stopped" if word is not None else "timed_out", verdict, reason)
    return Next(ended, end=RunEnd(needs_person=page))


def _word(run: Run, standing: Standing) -> tuple[Verdict, str] | None:
    """Return what a person has said that ends the run: a stop, or a no to a question between two steps, which is one.

    Such a no marks the run as stopped in the same transaction; one that an older version has taken did not.
    """
    asked = standing.approval
    if asked is not None and asked.state == "rejected" and (run.stop_by or run.progress.asking):
        return Verdict.REJECTED, _said_no(asked)
    return (Verdict.STOPPED, f"{run.stop_by} stopped the run.") if run.stop_by else None


def _in_doubt(standing: Standing) -> bool:
    return any(record.state.value in ("intended", "uncertain") for record in standing.records)
