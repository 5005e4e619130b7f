"""Judging what a change has brought: each turn looks once at every condition, until they are decided."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from responder.act.engine import Engine, Next
from responder.act.judge import note, poll_interval
from responder.act.look import look, own_rule
from responder.act.plan import names_for
from responder.domain.runs import SETTLES, Check, Run, Sample
from responder.playbook.model import OWN_RULE, Condition
from responder.ports.store import Standing


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the conditions came to; ``run`` holds what was seen of them."""

    run: Run
    outcome: Literal["pass", "fail", "unknown"]
    reason: str


async def judgement(engine: Engine, run: Run, conditions: Sequence[Condition], standing: Standing) -> Judgement | Next:
    """Look once at every condition that is not decided; wait for another look, or say what they came to."""
    progress = run.progress
    if progress.verify_from is None or progress.verify_until is None:
        return Judgement(run, "fail", "nothing says when to judge")
    checks = progress.checks
    if len(checks) != len(conditions):
        checks = tuple(Check(name=condition.name) for condition in conditions)
    if standing.now < progress.verify_from:
        return Next(run, at=progress.verify_from)
    interval = poll_interval(conditions)
    jumped_at = standing.suspicion.since if standing.suspicion is not None else None

    async def seen(condition: Condition, check: Check) -> Check:
        if check.done and not condition.hold:
            return check
        return note(check, await _sample(engine, run, condition, check, standing), condition, interval, jumped_at)

    # Together: one after another, what does not answer would take longer than the lease lasts.
    checks = tuple(await asyncio.gather(*map(seen, conditions, checks)))
    run = replace(run, progress=progress.model_copy(update={"checks": checks}))
    if all(check.done for check in checks):
        return Judgement(run, "pass", all_seen(run))
    until = _until(run, conditions, standing.now)
    if until != run.progress.verify_until:
        run = replace(run, progress=run.progress.model_copy(update={"verify_until": until}))
    if standing.now < until:
        return Next(run, at=min(standing.now + interval, until))
    return _at_the_end(run, conditions, standing.now)


async def sample_now(engine: Engine, run: Run, condition: Condition, standing: Standing) -> Sample:
    """Look at a condition as it is now, whatever was changed when."""
    baseline = next((one.baseline for one in run.progress.checks if one.name == condition.name), None)
    return await _look(engine, run, condition, baseline, standing)


async def _sample(engine: Engine, run: Run, condition: Condition, check: Check, standing: Standing) -> Sample:
    changed_at = run.progress.changed_at or run.progress.verify_from
    since = standing.now - changed_at if changed_at is not None and not check.fresh else None
    return await _look(engine, run, condition, check.baseline, standing, since=since)


async def _look(
    engine: Engine,
    run: Run,
    condition: Condition,
    baseline: float | None,
    standing: Standing,
    *,
    since: timedelta | None = None,
) -> Sample:
    names = names_for(run)
    if condition is OWN_RULE:
        return await own_rule(_claimed(run.context.generator_url), names, engine.tools, standing.now, since=since)
    return await look(condition, names, engine.tools, baseline, standing.now, since=since)


def _until(run: Run, conditions: Sequence[Condition], now: datetime) -> datetime:
    """Return when the checks are judged: ``within`` begins once they see what was measured after the change."""
    begins, until = run.progress.verify_from or now, run.progress.verify_until or now
    old = any(check.last is not None and check.last.data == "old" for check in run.progress.checks)
    if not old or now >= begins + SETTLES:
        return until
    return max(until, now + max(condition.within for condition in conditions))


def _claimed(generator_url: str) -> str:
    """Return the expression that a Prometheus generator URL names, empty when it names none."""
    return parse_qs(urlsplit(generator_url).query).get("g0.expr", [""])[0]


def describe(check: Check) -> str:
    """Write what one condition showed."""
    return f"{check.name}: {check.last.reason}" if check.last is not None else f"{check.name}: not looked at"


def all_seen(run: Run) -> str:
    """Write what every condition showed."""
    return "; ".join(describe(check) for check in run.progress.checks)


def _at_the_end(run: Run, conditions: Sequence[Condition], now: datetime) -> Judgement | Next:
    """Judge at ``within``: failing → failed; unknown → unknown; passing but not long enough → wait once more."""
    checks = run.progress.checks
    open_checks = [(check, condition) for check, condition in zip(checks, conditions, strict=True) if not check.done]
    reason = "; ".join(describe(check) for check, _ in open_checks)
    if any(check.last is not None and check.last.outcome == "fail" for check, _ in open_checks):
        return Judgement(run, "fail", reason)
    if any(check.last is None or check.last.outcome == "unknown" for check, _ in open_checks):
        return Judgement(run, "unknown", reason)
    if run.progress.extended:
        return Judgement(run, "fail", f"{reason}, but not for long enough")
    hold = max(condition.hold for _, condition in open_checks)
    progress = run.progress.model_copy(update={"extended": True, "verify_until": now + hold})
    return Next(replace(run, progress=progress), at=now + poll_interval(conditions))
