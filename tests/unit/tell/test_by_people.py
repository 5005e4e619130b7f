"""What a message says once people have had their say: a yes, a stop, a change that was taken back."""

from dataclasses import replace
from typing import Any

import pytest

from responder.domain.episodes import EpisodeState
from responder.domain.notification import Account, Headline, Notification
from responder.domain.records import RecordState
from responder.domain.runs import Context, Run, RunState
from responder.domain.verdicts import Verdict
from responder.notifiers.states import head, state_of
from tests.unit.tell.stories import LABELS, RAN, STORIES, Story, at, closed, decision, incident, record, run

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
    assert news.ahead == "the alert still fires; nothing further is done for it by itself"
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
