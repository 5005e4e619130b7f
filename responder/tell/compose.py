"""From an incident's account to what people are told: pure, from the state now, never from what was told before."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from responder.domain.episodes import DecisionRow, Episode
from responder.domain.notification import ASKED_TO_LOOK, OVERDUE, UNTOUCHED, Account, Headline, Line, Notification
from responder.domain.records import RecordState
from responder.domain.runs import HELPED, Run, RunState
from responder.domain.sentences import quoted, sentences
from responder.domain.targets import SEPARATOR
from responder.domain.verdicts import Verdict
from responder.tell import lent
from responder.tell.buttons import apart, asks_a_person, buttons, several, standing
from responder.tell.by_people import taking, who
from responder.tell.coming import coming, in_force
from responder.tell.docs import Docs, DocsOf, subject
from responder.tell.entries import entries
from responder.tell.headline import (
    ASKS,
    LATCHED,
    NAME,
    OVER,
    WORKING,
    age,
    alert_name,
    firing,
    headline,
    main_run,
    phrase,
    ranked,
    served,
    unsolved,
)
from responder.tell.lines import BAD, DONE, account_lines, made, measured, named, undo_line
from responder.tell.links import links
from responder.tell.notes import notes
from responder.tell.pictures import picture_of
from responder.tell.questions import questions
from responder.tell.several import shared, target_lines
from responder.tell.words import clock, short, until

PAGE = 1024
"""Characters of the pager's sentence (PagerDuty Events API v2, payload.summary)."""
TARGET, TEXT, BY_HAND = 120, 600, 1500
"""Characters of the parts, so that one hostile label cannot crowd out the rest."""
A_PERSON = "a person is asked to look"
ROOM = 20
"""Characters that a channel puts around what is to be done by hand: the last line of it must not be cut."""
LABELS_SHOWN = 64
ABOUT, VALUE = 4, 40
"""So many labels tell alerts of one name apart, and so many characters of each."""
_KNOWN = frozenset({"alertname", "severity", "team"})
"""Labels that a message shows anyway."""
_WORD = re.compile(r"[ ·/]+")
_PLACES = (
    ("namespace", "deployment"),
    ("namespace", "statefulset"),
    ("namespace", "daemonset"),
    ("namespace", "job_name"),
    ("namespace", "pod"),
    ("node",),
    ("instance",),
    ("service",),
    ("job",),
    ("namespace",),
)
"""Labels that say where, the most telling first: for alerts that no playbook has a target for."""
_IN_DOUBT = frozenset({RecordState.UNCERTAIN, RecordState.UNDO_UNCERTAIN})
"""What keeps other runs off the target when the run ends with it."""
_QUIET = frozenset({"run", "joined", "acted"})
"""Decisions that the runs themselves tell."""


def compose(account: Account, revision: int, now: datetime, docs_of: DocsOf, external_url: str) -> Notification:
    """Return the account of an incident as it stands at ``now``."""
    incident, word, run = account.incident, headline(account), main_run(account)
    worst = next(iter(ranked(account)), None)
    about = subject(account, run, worst)
    docs = (docs_of(about) if about is not None else None) or Docs()
    name, heading, lasts = title(account, run), phrase(account, word, now), age(account, word, now)
    why = _why(account, word)
    outcome = _outcome(account, word, run, why)
    facts = _facts(account, word, run, docs)
    return Notification(
        incident_id=incident.id,
        revision=revision,
        headline=word,
        title=name,
        severity=incident.severity,
        team=incident.team,
        since=incident.opened_at,
        summary=_summary(worst, docs),
        lines=_lines(account),
        why=why,
        by_hand=_by_hand(account, word, run, docs),
        facts=(("time", heading), ("age", lasts), *((key, value) for key, value in facts if value)),
        links=tuple(links(account, run, worst, docs, external_url)),
        entries=entries(account, now),
        fallback=short(f"{word.icon} {heading} · {name}{outcome}", PAGE),
        source=incident.source,
        group_key=incident.group_key,
        page=_page(account, word, name, f"{heading}, {lasts}", outcome),
        resolved=not firing(account),
        run_id=run.id if run else "",
        about=_about(account, worst, name),
        buttons=buttons(account),
        ahead=coming(account, word, run, docs),
        notes=notes(account),
        questions=questions(account, _docs_of_asking(account, docs_of)),
        picture=picture_of(account, word),
        lent_over=lent.ended(account),
        labels=dict(list((worst.labels if worst else incident.group_labels).items())[:LABELS_SHOWN]),
    )


def _lines(account: Account) -> tuple[Line, ...]:
    """Return what was done; what needs a person never begins with a sign of success."""
    done = target_lines(account) if several(account) else account_lines(account)
    lines = (*_overdue(account), *done, *_taken(account))
    well = bool(lines) and lines[0].symbol == DONE
    return (Line(BAD, A_PERSON), *lines) if well and asks_a_person(account) else lines


def _docs_of_asking(account: Account, docs_of: DocsOf) -> Mapping[str, Docs]:
    """Return the words of the playbooks whose runs have asked, where each asks in a message of its own."""
    if not apart(account):
        return {}
    asked = {one.run_id for one in account.approvals}
    wanted = {run.id: subject(account, run, None) for run in account.runs if run.id in asked}
    found = {key: docs_of(about) for key, about in wanted.items() if about is not None}
    return {key: docs for key, docs in found.items() if docs is not None}


def _overdue(account: Account) -> Iterator[Line]:
    if account.overdue and not account.incident.needs_person and unsolved(account):
        yield Line(BAD, ASKED_TO_LOOK)


def _taken(account: Account) -> Iterator[Line]:
    taken = account.acknowledged
    if taken is not None:
        yield Line(DONE, f"acknowledged by {short(taken.by, NAME)}, at {clock(taken.at)}")


def title(account: Account, run: Run | None) -> str:
    """Return ``alertname · target``, with how many other alerts there are: ``+3 more``.

    Of several targets it names the one that a person is asked about, else it counts them, and the alerts where these
    are more.
    """
    episodes = firing(account) or ranked(account)
    worst = episodes[0] if episodes else None
    labels = worst.labels if worst else account.incident.group_labels
    name = alert_name(account)
    where = (run.target if run else "") or _decided_target(account, worst) or _place(labels)
    alerts = len(episodes) + (account.beyond.firing if firing(account) else account.beyond.episodes)
    if several(account) and not account.incident.needs_person:
        return f"{name} · {_targets(account, alerts)}"
    more = f" +{alerts - 1} more" if alerts > 1 else ""
    return f"{name}{f' · {short(where, TARGET)}' if where else ''}{more}"


def _targets(account: Account, alerts: int) -> str:
    targets = sorted({run.target for run in account.runs})
    path = targets[0][: shared(targets)].removesuffix(SEPARATOR)
    count = f"{len(targets)}{'+' if account.beyond.runs else ''} targets"
    more = f", {alerts} alerts" if alerts > len(targets) else ""
    return f"{count} in {short(path, TARGET)}{more}" if path else f"{count}{more}"


def _about(account: Account, worst: Episode | None, title: str) -> str:
    """Return the labels that tell this incident from others of its name: those of its group, else of its alert."""
    group = {name: value for name, value in account.incident.group_labels.items() if name != "alertname"}
    labels = group or {name: value for name, value in (worst.labels if worst else {}).items() if name not in _KNOWN}
    shown = [f"{name}={short(value, VALUE)}" for name, value in labels.items() if value not in _WORD.split(title)]
    return ", ".join([*shown[:ABOUT], *([f"{len(shown) - ABOUT} more"] if len(shown) > ABOUT else [])])


def _decided_target(account: Account, episode: Episode | None) -> str:
    targets = [one.target for one in account.decisions if episode and one.episode_id == episode.id and one.target]
    return targets[-1] if targets else ""


def _place(labels: Mapping[str, str]) -> str:
    for names in _PLACES:
        if all(labels.get(name) for name in names):
            return "/".join(labels[name] for name in names)
    return ""


def _summary(worst: Episode | None, docs: Docs) -> str:
    annotations = worst.annotations if worst else {}
    for name in ("summary", "description", "message"):
        if annotations.get(name):
            return short(annotations[name], TEXT)
    return short(docs.summary, TEXT)


def _why(account: Account, word: Headline) -> str:
    """Return why a person is needed, or why nothing is being done now: the latest decision or skipped run says it."""
    if account.incident.needs_person:
        return sentences(short(_need(account), TEXT), _since_then(account))
    if word in ASKS or word in (Headline.FIXED, Headline.FIXING, Headline.UNDOING, Headline.OBSERVED):
        return ""
    return _taken_back(account, word) or _decided(account, word)


def _taken_back(account: Account, word: Headline) -> str:
    back = taking(account, main_run(account)) if word is not Headline.RESOLVED else None
    if back is None:
        return ""
    said = f"{who(back, 'What was changed was taken back')}, at {clock(back.finished_at or back.created_at)}"
    return sentences(said, quoted(short(back.context.reason, TEXT)), _since_then(account))


def _decided(account: Account, word: Headline) -> str:
    acted = [run for run in account.runs if run.state is not RunState.SKIPPED]
    if acted and (word is Headline.RESOLVED or any(run.state in WORKING for run in account.runs)):
        return ""
    told = [one for one in _reasons(account) if one.verdict not in _QUIET or _works_elsewhere(account, one)]
    latest = max(told, key=lambda one: (one.at, one.id), default=None)
    skipped = [run for run in account.runs if run.state is RunState.SKIPPED and run.reason]
    last = max(skipped, key=lambda run: (run.finished_at or run.created_at, run.id), default=None)
    if last is not None and (latest is None or (last.finished_at or last.created_at) >= latest.at):
        return short(f"{last.playbook}: {last.reason}", TEXT)
    if latest is not None:
        return _decision(latest)
    return "" if account.runs or word is Headline.RESOLVED else "Nothing has been decided yet."


def _need(account: Account) -> str:
    """Return why a person is needed, with the end of a run behind which nothing was asked anew: that is worse news."""
    reason, run = account.incident.needs_person, main_run(account)
    later = run is not None and run.id != account.incident.needs_person_run and run.state in LATCHED
    if not reason or run is None or not later or not run.reason or run.reason in reason:
        return reason
    return sentences(f"{run.playbook}: {run.reason}", reason)


def _works_elsewhere(account: Account, one: DecisionRow) -> bool:
    """Say whether the alert joined a run of another incident: what that does is told there, and only named here."""
    return one.verdict == Verdict.JOINED and all(run.id != one.run_id for run in account.runs)


def _reasons(account: Account) -> Sequence[DecisionRow]:
    """Return the decisions that give a reason.

    That no playbook matches an alert is none while there is more to say of a run for another.
    """
    ours = {run.id for run in account.runs if not run.state.final or run.state not in HELPED}
    runs_of = served(account) if ours else {}
    return [
        one
        for one in account.decisions
        if not ours or one.verdict != Verdict.NO_MATCH or not ours.isdisjoint(runs_of.get(one.episode_id, ()))
    ]


def _since_then(account: Account) -> str:
    """Return what was decided after the run that a person is asked about, such as why it is not tried again."""
    run = main_run(account)
    if run is None or run.finished_at is None:
        return ""
    since = [one for one in in_force(_reasons(account)) if one.verdict not in _QUIET and one.at >= run.finished_at]
    latest = max(since, key=lambda one: (one.at, one.id), default=None)
    return "" if latest is None or latest.reason in account.incident.needs_person else _decision(latest)


def _decision(one: DecisionRow) -> str:
    who = f"{one.playbook}: " if one.playbook else ""
    again = f"Looked at again at {until(one.retry_at, one.at)}." if one.retry_at else ""
    return sentences(short(f"{who}{one.reason}", TEXT), again)


def _by_hand(account: Account, word: Headline, run: Run | None, docs: Docs) -> str:
    """Return what a person can do: how to take back what still stands, the playbook's words, who to tell."""
    stands = standing(account, run)
    back = f"responder rollback {stands[0].run_id}" if stands else ""
    if word in OVER:
        return f"To take it back: {back}" if back else ""
    if not asks_a_person(account):
        return docs.by_hand[:BY_HAND].strip()
    left = "; ".join(made(one) or one.step for one in stands)
    first = f"Still stands: {short(left, TEXT)}; to take it back: {back}" if back else ""
    again = _clearing(account, run)
    last = f"Whoever looks after it: responder ack {account.incident.id}"
    words = docs.by_hand[: BY_HAND - len(first) - len(again) - len(last) - ROOM].strip()
    return "\n".join(part for part in (first, words, again, last) if part)


def _clearing(account: Account, run: Run | None) -> str:
    """Return how to lift the quarantine of a run of which nobody can tell whether a change, or its undo, has landed."""
    if run is None or not any(one.run_id == run.id and one.state in _IN_DOUBT for one in account.records):
        return ""
    return f"No new run touches the target until somebody has looked: responder clear {run.id}"


def _facts(account: Account, word: Headline, run: Run | None, docs: Docs) -> Iterator[tuple[str, str]]:
    yield "needs a person", short(_need(account), TEXT)
    if run is not None:
        yield "target", short(run.target, TARGET)
        yield "playbook", short(f"{run.playbook} ({run.mode})", TARGET)
        yield "checks", "; ".join(short(f"{check.name}{measured(check)}", TEXT) for check in run.progress.checks[:10])
        yield "tried", "; ".join(_tried(account, run))
    undone = [undo_line(one) for one in account.records if one.state is RecordState.UNDONE]
    yield "undone", "; ".join(line.text for line in undone if line is not None)
    yield "state now", _state_now(account)
    if word not in OVER:
        yield "meaning", short(docs.meaning, TEXT)
        yield "impact", short(docs.impact, TEXT)


def _tried(account: Account, run: Run) -> Iterator[str]:
    for record in account.records:
        if record.run_id in (run.id, run.of_run) and record.state is not RecordState.NOT_APPLIED:
            yield named(record.step, made(record))


def _state_now(account: Account) -> str:
    """Return what the responder has left at the targets."""
    states = {record.state for record in account.records} - {RecordState.NOT_APPLIED}
    if not states:
        return UNTOUCHED
    doubtful = {RecordState.UNCERTAIN, RecordState.UNDO_UNCERTAIN, RecordState.INTENDED, RecordState.UNDO_INTENDED}
    if states & doubtful:
        return "in doubt, see the lines"
    if states == {RecordState.UNDONE}:
        return "as before the run"
    left = [one for one in account.records if one.state not in (RecordState.NOT_APPLIED, RecordState.UNDONE)]
    seen = [made(one) or one.step for one in left]
    return short(f"changed: {'; '.join(seen)}", TEXT)


def _outcome(account: Account, word: Headline, run: Run | None, why: str) -> str:
    """Return the end of the one-line account: what matters beyond the headline."""
    if word in ASKS and run is not None:
        return f": responder approve {run.id}"
    if account.incident.needs_person:
        return f": {_need(account)}"
    if run is not None and word in (Headline.FIXED, Headline.RESOLVED) and run.progress.checks:
        return ": " + "; ".join(f"{check.name}{measured(check)}" for check in run.progress.checks)
    return f": {why}" if why else ""


def _page(account: Account, word: Headline, name: str, heading: str, outcome: str) -> str:
    """Return the pager's sentence while a person is needed or the page is overdue, empty otherwise."""
    reason = _need(account)
    if not reason and account.overdue and unsolved(account):
        return short(f"{OVERDUE.capitalize()}: {name}. {heading}{outcome}", PAGE)
    if not reason:
        return ""
    over = "" if firing(account) else " (the alert is resolved)"
    return short(f"{word}: {name}{over}. {reason}", PAGE)
