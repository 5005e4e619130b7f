"""From a checked shape to the playbook that the verbs see."""

import hashlib
from collections.abc import Mapping

from responder.domain.limits import Limits, Share
from responder.domain.modes import Mode
from responder.language.intervals import TimeInterval
from responder.language.matchers import Matcher
from responder.playbook.conditions import build_condition
from responder.playbook.diagnose import build_diagnose
from responder.playbook.model import ApprovalRule, Docs, NotifyRule, Playbook
from responder.playbook.names import Names
from responder.playbook.shape import LimitsShape, MassFailureShape, NotifyShape, PlaybookShape, RadiusShape
from responder.playbook.steps import build_steps
from responder.ports.catalogue import Catalogue


def revision_of(text: str) -> str:
    """Return the SHA-256 of a playbook's text, in hexadecimal: what a run pins."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def build(
    shape: PlaybookShape,
    *,
    ids: tuple[str, ...],
    file: str,
    text: str,
    catalogue: Catalogue,
    names: Names | None,
    owner_words: frozenset[str],
) -> Playbook:
    """Return the playbook of a shape about which there are no errors."""
    return Playbook(
        name=shape.name,
        summary=shape.summary,
        file=file,
        text=text,
        revision=revision_of(text),
        alternatives=_alternatives(shape),
        owner=shape.owner,
        priority=shape.priority,
        mode=Mode(shape.mode),
        cluster=shape.cluster,
        target=shape.target,
        when=tuple(build_condition(condition, catalogue) for condition in shape.when),
        active=_intervals(shape.active_time_intervals, names),
        mute=_intervals(shape.mute_time_intervals, names),
        limits=_limits(shape.limits),
        approval=ApprovalRule(
            tuple(shape.approval.matchers),
            tuple(shape.approval.from_),
            shape.approval.timeout,
            shape.approval.on_timeout,
            shape.approval.four_eyes,
        ),
        diagnose=build_diagnose(shape, catalogue),
        steps=build_steps(shape.steps, ids, catalogue),
        steps_until=shape.steps_until,
        verify=tuple(build_condition(condition, catalogue) for condition in shape.verify),
        on_failure=shape.on_failure,
        revert_after=shape.revert_after,
        notify=_notify(shape.notify),
        docs=Docs(shape.docs.runbook_url, shape.docs.meaning, shape.docs.impact, shape.docs.by_hand),
        owner_words=owner_words,
    )


def _alternatives(shape: PlaybookShape) -> tuple[tuple[Matcher, ...], ...]:
    common = tuple(shape.matchers or ())
    if not shape.match_any:
        return (common,)
    return tuple((*common, *alternative) for alternative in shape.match_any)


def _intervals(written: list[str | TimeInterval], names: Names | None) -> tuple[TimeInterval, ...]:
    """Put the configuration's intervals in the place of their names; without a configuration a name stands for none."""
    known: Mapping[str, tuple[TimeInterval, ...]] = names.time_intervals if names else {}
    found: list[TimeInterval] = []
    for item in written:
        if isinstance(item, str):
            found.extend(known.get(item, ()))
        else:
            found.append(item)
    return tuple(found)


def _limits(shape: LimitsShape) -> Limits:
    return Limits(
        per_target=shape.per_target,
        per_playbook=shape.per_playbook,
        concurrent=shape.concurrent,
        cooldown=shape.cooldown,
        attempts=shape.attempts,
        max_age=shape.max_age,
        recurrence=shape.recurrence,
        trip_after=shape.trip_after,
        blast_radius=_radius(shape.blast_radius),
        mass_failure=_mass(shape.mass_failure),
    )


def _mass(shape: MassFailureShape) -> Share | None:
    """All of them may be sick: then nothing is counted either."""
    return None if shape.share >= 1 else Share(shape.share, total=shape.total)


def _radius(shape: RadiusShape | None) -> Share | None:
    return None if shape is None else Share(shape.share, shape.of, shape.total)


def _notify(shape: NotifyShape) -> NotifyRule:
    told = [(f"slack:{channel}", shape.slack.states) for channel in shape.slack.channel] if shape.slack else []
    if shape.pagerduty:
        told.append((f"pagerduty:{shape.pagerduty.service}", shape.pagerduty.states))
    for kind in ("webhook", "email", "teams", "slack_webhook", "apprise"):
        told += [(f"{kind}:{one}", None) for one in getattr(shape, kind)]
    return NotifyRule(
        destinations=tuple(destination for destination, _ in told),
        replace=shape.replace,
        states={destination: frozenset(states) for destination, states in told if states},
    )
