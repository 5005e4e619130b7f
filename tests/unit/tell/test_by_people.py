"""What a message says once people have had their say: a yes, a stop, a change that was taken back."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from responder.domain.episodes import EpisodeState
from responder.domain.modes import Mode
from responder.domain.notification import Account, Headline, Notification
from responder.domain.records import RecordState
from responder.domain.runs import Context, Progress, Run, RunState
from responder.domain.verdicts import Verdict
from responder.notifiers.states import head, state_of
from responder.tell.coming import LEFT
from responder.tell.compose import compose
from responder.tell.docs import Docs
from tests.unit.tell.stories import (
    LABELS,
    PLAN,
    RAN,
    STORIES,
    URL,
    Story,
    at,
    closed,
    decision,
    incident,
    record,
    run,
    verifying,
)

ASKED = Context(labels=LABELS, requested_by="ana", reason="did not like it")


def told(one: Account, seconds: float = 310) -> Notification:
    return Story(one, at(seconds)).told()


def lines(news: Notification) -> str:
    return "\n".join(f"{one.symbol} {one.text}" for one in news.lines)


def rollback(state: RunState, **changes: Any) -> Run:  # noqa: ANN401 - fields
    end = at(302) if state.final else None
    return run(state, id="r2", kind="rollback", of_run="r1", context=ASKED, created_at=at(300), finished_at=end,
               **changes)  # fmt: skip


def back(state: RunState, record_state: RecordState = RecordState.UNDONE, **changes: Any) -> Account:  # noqa: ANN401 - fields
    fixed = STORIES["fixed"].account
    runs = (*fixed.runs, rollback(state, reason="“did not like it”" if state.final else ""))
    return replace(fixed, runs=runs, records=(record(record_state),), **changes)


def test_what_a_person_took_back_is_not_called_fixed() -> None:
    news = told(back(RunState.ROLLED_BACK))
    assert news.headline is Headline.TAKEN_BACK
    assert head(news).startswith("↩️ Taken back by ana · CheckoutErrorsHigh")
    assert "firing" in dict(news.facts)["age"]
    assert news.why == "What was changed was taken back by ana, at 14:07 UTC. “did not like it”"
    assert news.ahead == LEFT
    assert "✔ undoing run r1: taken back by ana: “did not like it”" in lines(news)
    assert dict(news.facts)["state now"] == "as before the run"


def test_what_was_taken_back_in_part_is_not_fixed_either_once_somebody_has_looked() -> None:
    news = told(back(RunState.PARTLY_ROLLED_BACK))
    assert news.headline is Headline.TAKEN_BACK


def test_a_rollback_that_changed_nothing_leaves_the_fix_as_it_was() -> None:
    assert told(back(RunState.PARTLY_ROLLED_BACK, RecordState.DRIFTED)).headline is Headline.FIXED


def test_what_was_taken_back_pages_like_whatever_nobody_has_fixed() -> None:
    news = told(back(RunState.ROLLED_BACK, overdue=True))
    assert news.headline is Headline.NEEDS_YOU
    assert "taken back by ana" in news.why


def test_an_alert_that_ended_after_its_change_was_taken_back_is_resolved() -> None:
    over = back(RunState.ROLLED_BACK, episodes=(closed(415),))
    assert told(over, 420).headline is Headline.RESOLVED, "before the incident is closed"
    ended = replace(over, incident=incident(resolved_at=at(420), closed_reason="resolved"))
    assert told(ended, 421).headline is Headline.RESOLVED
    assert (told(ended, 421).why, told(ended, 421).ahead) == ("", "")


def test_what_helps_after_something_was_taken_back_is_fixed() -> None:
    one = back(RunState.ROLLED_BACK)
    later = run(RunState.VERIFIED, id="r3", created_at=at(310), finished_at=at(330))
    again = decision(Verdict.RUN, run_id="r3", id="d3", at=at(310))
    assert told(replace(one, runs=(*one.runs, later), decisions=(RAN, again))).headline is Headline.FIXED


def test_of_several_targets_one_that_was_taken_back_leaves_the_incident_unfixed() -> None:
    one = back(RunState.ROLLED_BACK)
    other = run(RunState.VERIFIED, id="r3", target="http/cart", created_at=at(3))
    there = replace(one.episodes[0], id="e3", fingerprint="f3", state=EpisodeState.OPEN)
    ran = decision(Verdict.RUN, run_id="r3", id="d3", episode_id="e3")
    both = replace(one, runs=(*one.runs, other), episodes=(*one.episodes, there), decisions=(RAN, ran))
    assert told(both).headline is Headline.TAKEN_BACK


@pytest.mark.parametrize(
    ("state", "words"), [(RunState.READY, "about to be taken back"), (RunState.UNDOING, "being taken back")]
)
def test_while_it_is_taken_back_the_message_says_so(state: RunState, words: str) -> None:
    news = told(back(state, RecordState.APPLIED))
    assert news.headline is Headline.UNDOING
    assert head(news).startswith("↩️ Undoing, asked by ana")
    assert f"◐ undoing run r1: {words}, as asked by ana" in lines(news)
    assert state_of(news) == state_of(told(back(RunState.UNDOING, RecordState.APPLIED))), "told once"


def asking(state: RunState = RunState.AWAITING_APPROVAL, answer: str = "pending", **progress: Any) -> Account:  # noqa: ANN401 - fields
    """Tell of a run that has asked; ``answer`` is what became of the question."""
    one = STORIES["waiting"].account
    said: dict[str, Any] = {"decided_by": "ana", "decided_at": at(60)} if answer != "pending" else {}
    known = Progress(plan=PLAN, asked=1).model_copy(update=progress)
    asked = replace(one.approvals[0], state=answer, **said)
    return replace(one, runs=(run(state, mode=Mode.APPROVE, progress=known),), approvals=(asked,))


@pytest.mark.parametrize("answer", ["approved", "spent"])
@pytest.mark.parametrize("state", [RunState.AWAITING_APPROVAL, RunState.READY])
def test_behind_a_yes_the_message_names_who_said_it_and_what_comes(answer: str, state: RunState) -> None:
    news = told(asking(state, answer), 61)
    assert news.headline is Headline.FIXING
    assert lines(news).startswith("◐ checkout-workers: approved by ana, about to act")
    assert "waits for approval" not in lines(news)
    assert news.ahead.endswith("it checks whether that helps; otherwise it is undone")


@pytest.mark.parametrize(
    ("state", "asks", "word"),
    [(RunState.AWAITING_APPROVAL, "", Headline.FIRING), (RunState.ACTING, "ask", Headline.UNDOING)],
)
def test_behind_a_no_the_message_no_longer_asks(state: RunState, asks: str, word: Headline) -> None:
    """The run has yet to take it up: whoever looks at the message now must not think that it waits for them."""
    news = told(asking(state, "rejected", asking=asks), 61)
    assert news.headline is word
    assert "until" not in head(news)
    assert "✖ checkout-workers: ana said no" in lines(news)


def test_behind_a_yes_between_two_steps_the_message_says_who_let_it_go_on() -> None:
    one = asking(RunState.ACTING, "approved", asking="ask")
    assert "◐ checkout-workers: ana said yes, goes on" in lines(told(one, 61))


def test_a_run_whose_plan_has_changed_says_that_it_asks_for_another_one() -> None:
    one = asking(asked=2)
    first = replace(one.approvals[0], id="a0", state="void", asked_at=at(2))
    news = told(replace(one, approvals=(first, *one.approvals)), 61)
    assert news.headline is Headline.WAITING
    assert "○ checkout-workers: the plan is another one by now, waits for approval of it" in lines(news)
    assert "another one" not in lines(told(asking(), 61))


def test_of_several_targets_each_says_who_said_yes() -> None:
    one = asking(answer="approved")
    other = run(RunState.VERIFYING, id="r3", target="http/cart", created_at=at(3))
    assert "approved by ana, about to act" in lines(told(replace(one, runs=(*one.runs, other)), 61))


def test_where_two_people_said_yes_both_are_named() -> None:
    one = asking(answer="approved")
    both = replace(one.approvals[0], four_eyes=True, first_by="ben", first_at=at(50))
    assert "approved by ben and ana, about to act" in lines(told(replace(one, approvals=(both,)), 61))


def between(docs: Docs, *records: RecordState) -> str:
    """Return what comes next while a run asks between two steps, behind changes in these states."""
    one = replace(asking(RunState.ACTING, asking="ask"), records=tuple(record(state) for state in records))
    news = compose(one, 1, at(61), lambda _: docs, URL)
    assert news.headline is Headline.WAITING
    return news.ahead


@pytest.mark.parametrize("on_timeout", ["page", "skip"])
def test_a_question_behind_a_change_says_that_it_is_undone_without_a_yes(on_timeout: Literal["page", "skip"]) -> None:
    said = "what was changed stands until then; without a yes by 14:32 UTC it is undone, and a person is called"
    assert between(Docs(on_timeout=on_timeout), RecordState.APPLIED) == said


@pytest.mark.parametrize("records", [(), (RecordState.NOT_APPLIED,)])
def test_a_question_before_any_change_says_that_a_person_is_called_without_a_yes(records: tuple[RecordState]) -> None:
    said = "nothing further is done without a yes; without one by 14:32 UTC a person is called"
    assert between(Docs(on_timeout="skip"), *records) == said


def undoing(**changes: Any) -> Notification:  # noqa: ANN401 - fields
    """Tell of a run that undoes its change; ``changes`` are its progress and fields."""
    fields = {key: changes.pop(key) for key in list(changes) if key == "stop_by"}
    known = verifying().model_copy(update=changes)
    one = STORIES["undoing"].account
    return told(replace(one, runs=(run(RunState.UNDOING, progress=known, **fields),)), 191)


def test_while_a_stopped_run_is_undone_nobody_is_promised_another_try() -> None:
    news = undoing(ending=Verdict.STOPPED, ending_reason="ana stopped the run.", stop_by="ana")
    said = "ana stopped it: once it is undone, nothing further is done for this alert by itself"
    assert news.ahead == said
    assert undoing(ending=Verdict.REJECTED).ahead.startswith("a person said no: once it is undone, nothing further")
    assert "the next playbook has its turn" in undoing(ending=Verdict.VERIFY_FAILED).ahead


def test_a_step_that_is_undone_before_the_next_one_says_that_the_next_step_has_its_turn() -> None:
    assert undoing(goes_on=True, ending=Verdict.VERIFY_FAILED).ahead == "once it is undone, the next step has its turn"


def test_while_a_change_is_taken_back_the_message_says_that_nothing_follows() -> None:
    news = told(back(RunState.UNDOING, RecordState.UNDO_INTENDED))
    assert news.ahead == "once it is taken back, nothing further is done for this alert by itself"


@pytest.mark.parametrize(
    ("state", "verdict", "ahead"),
    [
        (RunState.ROLLED_BACK, Verdict.STOPPED, LEFT),
        (RunState.CANCELLED, Verdict.STOPPED, LEFT),
        (RunState.CANCELLED, Verdict.REJECTED, LEFT),
        (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED, ""),
    ],
)
def test_what_a_person_ended_says_that_nothing_follows_by_itself(state: RunState, verdict: Verdict, ahead: str) -> None:
    one = replace(STORIES["undoing"].account, runs=(run(state, verdict=verdict),))
    news = told(one)
    assert (news.headline, news.ahead) == (Headline.FIRING, ahead)


def test_what_is_looked_at_again_is_not_called_over() -> None:
    one = replace(STORIES["undoing"].account, runs=(run(RunState.ROLLED_BACK, verdict=Verdict.STOPPED),))
    again = decision(Verdict.COOLDOWN, at=at(193), retry_at=at(600), playbook="another")
    assert told(replace(one, decisions=(RAN, again))).ahead == ""


PUT_BACK = "Somebody else has put it back already."


@pytest.mark.parametrize("reason", ["", f"“did not like it”. step set-workers: {PUT_BACK}"])
def test_what_somebody_else_put_back_is_not_told_as_ours(reason: str) -> None:
    one = back(RunState.ROLLED_BACK)
    runs = (one.runs[0], replace(one.runs[1], reason=reason))
    news = told(replace(one, runs=runs, records=(record(RecordState.UNDONE, message=PUT_BACK),)))
    line = "↩ workers: 6 → 4 (set-workers), at 14:05 UTC: somebody else has put it back already"
    assert line in lines(news).splitlines()
    assert line in [one.text for one in news.entries]
    assert line.removeprefix("↩ ") in dict(news.facts)["undone"]
    assert dict(news.facts)["state now"] == "as before the run"
    assert news.headline is Headline.TAKEN_BACK
    assert "Not undone" not in lines(news)
