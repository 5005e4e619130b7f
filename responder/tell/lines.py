"""What was done, in lines: steps with before → after, checks with what they measured, questions with their end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from pydantic import JsonValue

from responder.domain.notification import Account, Approval, Line
from responder.domain.records import Record, RecordState
from responder.domain.runs import HELPED, Check, PlannedStep, Run, RunState
from responder.domain.sentences import sentences
from responder.domain.verdicts import Verdict
from responder.language.durations import human_duration
from responder.tell.by_people import answered_by, declined_by, who
from responder.tell.headline import nothing_undone
from responder.tell.words import change, clock, short, until

LINE = 300
"""Characters of one line."""
RUNS_SHOWN = 3
WORTH_A_WORD = timedelta(seconds=1)
"""What took less time is told without it."""
DONE, UNDER_WAY, TO_DO, BAD, BACK, NOT = "✔", "◐", "○", "✖", "↩", "–"
_S, _R = RunState, RecordState

RUN_WORDS: Mapping[RunState, tuple[str, str]] = {
    _S.RESOLVING: (UNDER_WAY, "looking up the target"),
    _S.CHECKING: (UNDER_WAY, "checking its conditions"),
    _S.AWAITING_APPROVAL: (TO_DO, "waits for approval"),
    _S.READY: (UNDER_WAY, "about to act"),
    _S.ACTING: (UNDER_WAY, "acting"),
    _S.VERIFYING: (UNDER_WAY, "checking whether it helps"),
    _S.KEPT: (DONE, "helped, kept for now"),
    _S.REVERTING: (UNDER_WAY, "helped, is being given back"),
    _S.UNDOING: (UNDER_WAY, "undoing"),
    _S.PARKED: (NOT, "parked"),
    _S.VERIFIED: (DONE, "helped"),
    _S.ROLLED_BACK: (BACK, "undone"),
    _S.PARTLY_ROLLED_BACK: (BAD, "only partly undone"),
    _S.FAILED: (BAD, "failed"),
    _S.UNKNOWN: (BAD, "nobody can tell how it ended"),
    _S.SKIPPED: (NOT, "not done"),
    _S.OBSERVED: (NOT, "would have run (mode observe)"),
    _S.CANCELLED: (NOT, "stopped"),
    _S.EXPIRED: (BAD, "ran out of time"),
}
_BEFORE_ACTING = frozenset({_S.RESOLVING, _S.CHECKING, _S.AWAITING_APPROVAL, _S.READY})
_TAKES_BACK: Mapping[RunState, tuple[str, str]] = {
    _S.READY: (UNDER_WAY, "about to be taken back, as asked"),
    _S.UNDOING: (UNDER_WAY, "being taken back, as asked"),
    _S.ROLLED_BACK: (DONE, "taken back"),
}
"""How a rollback that a person has asked for stands."""
_JUDGED = frozenset({Verdict.VERIFY_FAILED, Verdict.VERIFY_UNKNOWN, Verdict.VERIFIED})
"""What checks lead to."""
_LIFT = "To let it go on: responder resume all, or one of those that responder pauses lists."
_NOT_MADE = frozenset({_R.INTENDED, _R.NOT_APPLIED, _R.UNCERTAIN})
"""Of these nobody may say that it has happened."""
_SENDING = frozenset({_S.ACTING, _S.UNDOING})
_UNDER_WAY = frozenset({_R.INTENDED, _R.UNDO_INTENDED})
_SELF_EXPLAINING = frozenset({_S.VERIFIED, _S.OBSERVED, _S.KEPT, _S.REVERTING})
"""Ends whose reason only repeats what the lines below say."""


def account_lines(account: Account) -> tuple[Line, ...]:
    """Return the lines of the latest runs that did or will do something, in order.

    Where a person is asked about one, that comes first, then the others back in time.
    """
    told = [run for run in account.runs if run.state is not _S.SKIPPED or run.progress.plan]
    why, asks = account.incident.needs_person, account.incident.needs_person_run
    asked = [run for run in told if why and run.id == asks]
    shown = [*asked, *(run for run in reversed(told) if run not in asked)][:RUNS_SHOWN]
    left = len(told) - len(shown) + account.beyond.runs
    earlier = [Line(NOT, _earlier(account, left))] if left else []
    lines: list[Line] = [] if asked else earlier
    for run in shown if asked else reversed(shown):
        lines.append(run_line(_unsaid_run(run, why), account.records, account.approvals))
        mine = [record for record in account.records if record.run_id == run.id]
        lines.extend(step_lines(run, [_unsaid(record, f"{why} {run.reason}") for record in mine]))
        lines.extend(check_lines(run))
        lines.extend(_approval_lines(account, run))
    lines += earlier if asked else []
    return tuple(Line(line.symbol, short(line.text, LINE)) for line in lines)


def _earlier(account: Account, count: int) -> str:
    return f"{count} earlier {'run' if count == 1 else 'runs'}: responder runs --where incident={account.incident.id}"


def _unsaid_run(run: Run, why: str) -> Run:
    """Leave out the reason when the message says it already, in why a person is needed."""
    return replace(run, reason="") if all(part in why for part in run.reason.split(". ")) else run


def _unsaid(record: Record, said: str) -> Record:
    """Leave out what a record says of its error when the message says it already."""
    kept = record.state in (_R.DRIFTED, _R.UNDONE)  # there it says what has happened, not why
    return replace(record, message="") if record.message in said and not kept else record


def run_words(run: Run, records: Sequence[Record], approvals: Sequence[Approval] = ()) -> tuple[str, str]:
    """Return the symbol and the words for how a run stands; ``records`` and ``approvals`` are the incident's."""
    symbol, words = _answered(run, approvals) or RUN_WORDS[run.state]
    if run.state is _S.KEPT and run.progress.keep_until is not None:
        words = f"helped, kept until {until(run.progress.keep_until, run.kept_at)}, then given back"
    if run.state is _S.PARTLY_ROLLED_BACK and nothing_undone(run, records):
        words = "not undone"
    if run.kind == "rollback" and run.state in _TAKES_BACK:
        symbol, words = _TAKES_BACK[run.state]
        words = who(run, words)
    if run.state in _SENDING and run.reason and run.progress.tries:
        in_doubt = any(one.run_id == run.id and one.state in _UNDER_WAY for one in records)
        words += ", looking again" if in_doubt else ", trying again"
    return symbol, words


def _answered(run: Run, approvals: Sequence[Approval]) -> tuple[str, str] | None:
    """Return the words for a run that has asked: who said yes or no to it, or that its plan is another one by now."""
    if no := declined_by(approvals, run):
        return BAD, f"{no} said no"
    by = answered_by(approvals, run)
    if by and run.state in (_S.AWAITING_APPROVAL, _S.READY):
        return UNDER_WAY, f"approved by {by}, about to act"
    if by and run.waits_for_yes:
        return UNDER_WAY, f"{by} said yes, goes on"
    if run.state is _S.AWAITING_APPROVAL and run.progress.asked > 1:
        return TO_DO, "the plan is another one by now, waits for approval of it"
    return None


def run_line(run: Run, records: Sequence[Record], approvals: Sequence[Approval] = ()) -> Line:
    """Return how a run stands: its playbook, its state and why it ended so.

    ``records`` and ``approvals`` are the incident's.
    """
    symbol, words = run_words(run, records, approvals)
    what = f"undoing run {run.of_run}" if run.kind == "rollback" else run.playbook
    took = ""
    helped_at = run.kept_at or run.finished_at
    if helped_at is not None and run.state is _S.VERIFIED:
        took = f", took {human_duration(helped_at - (run.started_at or run.created_at))}"
    says_more = run.kept_at is not None and run.state is _S.VERIFIED
    reason = run.reason.removeprefix("It helped. ") if says_more or run.state not in _SELF_EXPLAINING else ""
    if says_more and run.stop_by:
        reason = sentences(reason, "It stays as it is.")
    told = f"{what}: {words}{took}{f': {reason}' if reason else ''}"
    return Line(symbol, sentences(told, _LIFT) if run.state is _S.PARKED else told)


def step_lines(run: Run, records: Sequence[Record]) -> Iterator[Line]:
    """Return a line for each step, with what changed, and one for each change that was undone or could not be."""
    latest = {record.index: record for record in sorted(records, key=lambda record: (record.created_at, record.id))}
    for index, step in enumerate(run.progress.plan):
        record = latest.pop(index, None)
        yield _step_line(run, step) if record is None else record_line(record)
    for _, record in sorted(latest.items()):
        yield record_line(record)
    for record in sorted(records, key=lambda record: record.index, reverse=True):
        undone = undo_line(record)
        if undone is not None:
            yield undone
    for one in run.progress.tried:
        yield Line(NOT, f"{one.step} did not help: {one.reason}")


def _step_line(run: Run, step: PlannedStep) -> Line:
    what = named(step.id, change(step.before, step.after))
    if step.id in run.progress.passed:
        return Line(DONE, f"{step.id}: {step.after}")
    if step.id in run.progress.unchanged:
        return Line(NOT, f"{step.id}: nothing to change")
    if run.state is _S.OBSERVED:
        return Line(NOT, f"would do {what}")
    if run.state in HELPED:
        return Line(NOT, f"{what}: not needed")
    return Line(NOT, f"{what}: not done") if run.state.final else Line(TO_DO, what)


def record_line(record: Record) -> Line:
    """Return what a record says of its effect."""
    what = named(record.step, made(record))
    detail = f": {record.message}" if record.message else ""
    if record.state is _R.INTENDED:
        return Line(UNDER_WAY, what)
    if record.state is _R.NOT_APPLIED:
        return Line(BAD, f"{record.step}: not applied{detail}")
    if record.state is _R.UNCERTAIN:
        return Line(BAD, f"{what}: nobody can tell whether it was applied{detail}")
    return Line(DONE, named(record.step, made(record), _took(record)))


def _took(record: Record) -> str:
    """Return how long an effect took, where that is worth a word."""
    took = record.settled_at - record.created_at if record.settled_at is not None else timedelta()
    return f", {human_duration(took)}" if took >= WORTH_A_WORD else ""


def seen_of(record: Record) -> JsonValue:
    """Return what a change left: what the target showed, else what was planned."""
    return record.observed if record.observed is not None else record.planned


def made(record: Record) -> str:
    """Return what a record changed, or is to change: ``workers: 4 → 6``, ``ran `restart-web eu```."""
    return change(record.before, seen_of(record), done=record.state not in _NOT_MADE)


def undo_line(record: Record) -> Line | None:
    """Return what became of undoing a record; None when nobody tried."""
    back = named(record.step, change(seen_of(record), record.before, done=record.state is _R.UNDONE))
    detail = f": {record.message}" if record.message else ""
    if record.state is _R.UNDO_INTENDED:
        return Line(UNDER_WAY, f"undoing {back.removeprefix('run the undo of ')}")
    if record.state is _R.UNDONE:
        when = f", at {clock(record.undone_at)}" if record.undone_at else ""
        return Line(BACK, f"{back}{when}{_put_back(record)}")
    if record.state is _R.DRIFTED:
        now = record.message.removeprefix(Verdict.DRIFTED.sentence).strip()
        left = sentences("not undone, somebody else has changed it since and their edit was left alone", now)
        return Line(BAD, f"{named(record.step, made(record))}: {left}")
    if record.state is _R.UNDO_FAILED:
        return Line(BAD, f"{record.step}: could not be undone{detail}")
    if record.state is _R.UNDO_UNCERTAIN:
        return Line(BAD, f"{back}: nobody can tell whether it was undone{detail}")
    return None


def _put_back(record: Record) -> str:
    """Return that it was not we who put it back, where the record says so."""
    said = record.message.rstrip(".")
    return f": {said[0].lower()}{said[1:]}" if said else ""


def named(step: str, what: str, more: str = "") -> str:
    """Return what changed, and which step did it."""
    return f"{what} ({step}{more})" if what else f"{step}{more}"


def check_lines(run: Run) -> Iterator[Line]:
    """Return a line for each check: what it measured before, what now, and what it needs."""
    if run.state in _BEFORE_ACTING and not run.progress.checks:
        return
    for check in run.progress.checks:
        what = f"check {check.name}{measured(check)}{_held(check)}{_until(run, check)}"
        if check.last is not None and not check.done and _cut_off(run):
            yield Line(NOT, f"{what}, not judged to the end")
        elif check.last is not None and not check.done and check.last.outcome == "pass" and _ended_badly(run):
            yield Line(BAD, f"{what}, but not for long enough")
        else:
            yield Line(_check_symbol(run, check), what)


def _ended_badly(run: Run) -> bool:
    return run.state is _S.UNDOING or (run.state.final and run.state is not _S.VERIFIED)


def _cut_off(run: Run) -> bool:
    """Say whether something else than the checks has ended the checking, such as a person who stopped the run."""
    ending = run.progress.ending or run.verdict
    return _ended_badly(run) and ending not in (None, *_JUDGED)


def _held(check: Check) -> str:
    """Return for how long a check has held: ``, held 1m``; empty where it was asked once."""
    if check.last is None or check.last.outcome != "pass" or check.passing_since is None:
        return ""
    held = check.last.at - check.passing_since
    return f", held {human_duration(held)}" if held >= WORTH_A_WORD else ""


def _until(run: Run, check: Check) -> str:
    ends = run.progress.verify_until if run.state in (_S.VERIFYING, _S.REVERTING) else None
    return f", by {until(ends, run.progress.verify_from)}" if ends is not None and not check.done else ""


def _check_symbol(run: Run, check: Check) -> str:
    if check.last is None:
        return NOT if run.state.final else TO_DO
    if check.done or (run.state in (_S.VERIFIED, _S.KEPT) and check.last.outcome == "pass"):
        return DONE
    if not run.state.final and run.state is not _S.UNDOING:
        return UNDER_WAY
    return NOT if check.last.outcome == "unknown" else BAD


def measured(check: Check) -> str:
    """Return what a check saw: `` 4.1 % → 0.3 %, needs < 1 %``; empty before its first look."""
    if check.last is None:
        return ""
    if check.last.outcome == "unknown":
        return f": unknown: {check.last.reason}"
    before = _before(check)
    return f" {before} → {check.last.reason}" if before else f" {check.last.reason}"


def _before(check: Check) -> str:
    """Return the figure from before the first step, written as the samples write theirs; empty when none was taken."""
    if check.baseline is None:
        return ""
    shown = check.last.reason.partition(", needs")[0] if check.last else ""
    return f"{check.baseline * 100:.3g} %" if shown.endswith(" %") else f"{check.baseline:.4g}"


def _approval_lines(account: Account, run: Run) -> Iterator[Line]:
    if not run.waits_for_yes:
        return
    for one in account.approvals:
        if one.run_id == run.id and one.state == "pending":
            yield Line(TO_DO, f"may it?{_two(one)} responder approve {run.id}, or responder reject {run.id}, "
                              f"until {until(one.expires_at, one.asked_at)}")  # fmt: skip


def _two(asked: Approval) -> str:
    """Say that two people must say yes, and who has."""
    if not asked.four_eyes:
        return ""
    return f" {asked.first_by} said yes, somebody else must as well:" if asked.first_by else " Two people must say yes:"
