"""Changes that were kept for a time only: how it ended with them. Whoever read until when has to hear of that."""

from responder.domain.notification import Account
from responder.domain.records import RecordState
from responder.domain.runs import Run

_THERE = frozenset({RecordState.APPLIED, RecordState.UNDO_FAILED})


def ended(account: Account) -> int:
    """Return for how many runs it has ended; what a person takes back is told as that.

    Of a large incident only the latest runs are read: their count would say nothing, so it is 0.
    """
    back = {run.of_run for run in account.runs if run.kind == "rollback"}
    over = [run for run in account.runs if run.kept_at is not None and run.state.final and run.id not in back]
    return 0 if account.beyond.runs else len(over)


def fate(account: Account, run: Run | None) -> str:
    """Return what has become of what ``run`` was to give back, empty while that is open or there was nothing."""
    if run is None or run.kind == "rollback" or run.kept_at is None or not run.state.final:
        return ""
    states = {one.state for one in account.records if one.run_id == run.id}
    if states & _THERE:
        return "the change stays"
    return "the change was given back" if RecordState.UNDONE in states else ""
