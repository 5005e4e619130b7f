"""What people have done about runs: said yes, stopped one, taken its changes back; and who it was."""

from collections.abc import Sequence

from responder.domain.notification import Account, Approval
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.tell.words import short

PERSON = 120
"""Characters of a person's name."""
SAID_NO = frozenset({Verdict.STOPPED, Verdict.REJECTED})
"""Ends that a person has chosen: what they ended is not begun again for the alert."""


def taken_back(account: Account, run: Run) -> Run | None:
    """Return the rollback by which a person has taken back what ``run`` changed, or a part of it; None for none."""
    found = [one for one in account.runs if one.of_run == run.id and _has_undone(account, one)]
    return max(found, key=lambda one: (one.finished_at or one.created_at, one.id), default=None)


def taking(account: Account, run: Run | None) -> Run | None:
    """Return the rollback that ``run`` is, or by which it was taken back."""
    if run is None:
        return None
    return run if run.kind == "rollback" and _has_undone(account, run) else taken_back(account, run)


def _has_undone(account: Account, rollback: Run) -> bool:
    if rollback.kind != "rollback" or rollback.state not in (RunState.ROLLED_BACK, RunState.PARTLY_ROLLED_BACK):
        return False
    mine = (one.state for one in account.records if one.run_id == rollback.of_run)
    return rollback.state is RunState.ROLLED_BACK or RecordState.UNDONE in mine


def ended_by_a_person(account: Account, run: Run) -> bool:
    """Say whether a person has stopped it, said no to it or taken it back."""
    stopped = run.state.final and run.kind == "forward" and run.verdict in SAID_NO
    return stopped or taking(account, run) is not None


def who(run: Run, verb: str) -> str:
    """Return ``by ana`` behind a verb: who has asked for a rollback, where that is known."""
    by = short(run.context.requested_by, PERSON)
    return f"{verb} by {by}" if by else verb


def answered_by(approvals: Sequence[Approval], run: Run) -> str:
    """Return who has said yes to what ``run`` asks now; empty while nobody has."""
    latest = _latest(approvals, run)
    if latest is None or latest.state not in ("approved", "spent"):
        return ""
    names = [short(one, PERSON) for one in (latest.first_by, latest.decided_by) if one]
    return " and ".join(dict.fromkeys(names)) or "a person"


def declined_by(approvals: Sequence[Approval], run: Run) -> str:
    """Return who has said no to what ``run`` asks now, and has not been heeded yet; empty while nobody has."""
    latest = _latest(approvals, run)
    if latest is None or latest.state != "rejected" or not run.waits_for_yes:
        return ""
    return short(latest.decided_by, PERSON) or "a person"


def _latest(approvals: Sequence[Approval], run: Run) -> Approval | None:
    mine = [one for one in approvals if one.run_id == run.id]
    return max(mine, key=lambda one: one.asked_at, default=None)
