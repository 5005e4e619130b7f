"""What can be pressed follows from the state now; what a button shows is in its revision."""

import json
from dataclasses import replace

import pytest

from responder.domain.buttons import MOST, Press
from responder.domain.notification import Account
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.notifiers.slack_blocks import blocks, question
from responder.notifiers.slack_questions import words_of
from responder.tell.buttons import buttons, offered
from tests.bed.slack_limits import refusal
from tests.unit.tell.stories import STORIES, Story, account, at, incident, record, run

A, R, U, S, K = Press.APPROVE, Press.REJECT, Press.UNDO, Press.STOP, Press.ACK


@pytest.mark.parametrize(
    ("name", "presses"),
    [
        ("firing", []),
        ("fixing", [S]),
        ("waiting", [A, R]),
        ("overdue", [A, R, K]),
        ("parked", [S]),
        ("parked-overdue", [S, K]),
        ("several", [K, S]),
        ("fixed", [U]),
        ("undoing", []),
        ("observed", []),
        ("rolled-back", [K]),
        ("failed", [U, K]),
        ("needs-you", [K]),
        ("resolved", [U]),
    ],
)
def test_each_state_offers_what_can_be_done_about_it(name: str, presses: list[Press]) -> None:
    assert [one.press for one in buttons(STORIES[name].account)] == presses


def test_there_are_three_at_most_and_whoever_is_asked_for_can_always_say_that_they_came() -> None:
    busy = replace(
        STORIES["overdue"].account,
        runs=(*STORIES["overdue"].account.runs, run(RunState.ACTING, id="r2"), run(RunState.ACTING, id="r3")),
    )
    assert [one.press for one in offered(busy)] == [A, R, S, S, K]
    shown = [one.press for one in buttons(busy)]
    assert (len(shown), shown[-1]) == (MOST, K)


def test_several_runs_are_told_apart_and_there_is_no_yes_without_its_no() -> None:
    waiting = STORIES["waiting"].account
    (asked,), (one,) = waiting.approvals, waiting.runs
    other = replace(one, id="r2", target="http/cart")
    both = replace(waiting, runs=(one, other), approvals=(asked, replace(asked, id="a2", run_id="r2")))
    assert buttons(both) == ()
    asks = Story(both, at(60)).told().questions
    assert [[(each.label, each.run) for each in one.buttons] for one in asks] == [
        [("Approve http/checkout", "r1"), ("Reject http/checkout", "r1")],
        [("Approve http/cart", "r2"), ("Reject http/cart", "r2")],
    ]
    acting = account(runs=tuple(run(RunState.ACTING, id=f"r{n}", target=f"http/{n}") for n in range(5)))
    assert [each.label for each in buttons(acting)] == ["Stop http/4", "Stop http/3", "Stop http/2"]
    for story in (both, acting):
        assert refusal("x", blocks(Story(story, at(60)).told(), pressable=True), None, None, update=True) is None


def test_a_question_between_two_steps_is_put_like_one_before_the_first() -> None:
    first, second = STORIES["asked-again"].account.runs
    lost, asks = STORIES["asked-again"].told().questions
    assert (lost.run, lost.pending, lost.outcome) == (first.id, False, "Nobody answered in time")
    assert (asks.run, asks.pending) == (second.id, True)
    assert [one.press for one in asks.buttons] == [Press.APPROVE, Press.REJECT]
    assert [one.text for one in asks.lines][1:3] == ["ask: Go on?", "workers: 6 → 8 (more-workers)"], "what is to come"


def test_the_first_button_is_about_what_the_headline_is_about() -> None:
    """A yes to another target has a message of its own: whoever is half asleep presses what is green."""
    news = STORIES["several"].told()
    assert news.title.endswith("shop/cart +4 more")
    assert [one.label for one in news.buttons] == ["Ack", "Stop shop/web"]
    (asks,) = news.questions
    assert [one.label for one in asks.buttons] == ["Approve shop/mail", "Reject shop/mail"]
    shown = json.dumps(question(asks, news, pressable=True))
    assert "cart" not in shown, "a question names its own target only"
    assert words_of(asks) == "shop/mail · checkout-workers"


def test_what_is_undone_is_named_where_there_are_several_targets() -> None:
    runs = tuple(run(RunState.VERIFIED, id=f"r{n}", target=f"http/{n}") for n in range(2))
    made = tuple(record(RecordState.APPLIED, id=f"c{n}", run_id=f"r{n}", target=f"http/{n}") for n in range(2))
    assert [one.label for one in buttons(account(runs=runs, records=made))] == ["Undo http/1"]


def test_what_somebody_has_stopped_or_is_undoing_is_not_offered_again() -> None:
    stopped = account(runs=(run(RunState.ACTING, stop_by="ana"),), records=(record(RecordState.APPLIED),))
    assert buttons(stopped) == ()
    fixed = STORIES["fixed"].account
    undoing = run(RunState.READY, id="r2", kind="rollback", of_run="r1", created_at=at(200))
    assert buttons(replace(fixed, runs=(*fixed.runs, undoing))) == ()


def _revision(of: Account, press: Press) -> str:
    (one,) = [each for each in offered(of) if each.press is press]
    return one.revision


def test_a_button_that_shows_something_else_has_another_revision() -> None:
    fixed, waiting = STORIES["fixed"].account, STORIES["waiting"].account
    more = replace(fixed, records=(*fixed.records, record(RecordState.APPLIED, id="c2", index=1)))
    assert _revision(fixed, U) != _revision(more, U)
    again = replace(waiting, approvals=(replace(waiting.approvals[0], plan_hash="another"),))
    assert _revision(waiting, A) != _revision(again, A)
    one, other = (account(incident=incident(needs_person=why)) for why in ("this", "that"))
    assert _revision(one, K) != _revision(other, K)


def test_a_dialog_shows_from_what_to_what_and_who_has_said_yes() -> None:
    waiting = STORIES["waiting"].account
    second = replace(waiting, approvals=(replace(waiting.approvals[0], four_eyes=True, first_by="ana"),))
    yes = buttons(second)[0]
    assert (yes.label, yes.shows[0]) == ("Approve as second", "workers: 4 → 6 (set-workers)")
    assert "ana has said yes" in yes.shows[1]
    assert buttons(STORIES["fixed"].account)[0].shows == ("workers: 6 → 4 (set-workers)",)


def test_without_anybody_who_hears_of_a_click_there_is_no_button() -> None:
    news = Story(STORIES["waiting"].account, at(60)).told()
    assert news.buttons
    assert "actions" not in [one["type"] for one in blocks(news)]
    assert [one["type"] for one in blocks(news, pressable=True)][-1] == "actions"
