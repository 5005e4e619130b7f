"""Which buttons an incident's message has now: pure, and asked again when one of them is pressed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from responder.domain.buttons import MOST, Button, Press
from responder.domain.notification import Account, Approval
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run, RunState
from responder.domain.targets import SEPARATOR
from responder.tell.headline import LOOKING, WORKING, main_run, unsolved
from responder.tell.lines import named, seen_of
from responder.tell.words import change, short

LINE, PLACE, NAMED = 200, 60, 2
"""Characters of one line of what a button shows and of a place, and how many of its last parts a button names."""
CAN_GO_BACK = frozenset({RecordState.APPLIED, RecordState.UNDO_FAILED})
"""Changes that still stand and that a person's rollback would put back."""
ANSWERS = frozenset({Press.APPROVE, Press.REJECT})
_STOPPABLE = (WORKING | LOOKING | {RunState.PARKED}) - {RunState.UNDOING}


def buttons(account: Account) -> tuple[Button, ...]:
    """Return the buttons of the message: at most ``MOST``, and whoever is asked for can always say that they came.

    Where questions have messages of their own, they have their buttons there: never a yes without its no. What is about
    another target than the headline comes last, behind the answer to what the headline says.
    """
    found = _here(account)
    run = main_run(account)
    here = {one.id for one in account.runs if run is not None and one.target == run.target}
    taking = [one for one in found if one.press is Press.ACK]
    shown = [one for one in found if one.press is not Press.ACK][: MOST - len(taking)]
    of_headline = [one for one in shown if one.run in here]
    others = [one for one in shown if one.run not in here]
    many = several(account)
    return tuple(told_apart(one, found, many=many) for one in (*of_headline, *taking, *others))


def _here(account: Account) -> tuple[Button, ...]:
    elsewhere = ANSWERS if apart(account) else frozenset()
    return tuple(one for one in offered(account) if one.press not in elsewhere)


def apart(account: Account) -> bool:
    """Say whether each question has a message of its own: where a second run has asked, or there is a second target.

    The message of the incident is about the target that is worst off: a yes there could be read as one to that.
    """
    return bool(account.approvals) and (several(account) or len({one.run_id for one in account.approvals}) > 1)


def several(account: Account) -> bool:
    """Say whether its runs are about more than one target."""
    return len({run.target for run in account.runs}) > 1


def told_apart(one: Button, found: Sequence[Button], *, many: bool) -> Button:
    """Say on the button which run it means, where several could be meant: so where there are ``many`` targets."""
    alike = [each for each in found if each.press is one.press]
    if not one.place or not (many or len(alike) > 1):
        return one
    verb, _, rest = one.label.partition(" ")
    return replace(one, label=f"{verb} {SEPARATOR.join(one.place.split(SEPARATOR)[-NAMED:])} {rest}".rstrip())


def offered(account: Account) -> tuple[Button, ...]:
    """Return everything that can be pressed now, the most telling first."""
    return (
        *_questions(account),
        *(one for run in reversed(account.runs) for one in _stop(account, run)),
        *_undo(account),
        *_take(account),
    )


def asks_a_person(account: Account) -> bool:
    """Say whether a person is asked now."""
    return bool(account.incident.needs_person) or (account.overdue and unsolved(account))


def standing(account: Account, run: Run | None) -> Sequence[Record]:
    """Return what a rollback would put back: the changes of the run, or of the one it was to undo, once it is over."""
    over = {one.id for one in account.runs if one.state.final or one.state is RunState.KEPT}
    mine = {run.id, run.of_run} & over if run is not None else set()
    return [one for one in account.records if one.run_id in mine and one.state in CAN_GO_BACK]


def _questions(account: Account) -> Iterator[Button]:
    """Give yes and no for each run that waits for them, the latest first."""
    waiting = {run.id: run for run in account.runs if run.waits_for_yes}
    for asked in reversed(account.approvals):
        run = waiting.pop(asked.run_id, None) if asked.state == "pending" else None
        if run is None:
            continue
        what = tuple(_planned(run)) if not run.progress.asking else (short(run.reason, LINE),)
        second = ("Two people must say yes.",) if asked.four_eyes and not asked.first_by else ()
        second = (f"{asked.first_by} has said yes; yours is the second.",) if asked.first_by else second
        yes = "Approve" if not asked.first_by else "Approve as second"
        place = short(run.target, LINE)
        incident = account.incident.id
        short_place = short(run.target, PLACE)
        asks = f"Change {place}?" if not run.progress.asking else f"Go on with {place}?"
        yield Button(Press.APPROVE, yes, incident, run.id, asked.plan_hash, asks, (*what, *second), short_place)
        no = f"Leave {place} as it is?" if not run.progress.asking else f"Stop at {place}, and undo what was done?"
        yield Button(Press.REJECT, "Reject", incident, run.id, _asked(asked), no, what, short_place)


def _asked(asked: Approval) -> str:
    return _digest(asked.id, asked.plan_hash)


def _planned(run: Run) -> Iterator[str]:
    for step in run.progress.plan:
        yield short(named(step.id, change(step.before, step.after)), LINE)


def _stop(account: Account, run: Run) -> Iterator[Button]:
    """Give the button that stops a run which nobody has stopped; who waits for a yes is told no instead."""
    if run.state not in _STOPPABLE or run.stop_by or run.kind != "forward":
        return
    made = [one for one in account.records if one.run_id == run.id and one.state in CAN_GO_BACK]
    shows = [_back(one) for one in reversed(made)] or ["Nothing has been changed yet; nothing will be."]
    asks = f"Stop {short(run.playbook, LINE)} on {short(run.target, LINE)}?"
    place = short(run.target, PLACE)
    yield Button(Press.STOP, "Stop", account.incident.id, run.id, _digest(run.id), asks, tuple(shows), place)


def _undo(account: Account) -> Iterator[Button]:
    """Give the button that puts back what still stands, unless somebody is putting it back already."""
    stands = standing(account, main_run(account))
    if not stands:
        return
    run_id = stands[0].run_id
    if any(one.of_run == run_id and not one.state.final for one in account.runs):
        return
    mine = [one for one in stands if one.run_id == run_id]
    asks = f"Undo on {short(mine[0].target, LINE)}?"
    shows = tuple(_back(one) for one in reversed(mine))
    revision = _digest(*(f"{one.id} {one.state}" for one in mine))
    place = short(mine[0].target, PLACE)
    yield Button(Press.UNDO, "Undo", account.incident.id, run_id, revision, asks, shows, place)


def _back(record: Record) -> str:
    return short(named(record.step, change(seen_of(record), record.before)), LINE)


def _take(account: Account) -> Iterator[Button]:
    """Give the button by which a person says that they are on it."""
    if asks_a_person(account):
        reason = account.incident.needs_person
        revision = _digest(reason, account.incident.needs_person_run)
        shows = (short(reason, LINE),) if reason else ()
        yield Button(Press.ACK, "Ack", account.incident.id, "", revision, "Are you looking after it?", shows)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:16]
