"""What is told of changes that are kept for a time only, to those whose messages cannot be edited."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from responder.domain.notification import Account, Beyond, Headline, Notification, Receipt
from responder.domain.records import RecordState
from responder.domain.runs import Context, Run, RunState
from responder.domain.verdicts import Verdict
from responder.notifiers.states import head, on_change
from tests.unit.tell.stories import LABELS, STORIES, Story, at, closed, incident, record, run

GIVEN = "It helped. Given back: set-workers."
STAYS = "It helped. ana stopped it from being given back."


def account(state: RunState, records: RecordState, **changes: Any) -> Account:  # noqa: ANN401 - fields
    """Tell of a run that lends its change."""
    one = STORIES["kept"].account
    over: dict[str, Any] = {"finished_at": at(7300), "verdict": Verdict.VERIFIED} if state.final else {}
    lent = replace(one.runs[0], state=state, **over, **changes)
    return replace(one, runs=(lent,), records=(record(records, settled_at=at(13)),))


KEPT = account(RunState.KEPT, RecordState.APPLIED)
REVERTING = account(RunState.REVERTING, RecordState.UNDO_INTENDED)
GIVEN_BACK = account(RunState.VERIFIED, RecordState.UNDONE, reason=GIVEN)
STOPPED = account(RunState.VERIFIED, RecordState.APPLIED, reason=STAYS, stop_by="ana")


def resolved(one: Account) -> Account:
    return replace(one, incident=incident(resolved_at=at(420)), episodes=(closed(415),))


def news(one: Account) -> Notification:
    return Story(one, at(7400)).told()


async def posted(accounts: Sequence[Account]) -> Sequence[str]:
    """Return what a channel without edits is told of an incident that stands so, one after the other."""
    sent: list[str] = []
    receipt: Receipt | None = None

    async def post(told: Notification, number: int) -> None:
        assert number == len(sent)
        sent.append(head(told).partition(" · ")[0])

    for one in accounts:
        receipt = await on_change(news(one), receipt, post)
    return sent


async def test_that_a_change_was_given_back_is_told_once() -> None:
    sent = await posted([KEPT, REVERTING, GIVEN_BACK, GIVEN_BACK])
    assert sent == ["🟢 Fixed in 3m12s", "🟢 Fixed in 3m12s, the change was given back"]


async def test_that_a_change_stays_is_told_once() -> None:
    assert await posted([KEPT, STOPPED, STOPPED]) == ["🟢 Fixed in 3m12s", "🟢 Fixed in 3m12s, the change stays"]


async def test_what_ends_after_the_alert_is_told_as_well() -> None:
    sent = await posted([KEPT, resolved(KEPT), resolved(REVERTING), resolved(GIVEN_BACK)])
    assert sent[1:] == ["✅ Resolved after 7m", "✅ Resolved after 7m, the change was given back"]


async def test_what_ended_before_the_alert_is_not_told_anew_at_its_end() -> None:
    assert len(await posted([KEPT, GIVEN_BACK, resolved(GIVEN_BACK)])) == len(["fixed", "given back", "resolved"])


def rollback(state: RunState) -> Run:
    context = Context(labels=LABELS, requested_by="ana")
    end = at(402) if state.final else None
    return run(state, id="r2", kind="rollback", of_run="r1", context=context, created_at=at(400), finished_at=end)


async def test_a_lent_change_that_a_person_takes_back_is_told_as_that_alone() -> None:
    under_way = replace(KEPT, runs=(*KEPT.runs, rollback(RunState.UNDOING)))
    nothing = account(RunState.VERIFIED, RecordState.UNDONE, reason="It helped. Nothing is left to be given back.")
    first, last = (
        replace(nothing, runs=(*nothing.runs, rollback(s))) for s in (RunState.UNDOING, RunState.ROLLED_BACK)
    )
    sent = await posted([KEPT, under_way, first, last])
    assert sent == ["🟢 Fixed in 3m12s", "↩️ Undoing, asked by ana", "↩️ Taken back by ana"]


def test_whoever_stopped_it_reads_that_the_change_stays() -> None:
    first = news(STOPPED).lines[0].text
    assert first.endswith("ana stopped it from being given back. It stays as it is.")


@pytest.mark.parametrize("one", [KEPT, REVERTING])
def test_what_is_still_lent_says_nothing_of_an_end(one: Account) -> None:
    assert (news(one).headline, news(one).lent_over) == (Headline.FIXED, 0)


def test_of_a_large_incident_it_is_not_counted_what_is_not_read() -> None:
    assert news(replace(GIVEN_BACK, beyond=Beyond(runs=5))).lent_over == 0


async def test_that_a_change_could_not_be_given_back_is_told_with_who_is_needed() -> None:
    why = f"checkout-workers: {Verdict.NOT_GIVEN_BACK.sentence}"
    failed = account(RunState.VERIFIED, RecordState.UNDO_FAILED, reason="set-workers could not be given back.")
    asks = replace(failed, incident=incident(needs_person=why, needs_person_run="r1"))
    assert await posted([KEPT, asks, failed]) == [
        "🟢 Fixed in 3m12s",
        "⚠️ Needs you",
        "🟢 Fixed in 3m12s, the change stays",
    ]
