"""Rows to the domain's values and back."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, case, literal

from responder.domain.alerts import Delivery, Severity
from responder.domain.episodes import DecisionRow, Episode, EpisodeState, Incident
from responder.domain.findings import Finding
from responder.domain.limits import Pause
from responder.domain.modes import Mode
from responder.domain.notification import Approval
from responder.domain.records import Record, RecordState
from responder.domain.runs import FORMAT, Context, Progress, Run, RunState
from responder.domain.verdicts import Verdict
from responder.stores.core.types import Instant

BONUS: Mapping[Severity, timedelta] = {
    Severity.CRITICAL: timedelta(seconds=60),
    Severity.HIGH: timedelta(seconds=30),
    Severity.MEDIUM: timedelta(seconds=10),
    Severity.LOW: timedelta(),
}
"""How much earlier than a low one a run goes that is due at the same time; what waits longer overtakes in the end."""

HELD, OVERDUE, TAKEN = "held", "overdue", "taken"
"""States of a page that waits: nobody was called yet, somebody was, a person has answered."""

_RUN_STATES = frozenset(state.value for state in RunState)
_STATES = {state.value: state for state in EpisodeState}
_SEVERITIES = {severity.value: severity for severity in Severity}
_VERDICTS = {verdict.value: verdict for verdict in Verdict}

AnyRow = Row[Any]


def rank_at(due_at: datetime, severity: Severity) -> datetime:
    """Return the instant by which due runs are ordered."""
    return due_at - BONUS[severity]


def rank_now(severity: ColumnElement[str], now: datetime) -> ColumnElement[datetime]:
    """Return ``rank_at`` for rows that are due at ``now``."""
    return case(
        {name.value: literal(now - bonus, Instant) for name, bonus in BONUS.items()},
        value=severity,
        else_=literal(now, Instant),
    )


def urgency(severity: ColumnElement[str]) -> ColumnElement[int]:
    """Return the rank of a severity, 0 for critical."""
    return case({name.value: literal(name.rank) for name in Severity}, value=severity, else_=len(Severity) - 1)


def group_hash(source: str, receiver: str, group_key: str) -> str:
    """Return what stands for a group in indexes; group keys may be longer than an index entry can be."""
    return hashlib.sha256(f"{source}\0{receiver}\0{group_key}".encode("utf-8", "replace")).hexdigest()


def delivery(row: AnyRow) -> Delivery:
    """Read a delivery."""
    return Delivery(row.id, row.source, row.received_at, row.body, row.cursor, row.attempts, row.epoch)


def episode(row: AnyRow) -> Episode:
    """Read an episode."""
    return Episode(
        id=row.id,
        source=row.source,
        fingerprint=row.fingerprint,
        state=_STATES[row.state],
        labels=row.labels,
        annotations=row.annotations,
        generator_url=row.generator_url,
        severity=_SEVERITIES[row.severity],
        starts_at=row.starts_at,
        opened_at=row.opened_at,
        evidence_at=row.evidence_at,
        closed_at=row.closed_at,
        closed_reason=row.closed_reason,
        incident_id=row.incident_id,
        reconsider_at=row.reconsider_at,
        after=row.after,
        flaps=tuple(datetime.fromisoformat(flap) for flap in row.flaps),
        suppressed=row.suppressed,
        missing_since=row.missing_since,
    )


def episode_values(one: Episode) -> dict[str, Any]:
    """Write an episode."""
    return {
        "id": one.id,
        "source": one.source,
        "fingerprint": one.fingerprint,
        "state": one.state.value,
        "labels": one.labels,
        "annotations": one.annotations,
        "generator_url": one.generator_url,
        "severity": one.severity.value,
        "starts_at": one.starts_at,
        "opened_at": one.opened_at,
        "evidence_at": one.evidence_at,
        "closed_at": one.closed_at,
        "closed_reason": one.closed_reason,
        "incident_id": one.incident_id,
        "reconsider_at": one.reconsider_at,
        "after": one.after,
        "flaps": [flap.isoformat() for flap in one.flaps],
        "suppressed": one.suppressed,
        "missing_since": one.missing_since,
    }


def incident(row: AnyRow) -> Incident:
    """Read an incident."""
    return Incident(
        id=row.id,
        source=row.source,
        receiver=row.receiver,
        group_key=row.group_key,
        group_labels=row.group_labels,
        external_url=row.external_url,
        severity=_SEVERITIES[row.severity],
        opened_at=row.opened_at,
        team=row.team,
        needs_person=row.needs_person,
        needs_person_run=row.needs_person_run,
        resolved_at=row.resolved_at,
        closed_reason=row.closed_reason,
    )


def incident_values(one: Incident) -> dict[str, Any]:
    """Write an incident."""
    return {
        "id": one.id,
        "source": one.source,
        "receiver": one.receiver,
        "group_key": one.group_key,
        "group_hash": group_hash(one.source, one.receiver, one.group_key),
        "group_labels": one.group_labels,
        "external_url": one.external_url,
        "severity": one.severity.value,
        "opened_at": one.opened_at,
        "team": one.team,
        "needs_person": one.needs_person,
        "needs_person_run": one.needs_person_run,
        "resolved_at": one.resolved_at,
        "closed_reason": one.closed_reason,
    }


def finding(row: AnyRow) -> Finding:
    """Read a finding."""
    return Finding(name=row.name, at=row.at, text=row.text, body=row.body, data=row.data)


def decision(row: AnyRow) -> DecisionRow:
    """Read a decision."""
    return DecisionRow(
        episode_id=row.episode_id,
        playbook=row.playbook,
        verdict=row.verdict,
        reason=row.reason,
        at=row.at,
        target=row.target,
        run_id=row.run_id,
        retry_at=row.retry_at,
        id=row.id,
        first_at=row.first_at,
        count=row.times,
    )


def state(word: str, *, over: bool) -> RunState:
    """Return the state of a run as others see it: of one that is not known here, the one that lets least happen."""
    known = RunState.UNKNOWN if over else RunState.ACTING
    return RunState(word) if word in _RUN_STATES else known


def run(row: AnyRow) -> Run:
    """Read a run."""
    return Run(
        id=row.id,
        kind=row.kind,
        playbook=row.playbook,
        revision=row.revision,
        target=row.target,
        state=RunState(row.state),
        mode=Mode(row.mode),
        severity=_SEVERITIES[row.severity],
        incident_id=row.incident_id,
        context=Context.model_validate(row.context),
        created_at=row.created_at,
        due_at=row.due_at,
        deadline=row.deadline,
        progress=Progress.model_validate(row.progress),
        of_run=row.of_run,
        stop_by=row.stop_by,
        verdict=None if row.verdict is None else _VERDICTS[row.verdict],
        reason=row.reason,
        started_at=row.started_at,
        finished_at=row.finished_at,
        kept_at=row.kept_at,
        effects=row.effects,
        attempts=row.attempts,
        epoch=row.epoch,
        caused_by=row.caused_by,
        depth=row.depth,
    )


def run_changes(one: Run) -> dict[str, Any]:
    """Write what a turn may change of a run: not who asked to stop it, nor when it began, its lease or due time."""
    return {
        "target": one.target,
        "state": one.state.value,
        "progress": one.progress,
        "verdict": None if one.verdict is None else one.verdict.value,
        "reason": one.reason,
        "finished_at": one.finished_at,
        "kept_at": one.kept_at,
        "deadline": one.deadline,
        "effects": one.effects,
        "format": FORMAT,
    }


def run_values(one: Run) -> dict[str, Any]:
    """Write a new run."""
    return {
        **run_changes(one),
        "id": one.id,
        "kind": one.kind,
        "playbook": one.playbook,
        "revision": one.revision,
        "mode": one.mode.value,
        "severity": one.severity.value,
        "incident_id": one.incident_id,
        "context": one.context,
        "of_run": one.of_run,
        "stop_by": one.stop_by,
        "created_at": one.created_at,
        "started_at": one.started_at,
        "acted": False,
        "nudged": False,
        "due_at": one.due_at,
        "rank_at": rank_at(one.due_at, one.severity),
        "lease_until": None,
        "attempts": one.attempts,
        "epoch": one.epoch,
        "caused_by": one.caused_by,
        "depth": one.depth,
    }


def record(row: AnyRow) -> Record:
    """Read a rollback record."""
    return Record(
        id=row.id,
        run_id=row.run_id,
        index=row.place,
        step=row.step,
        action=row.action,
        target=row.target,
        arguments=row.arguments,
        before=row.before,
        planned=row.planned,
        state=RecordState(row.state),
        created_at=row.created_at,
        fence=row.fence,
        observed=row.observed,
        evidence=row.evidence,
        message=row.message,
        settled_at=row.settled_at,
        undone_at=row.undone_at,
    )


def record_changes(one: Record) -> dict[str, Any]:
    """Write what may change of a record once it is there."""
    return {
        "state": one.state.value,
        "observed": one.observed,
        "evidence": one.evidence,
        "message": one.message,
        "settled_at": one.settled_at,
        "undone_at": one.undone_at,
    }


def record_values(one: Record) -> dict[str, Any]:
    """Write a new record."""
    return {
        **record_changes(one),
        "id": one.id,
        "run_id": one.run_id,
        "place": one.index,
        "step": one.step,
        "action": one.action,
        "target": one.target,
        "arguments": one.arguments,
        "before": one.before,
        "planned": one.planned,
        "fence": one.fence,
        "created_at": one.created_at,
    }


def approval(row: AnyRow) -> Approval:
    """Read an approval."""
    return Approval(
        id=row.id,
        run_id=row.run_id,
        plan_hash=row.plan_hash,
        plan=row.plan,
        state=row.state,
        asked_at=row.asked_at,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        comment=row.comment,
        four_eyes=row.four_eyes,
        first_by=row.first_by,
        first_at=row.first_at,
        first_comment=row.first_comment,
    )


def approval_values(one: Approval) -> dict[str, Any]:
    """Write an approval."""
    return {
        **answer_values(one),
        "id": one.id,
        "run_id": one.run_id,
        "plan_hash": one.plan_hash,
        "plan": one.plan,
        "asked_at": one.asked_at,
        "expires_at": one.expires_at,
        "four_eyes": one.four_eyes,
    }


def answer_values(one: Approval) -> dict[str, Any]:
    """Write what an answer changes of an approval."""
    return {
        "state": one.state,
        "decided_by": one.decided_by,
        "decided_at": one.decided_at,
        "comment": one.comment,
        "first_by": one.first_by,
        "first_at": one.first_at,
        "first_comment": one.first_comment,
    }


def pause(row: AnyRow) -> Pause:
    """Read a pause, as ``Prepared.sight`` shows it."""
    return Pause(id=row.a, kind=row.b, scope=row.c, reason=row.d, actor=row.e, created_at=row.at, until=row.at2)


def pause_of(row: AnyRow) -> Pause:
    """Read a pause from its table."""
    return Pause(
        id=row.id,
        kind=row.kind,
        scope=row.scope,
        reason=row.reason,
        actor=row.actor,
        created_at=row.created_at,
        until=row.until,
    )


def pause_values(one: Pause) -> dict[str, Any]:
    """Write a pause that is in force."""
    return {
        "id": one.id,
        "kind": one.kind,
        "scope": one.scope,
        "reason": one.reason,
        "actor": one.actor,
        "created_at": one.created_at,
        "until": one.until,
        "lifted_at": None,
        "lifted_by": "",
    }
