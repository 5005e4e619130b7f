"""How long a run of a playbook may take: what its deadline is made of. Pure."""

import contextlib
from datetime import timedelta

from responder.domain.modes import Mode
from responder.domain.runs import SETTLES
from responder.playbook.model import OWN_RULE, Condition, Playbook, Step
from responder.ports.action import Between

GRACE = timedelta(minutes=5)


def time_allowed(playbook: Playbook, mode: Mode) -> timedelta:
    """Return how long a run may take: its steps, its checks, the wait for a person, and some grace."""
    steps = sum((_taking(step, playbook) for step in playbook.steps), timedelta())
    check = _judging(playbook.verify or (OWN_RULE,))
    times = len(playbook.steps) if playbook.escalates else 1
    may_ask = mode is Mode.APPROVE or bool(playbook.approval.matchers)
    return steps + check * times + (playbook.approval.timeout if may_ask else timedelta()) + GRACE


def _taking(step: Step, playbook: Playbook) -> timedelta:
    """Return how long one step may take, done to as many items or in as many portions as it may be."""
    once = max(step.timeout, _lasting(step)) * (step.retries + 1)
    between = _judging(step.verify or playbook.verify or (OWN_RULE,))
    if step.items is not None:
        return (once + between) * step.items.max
    if step.gradual is None:
        return once + _judging(step.verify)
    if step.gradual.verify == "between":
        return (once + between) * step.gradual.by.most
    return once * step.gradual.by.most + _judging(step.verify)


def _lasting(step: Step) -> timedelta:
    """Return how long a step between changes says that it takes, where no label of the alert decides that."""
    if issubclass(step.action, Between):
        with contextlib.suppress(ValueError):
            return step.action.model_validate(dict(step.arguments)).lasts()
    return timedelta()


def _judging(conditions: tuple[Condition, ...]) -> timedelta:
    """Return how long it may take to judge them once, with the wait for data that is new enough."""
    measured = any(condition.query or condition.probe or condition is OWN_RULE for condition in conditions)
    return _longest(conditions) + (SETTLES if measured else timedelta())


def _longest(conditions: tuple[Condition, ...]) -> timedelta:
    return max((condition.window + condition.within + condition.hold for condition in conditions), default=timedelta())
