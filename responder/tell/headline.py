"""The outcome in a word: from the state now, with the latch that a person is needed before everything else."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from responder.domain.causes import began
from responder.domain.episodes import Episode, EpisodeState
from responder.domain.notification import Account, Headline
from responder.domain.records import Record, RecordState
from responder.domain.runs import HELPED, Run, RunState
from responder.language.durations import human_duration
from responder.tell.by_people import answered_by, declined_by, taken_back, taking, who
from responder.tell.lent import fate
from responder.tell.words import clock, short, until

NAME = 120
"""Characters of an alert's name, so that one hostile label cannot crowd out the rest."""
LOOKING = frozenset({RunState.RESOLVING, RunState.CHECKING})
"""States in which nobody can say yet that anything will be done."""
WORKING = frozenset({RunState.READY, RunState.ACTING, RunState.VERIFYING, RunState.UNDOING})
"""States in which the alert is being fixed; what is given back has been."""
OVER = frozenset({Headline.FIXED, Headline.RESOLVED})
ASKS = frozenset({Headline.WAITING, Headline.OVERDUE})
"""What a yes or a no is the answer to."""
LATCHED = {
    RunState.ROLLED_BACK: Headline.ROLLED_BACK,
    RunState.PARTLY_ROLLED_BACK: Headline.PARTLY_UNDONE,
    RunState.FAILED: Headline.FAILED,
    RunState.UNKNOWN: Headline.UNKNOWN,
}
_LEFT_NOTHING = frozenset({RunState.SKIPPED, RunState.ROLLED_BACK, RunState.EXPIRED, RunState.CANCELLED})
"""Ends of which nothing stands any more: what a later run does there is the news."""


def firing(account: Account) -> Sequence[Episode]:
    """Return the open episodes, the most severe and oldest first."""
    return [one for one in ranked(account) if one.state is EpisodeState.OPEN]


def ranked(account: Account) -> Sequence[Episode]:
    """Return every episode: open ones first, then the most severe, then the oldest."""
    return sorted(
        account.episodes, key=lambda one: (one.state is not EpisodeState.OPEN, one.severity.rank, one.opened_at, one.id)
    )


def alert_name(account: Account) -> str:
    """Return the name of the alert that is worst off."""
    worst = next(iter(ranked(account)), None)
    labels = worst.labels if worst else account.incident.group_labels
    return short(labels.get("alertname") or "(no alertname)", NAME)


def main_run(account: Account) -> Run | None:
    """Return the run that the headline is about: the latched one, else the one that waits, works or ended last."""
    latched = account.incident.needs_person and _latched_run(account)
    if latched:
        return since(account, latched) or latched
    asking = [run for run in account.runs if run.waits_for_yes]
    if asking:
        return asking[-1]
    for states in ({RunState.PARKED}, WORKING, LOOKING):
        found = [run for run in account.runs if run.state in states]
        if found:
            return found[-1]
    ended = [run for run in account.runs if run.state is not RunState.SKIPPED] or list(account.runs)
    return max(ended, key=lambda run: (run.finished_at or run.created_at, run.id), default=None)


def since(account: Account, latched: Run) -> Run | None:
    """Return the run that has changed something, or asks, where ``latched`` has left everything as it was before it.

    The need for a person stays; what is true now is what that run says.
    """
    if latched.state not in _LEFT_NOTHING or latched.finished_at is None:
        return None
    changed = {one.run_id for one in account.records if one.state is not RecordState.NOT_APPLIED}
    found = [
        run
        for run in account.runs
        if run.target == latched.target
        and run.kind == "forward"
        and run.created_at >= latched.finished_at
        and (run.id in changed or run.waits_for_yes)
    ]
    return max(found, key=lambda run: (run.created_at, run.id), default=None)


def _latched_run(account: Account) -> Run | None:
    by_id = {run.id: run for run in account.runs}
    named = by_id.get(account.incident.needs_person_run)
    if named is not None:
        return named
    ended = [run for run in account.runs if run.state in LATCHED]
    return max(ended, key=lambda run: (run.finished_at or run.created_at, run.id), default=None)


def headline(account: Account) -> Headline:
    """Return the state of the incident now in a word; while a page is out, the word says so."""
    word = _as_it_stands(account)
    called = account.incident.needs_person and word is not Headline.WAITING
    if called or not account.overdue or not _unsolved(account, word):
        return word
    return Headline.OVERDUE if word is Headline.WAITING else Headline.NEEDS_YOU


def _as_it_stands(account: Account) -> Headline:
    if account.incident.needs_person:
        run = _latched_run(account)
        return _needed(account, run) if run else Headline.NEEDS_YOU
    states = {run.state for run in account.runs}
    asking = [run for run in account.runs if _asks(account, run)]
    if asking:
        return Headline.FIXING if _answered(account, asking) else Headline.WAITING
    if RunState.PARKED in states:
        # Whoever halted it knows. Where nobody goes on with it in time, the page is out and says that a person must.
        return Headline.PARKED
    if states & WORKING:
        run = main_run(account)
        return Headline.UNDOING if run is not None and _goes_back(account, run) else Headline.FIXING
    if account.incident.resolved_at is not None:
        return Headline.RESOLVED
    return _settled(account)


def _goes_back(account: Account, run: Run) -> bool:
    return run.state is RunState.UNDOING or run.kind == "rollback" or bool(declined_by(account.approvals, run))


def _needed(account: Account, latched: Run) -> Headline:
    later = since(account, latched)
    if later is None:
        return _latched(account, latched)
    asks = _asks(account, later) and not _answered(account, [later])
    return Headline.WAITING if asks else _latched(account, later)


def _latched(account: Account, run: Run) -> Headline:
    word = LATCHED.get(run.state, Headline.NEEDS_YOU)
    return Headline.NOT_UNDONE if word is Headline.PARTLY_UNDONE and nothing_undone(run, account.records) else word


def nothing_undone(run: Run, records: Sequence[Record]) -> bool:
    """Say whether a run that was to be undone, or to undo another, has left every change as it was."""
    return not any(one.state is RecordState.UNDONE for one in records if one.run_id in (run.id, run.of_run))


def unsolved(account: Account) -> bool:
    """Say whether somebody would be called for the incident now although nothing has gone wrong with a fix.

    It is critical or high, and neither resolved nor verified: a fix is under way, waits, or is not made at all. Where
    every alert that fires is silenced or inhibited, somebody knows of it, or is called for another one.
    """
    return _unsolved(account, _as_it_stands(account))


def _unsolved(account: Account, word: Headline) -> bool:
    fires = firing(account)
    if fires and all(one.suppressed for one in fires):  # of a large incident, what nobody has silenced is read first
        return False
    return account.incident.severity.wakes and word not in OVER


def _asks(account: Account, run: Run) -> bool:
    """Whether a run waits for approval, or for its yes to be taken up; behind a no it is about to end."""
    return run.waits_for_yes and not declined_by(account.approvals, run)


def _answered(account: Account, waiting: Sequence[Run]) -> bool:
    """Whether each of the runs that wait for approval has its yes already: it has to be taken up, or just is."""
    return all(answered_by(account.approvals, run) for run in waiting)


def _settled(account: Account) -> Headline:
    """Return the word for an incident at which nobody is working."""
    runs_of = served(account)
    runs = [_last_run(account, runs_of.get(episode.id, frozenset())) for episode in firing(account)]
    back = {run.id for run in runs if run is not None and taken_back(account, run) is not None}
    last = {None if run is None else run.state for run in runs if run is None or run.id not in back}
    last |= account.beyond.ends
    if not last and not back:
        helped = (run for run in account.runs if run.state in HELPED)
        return Headline.FIXED if any(taken_back(account, run) is None for run in helped) else Headline.RESOLVED
    if last <= HELPED:
        return Headline.TAKEN_BACK if back else Headline.FIXED
    if last == {RunState.OBSERVED}:
        return Headline.OBSERVED
    return Headline.FIRING


def served(account: Account) -> Mapping[str, Collection[str]]:
    """Return the runs that served each episode, as the decisions say: read once, there may be thousands of both."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in account.decisions:
        if one.run_id:
            found[one.episode_id].add(one.run_id)
    return found


def _last_run(account: Account, ids: Collection[str]) -> Run | None:
    """Return the latest of the runs that served an episode; without any decision, the latest of all."""
    served = [run for run in account.runs if run.id in ids or not account.decisions]
    told = [run for run in served if run.state is not RunState.SKIPPED and run.kind == "forward"]
    return max(told, key=lambda run: (run.created_at, run.id), default=None)


def phrase(account: Account, word: Headline, now: datetime) -> str:
    """Return the headline with its time, where the time is the news: ``Fixed in 3m12s``, ``Firing 2m``."""
    run = main_run(account)
    became = f", {end}" if word in OVER and (end := fate(account, run)) else ""
    return f"{_timed(account, word, run, now)}{became}"


def _timed(account: Account, word: Headline, run: Run | None, now: datetime) -> str:
    if word is Headline.FIXED and run is not None:
        took = (run.kept_at or run.finished_at or now) - account.incident.opened_at
        return f"{word} in {human_duration(took)}"
    if word is Headline.RESOLVED:
        return f"{word} after {human_duration(_ended(account, now) - _began(account))}"
    if word in ASKS and run is not None:
        return f"{word} until {_expiry(account, run)}"
    if word is Headline.FIRING:
        return f"{word} {human_duration(max(now - _began(account), now - now))}"
    return _named(account, word, run)


def _named(account: Account, word: Headline, run: Run | None) -> str:
    """Return the headline with who has taken a change back, or is having it taken back."""
    if word is Headline.UNDOING and run is not None and run.kind == "rollback":
        return who(run, f"{word}, asked") if run.context.requested_by else str(word)
    back = taking(account, run) if word is Headline.TAKEN_BACK else None
    return str(word) if back is None else who(back, str(word))


def age(account: Account, word: Headline, now: datetime) -> str:
    """Return for how long it has been firing and since when, or that it is over: ``firing 3m20s, since 14:02 UTC``."""
    since = _began(account)
    if word is Headline.RESOLVED:
        return f"from {clock(since).removesuffix(' UTC')} to {clock(_ended(account, now))}"
    if not firing(account):
        # What was left behind stays somebody's business when the alert has gone by itself.
        return "the alert is resolved"
    if word is Headline.FIRING:
        return f"since {clock(since)}"
    if word is Headline.FIXED:
        return f"since {clock(since)}, the alert has not ended yet"
    return f"firing {human_duration(max(now - since, now - now))}, since {clock(since)}"


def _ended(account: Account, now: datetime) -> datetime:
    return account.incident.resolved_at or max(
        (one.closed_at for one in account.episodes if one.closed_at), default=now
    )


def _began(account: Account) -> datetime:
    """Return since when its first alert has been firing: we may have heard of it late, after an outage of our own."""
    return min([account.incident.opened_at, *(began(one) for one in account.episodes)])


def _expiry(account: Account, run: Run) -> str:
    waiting = [one for one in account.approvals if one.run_id == run.id and one.state == "pending"]
    return until(waiting[-1].expires_at, waiting[-1].asked_at) if waiting else clock(run.deadline)
