"""A run as decide creates it: everything frozen that its turns will need."""

from datetime import datetime, timedelta

from responder.decide.options import Option
from responder.domain.causes import Cause
from responder.domain.episodes import Episode
from responder.domain.ids import new_id
from responder.domain.modes import Mode
from responder.domain.runs import SETTLES, Context, Run, RunState
from responder.playbook.model import Condition, Playbook, Step

NO_CAUSE = Cause()
GRACE = timedelta(minutes=5)
OWN_RULE_TIME = timedelta(minutes=5)
"""How long a playbook without ``verify`` is judged by the alert's own rule (playbook/model.py, ``within``)."""


def new_run(option: Option, episode: Episode, team: str, now: datetime, cause: Cause = NO_CAUSE) -> Run:
    """Return the run of ``option`` for ``episode`` of ``team``, due at once, pinned to the playbook as it is now."""
    playbook = option.playbook
    return Run(
        id=new_id(),
        kind="forward",
        playbook=playbook.name,
        revision=playbook.revision,
        target=option.target,
        state=RunState.RESOLVING,
        mode=option.mode,
        severity=episode.severity,
        incident_id=episode.incident_id,
        context=Context(
            source=episode.source,
            fingerprint=episode.fingerprint,
            labels=dict(episode.labels),
            annotations=dict(episode.annotations),
            generator_url=episode.generator_url,
            connection=option.connection,
            team=team,
        ),
        created_at=now,
        due_at=now,
        deadline=now + time_allowed(playbook, option.mode),
        caused_by=cause.run,
        depth=cause.depth,
    )


def time_allowed(playbook: Playbook, mode: Mode) -> timedelta:
    """Return how long a run may take: its steps, its checks, the wait for a person, and some grace."""
    steps = sum((_taking(step, playbook) for step in playbook.steps), timedelta())
    check = _judging(playbook.verify) if playbook.verify else OWN_RULE_TIME + SETTLES
    times = len(playbook.steps) if playbook.escalates else 1
    may_ask = mode is Mode.APPROVE or bool(playbook.approval.matchers)
    return steps + check * times + (playbook.approval.timeout if may_ask else timedelta()) + GRACE


def _taking(step: Step, playbook: Playbook) -> timedelta:
    """Return how long one step may take, done to as many items or in as many portions as it may be."""
    once = step.timeout * (step.retries + 1)
    between = _judging(step.verify or playbook.verify) or OWN_RULE_TIME + SETTLES
    if step.items is not None:
        return (once + between) * step.items.max
    if step.gradual is None:
        return once + _judging(step.verify)
    if step.gradual.verify == "between":
        return (once + between) * step.gradual.by.most
    return once * step.gradual.by.most + _judging(step.verify)


def _judging(conditions: tuple[Condition, ...]) -> timedelta:
    """Return how long it may take to judge them once, with the wait for data that is new enough."""
    measured = any(condition.query or condition.probe for condition in conditions)
    return _longest(conditions) + (SETTLES if measured else timedelta())


def _longest(conditions: tuple[Condition, ...]) -> timedelta:
    return max((condition.window + condition.within + condition.hold for condition in conditions), default=timedelta())
