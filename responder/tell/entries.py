"""The thread: everything that happened, each once, with its time."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from responder.domain.episodes import EpisodeState
from responder.domain.notification import ASKED_TO_LOOK, Account, Approval, Click, Entry
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run, RunState
from responder.domain.sentences import quoted
from responder.tell.headline import ranked, unsolved
from responder.tell.lines import LINE, check_lines, record_line, run_line, undo_line
from responder.tell.notes import found
from responder.tell.words import short, until

ENTRIES = 100
"""How many of the latest entries are told."""
EPISODES = 20
_R = RecordState
_SETTLED_WITHOUT_EFFECT = frozenset({_R.NOT_APPLIED, _R.UNCERTAIN})
_QUIET_VERDICTS = frozenset({"run", "joined", "acted"})
"""Decisions that the runs themselves tell."""


def entries(account: Account, now: datetime) -> tuple[Entry, ...]:
    """Return what happened, oldest first; keys stay the same whenever it is composed."""
    happened = [
        *_episodes(account),
        *_decisions(account),
        *(entry for run in account.runs for entry in _run(run, account.records, now)),
        *(entry for record in account.records for entry in _record(record)),
        *(entry for approval in account.approvals for entry in _approval(approval)),
        *_person(account, now),
        *_taken(account),
        *(_click(one) for one in account.clicks),
        *found(account),
    ]
    ordered = sorted(happened, key=lambda entry: (entry.at, entry.key))
    return tuple(replace(entry, text=short(entry.text, LINE)) for entry in ordered[-ENTRIES:])


def _episodes(account: Account) -> Iterator[Entry]:
    for episode in ranked(account)[:EPISODES]:
        name = episode.labels.get("alertname") or "(no alertname)"
        rest = ", ".join(f"{key}={value}" for key, value in sorted(episode.labels.items()) if key != "alertname")
        yield Entry(f"episode:{episode.id}:open", episode.opened_at, f"firing: {short(name, 100)} ({rest})")
        if episode.state is EpisodeState.CLOSED and episode.closed_at is not None:
            text = f"{episode.closed_reason or 'resolved'}: {short(name, 100)}"
            yield Entry(f"episode:{episode.id}:closed", episode.closed_at, text)


def _decisions(account: Account) -> Iterator[Entry]:
    for one in account.decisions:
        if one.verdict not in _QUIET_VERDICTS:
            who = f"{one.playbook}: " if one.playbook else ""
            key = one.id or f"{one.episode_id}:{one.playbook}:{one.verdict}"
            yield Entry(f"decision:{key}", one.first_at or one.at, f"– {who}{one.reason}")


def _run(run: Run, records: Sequence[Record], now: datetime) -> Iterator[Entry]:
    by = f", asked by {run.context.requested_by}" if run.context.requested_by else ""
    after = f", after run {run.caused_by}" if run.caused_by and run.kind == "forward" else ""
    what = f"undo of run {run.of_run}" if run.kind == "rollback" else run.playbook
    yield Entry(
        f"run:{run.id}:created", run.created_at, f"○ {what} on {run.target}, mode {run.mode}{by}{after}: run {run.id}"
    )
    for number, said in enumerate(run.progress.said):
        yield Entry(f"run:{run.id}:said:{number}", said.at, f"– {said.text}")
    if run.progress.verify_from is not None:
        ends, began = run.progress.verify_until, run.progress.verify_from
        lasts = f" until {until(ends, began)}" if ends else ""
        yield Entry(f"run:{run.id}:verifying", run.progress.verify_from, f"◐ checking whether it helps{lasts}")
    if run.kept_at is not None and run.progress.keep_until is not None:
        text = f"✔ {run.playbook}: helped, kept until {until(run.progress.keep_until, run.kept_at)}, then given back"
        yield Entry(f"run:{run.id}:kept", run.kept_at, text)
    if run.state is RunState.PARKED:
        line = run_line(run, records)
        yield Entry(f"run:{run.id}:parked", now, f"{line.symbol} {line.text}")
    if run.finished_at is not None:
        line = run_line(run, records)
        checks = "; ".join(f"{check.symbol} {check.text}" for check in check_lines(run))
        text = f"{line.symbol} {line.text}{f' ({checks})' if checks and run.state in _MEASURED else ''}"
        yield Entry(f"run:{run.id}:{run.state}", run.finished_at, text)


_MEASURED = frozenset({RunState.VERIFIED, RunState.KEPT})


def _record(record: Record) -> Iterator[Entry]:
    at = record.settled_at or record.created_at
    if record.state is _R.INTENDED:
        return
    line = record_line(record)
    fate = record.state if record.state in _SETTLED_WITHOUT_EFFECT else _R.APPLIED
    yield Entry(f"record:{record.id}:{fate}", at, f"{line.symbol} {line.text}")
    undone = undo_line(record)
    if undone is not None and record.state is not _R.UNDO_INTENDED:
        yield Entry(f"record:{record.id}:{record.state}", record.undone_at or at, f"{undone.symbol} {undone.text}")


def _approval(approval: Approval) -> Iterator[Entry]:
    asked = f"○ run {approval.run_id} asks for approval until {until(approval.expires_at, approval.asked_at)}"
    yield Entry(f"approval:{approval.id}:asked", approval.asked_at, asked)
    if approval.first_at is not None:
        text = f"✔ first of two yeses by {approval.first_by}{_said(approval.first_comment)}"
        yield Entry(f"approval:{approval.id}:first", approval.first_at, text)
    if approval.decided_at is not None and approval.decided_by:
        verb = {"rejected": "✖ rejected", "void": "– withdrawn"}.get(approval.state, "✔ approved")
        text = f"{verb} by {approval.decided_by}{_said(approval.comment)}"
        yield Entry(f"approval:{approval.id}:decided", approval.decided_at, text)


def _said(comment: str) -> str:
    return f": {quoted(comment)}" if comment else ""


def _taken(account: Account) -> Iterator[Entry]:
    taken = account.acknowledged
    if taken is not None:
        yield Entry(f"acknowledged:{taken.at.isoformat()}", taken.at, f"✔ acknowledged by {taken.by}")


def _click(one: Click) -> Entry:
    if one.refused:
        return Entry(f"click:{one.id}", one.at, f"✖ nothing done for {one.by}: {one.refused}")
    return Entry(f"click:{one.id}", one.at, f"{one.by} pressed {one.button}")


def _person(account: Account, now: datetime) -> Iterator[Entry]:
    reason = account.incident.needs_person
    if account.overdue and unsolved(account):
        yield Entry(f"overdue:{account.incident.id}", now, f"⚠ {ASKED_TO_LOOK}", calls=True)
    if reason:
        by_id = {run.id: run for run in account.runs}
        run = by_id.get(account.incident.needs_person_run)
        key = hashlib.sha256(reason.encode(errors="replace")).hexdigest()[:12]
        # Of each run: the same reason after another one calls again.
        by = account.incident.needs_person_run
        at = (run.finished_at if run else None) or now
        yield Entry(f"person:{by}:{key}", at, f"⚠ a person is needed: {reason}", calls=True)
