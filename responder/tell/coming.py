"""What happens next by itself: the sentence that says whether somebody may go back to sleep."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from responder.domain.episodes import DecisionRow, EpisodeState
from responder.domain.notification import Account, Headline
from responder.domain.records import OVER as OF_NOTHING
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.language.durations import human_duration
from responder.tell.buttons import several
from responder.tell.by_people import PERSON, SAID_NO, answered_by, ended_by_a_person
from responder.tell.docs import Docs
from responder.tell.headline import ASKS, LOOKING, OVER
from responder.tell.words import clock, short, until

NOTHING = "nothing happens by itself until somebody has looked"
ASKS_ONCE_MORE = "nothing is changed without a yes; it asks once more when the alert is repeated"
"""After a plan to which nobody has answered, where ``attempts`` allows for another run."""
_LEFT = "nothing further is done for this alert by itself"
LEFT = "the alert still fires; nothing further is done for it by itself"
"""After a person has stopped a run, said no to it or taken it back."""
_S = RunState
_STANDS = frozenset(RecordState) - OF_NOTHING
_OTHERWISE: Mapping[str, str] = {
    "undo": "otherwise it is undone",
    "keep": "otherwise it stays as it is",
    "page": "otherwise it stays as it is, and a person is called",
}
"""What follows a check that fails, by the playbook's ``on_failure``."""


def coming(account: Account, word: Headline, run: Run | None, docs: Docs) -> str:
    """Return what happens next, empty where the lines say it already or nothing is known."""
    if account.incident.needs_person and word not in ASKS:
        goes_on = any(not one.state.final and one.state is not _S.KEPT for one in account.runs)
        return "" if goes_on or _tried_again(account, run) else _again(account, docs)
    if word in OVER or run is None:
        return ""
    if word is Headline.OBSERVED:
        return "nothing, it only watches (mode observe); to let it act, set mode: approve or auto in its playbook"
    if ended_by_a_person(account, run):
        return "" if several(account) or _tried_again(account, run) else LEFT
    return _without_a_yes(account, run, docs) if word in ASKS else _goes_on(account, run, docs)


def _goes_on(account: Account, run: Run, docs: Docs) -> str:
    return _behind_a_yes(account, run, docs) or _at_work(run, docs)


def _between(account: Account, run: Run, by: str) -> str:
    """Return what follows a question between two steps: its playbook's ``on_timeout`` is about its plan only."""
    if any(one.run_id == run.id and one.state in _STANDS for one in account.records):
        return f"what was changed stands until then; without a yes by {by} it is undone, and a person is called"
    return f"nothing further is done without a yes; without one by {by} a person is called"


def _behind_a_yes(account: Account, run: Run, docs: Docs) -> str:
    if run.state is not _S.AWAITING_APPROVAL or not answered_by(account.approvals, run):
        return ""
    return f"what was approved is looked at once more and done; then {_judged(docs)}"


def _tried_again(account: Account, run: Run | None) -> bool:
    """Say whether something was decided since that has a time: then that time is told."""
    since = run.finished_at if run is not None else None
    decided = in_force(account.decisions)
    return any(one.retry_at is not None and (since is None or one.at >= since) for one in decided)


def in_force(decided: Sequence[DecisionRow]) -> Sequence[DecisionRow]:
    """Return the decisions behind which nothing else was decided of the same playbook for the same alert."""
    latest: dict[tuple[str, str], datetime] = {}
    for one in decided:
        key = (one.episode_id, one.playbook)
        latest[key] = max(one.at, latest.get(key, one.at))
    return [one for one in decided if one.at == latest[one.episode_id, one.playbook]]


def _again(account: Account, docs: Docs) -> str:
    """Say when it is looked at again by itself, though a person is needed; else that this takes somebody.

    Every alert is looked at again some time. It matters where the last run was refused for what passes by itself.
    """
    last = max(account.runs, key=lambda run: (run.created_at, run.id), default=None)
    if last is not None and _may_ask_once_more(account, last, docs):
        return ASKS_ONCE_MORE
    if last is None or last.state is not _S.SKIPPED or last.verdict is None or not last.verdict.later:
        return NOTHING
    due = [one.reconsider_at for one in account.episodes if one.state is EpisodeState.OPEN and one.reconsider_at]
    if not due or last.verdict is Verdict.QUARANTINED:
        return NOTHING
    return f"it looks again by itself at {clock(min(due))}, and goes on then if nothing stands in the way any more"


def _may_ask_once_more(account: Account, last: Run, docs: Docs) -> bool:
    if last.state is not _S.EXPIRED or last.verdict is not Verdict.APPROVAL_EXPIRED or last.effects:
        return False
    tries = [one for one in account.runs if one.playbook == last.playbook and one.state is not _S.SKIPPED]
    return len(tries) < docs.attempts


def _without_a_yes(account: Account, run: Run, docs: Docs) -> str:
    asked = [one for one in account.approvals if one.run_id == run.id and one.state == "pending"]
    if not asked:
        return ""
    by = until(asked[-1].expires_at, asked[-1].asked_at)
    if run.progress.asking:
        return _between(account, run, by)
    left = "a person is called" if docs.on_timeout != "skip" else "it is left alone"
    return f"nothing is changed without a yes; without one by {by} {left}"


def _judged(docs: Docs) -> str:
    return f"it checks whether that helps; {_OTHERWISE[docs.on_failure]}"


def _after_the_undo(run: Run) -> str:
    if run.kind != "forward":
        return f"once it is taken back, {_LEFT}"
    if run.progress.ending in SAID_NO:
        said = "stopped it" if run.progress.ending is Verdict.STOPPED else "said no"
        by = short(run.stop_by, PERSON) if run.stop_by else "a person"
        return f"{by} {said}: once it is undone, {_LEFT}"
    if run.progress.goes_on:
        return "once it is undone, the next step has its turn"
    return "once it is undone, the next playbook has its turn, or a person is called"


def _at_work(run: Run, docs: Docs) -> str:
    if run.state in (_S.READY, _S.ACTING) and run.kind == "forward":
        return _judged(docs)
    if run.state is _S.VERIFYING:
        ends, began = run.progress.verify_until, run.progress.verify_from
        by = f" by {until(ends, began)}" if ends else ""
        back = f", and given back after {human_duration(docs.revert_after)}" if docs.revert_after else ""
        return f"kept if the checks hold{by}{back}; {_OTHERWISE[docs.on_failure]}"
    if run.state is _S.UNDOING:
        return _after_the_undo(run)
    return _AHEAD.get(run.state, "")


_AHEAD: Mapping[RunState, str] = {
    **dict.fromkeys(LOOKING, "its conditions are checked, then it says what it will change"),
    _S.PARKED: "it goes on where it stopped, once nothing halts it any more",
    _S.REVERTING: "given back one step at a time, as long as the checks hold",
}
