"""What brought an alert about."""

from datetime import UTC, datetime, timedelta

import pytest

from responder.domain.causes import CAUSE_WINDOW, FURTHEST_BACK, Cause, Touch, cause_of, touched_since
from responder.domain.verdicts import Verdict

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
TARGET = "http/checkout"


def touch(run: str = "r1", playbook: str = "first", depth: int = 1, at: datetime = AT) -> Touch:
    return Touch(run, playbook, TARGET, depth, at, at + 5 * MINUTE)


@pytest.mark.parametrize(
    ("began", "linked"),
    [
        (AT - MINUTE, False),
        (AT, False),
        (AT + SECOND, True),
        (AT + 5 * MINUTE + CAUSE_WINDOW, True),
        (AT + 5 * MINUTE + CAUSE_WINDOW + SECOND, False),
    ],
)
def test_only_what_begins_behind_a_change_and_soon_may_follow_from_it(began: datetime, linked: bool) -> None:  # noqa: FBT001 - a table's column
    assert cause_of([touch()], "second", TARGET, began) == (Cause("r1", 2) if linked else Cause())


def test_the_longest_chain_is_the_cause_and_the_same_again_is_no_longer_one() -> None:
    chain = [touch("r1", "first", 1), touch("r2", "second", 2)]
    assert cause_of(chain, "third", TARGET, AT + MINUTE) == Cause("r2", 3)
    assert cause_of(chain, "first", TARGET, AT + MINUTE) == Cause("r2", 3)
    assert cause_of(chain[:1], "first", TARGET, AT + MINUTE) == Cause("r1", 1)
    assert cause_of(chain[1:], "second", TARGET, AT + MINUTE) == Cause("r2", 2)


def test_the_third_in_a_row_is_refused_for_good() -> None:
    assert Cause().refusal is None
    assert Cause("r1", 2).refusal is None
    refusal = Cause("r2", 3).refusal
    assert refusal is not None
    assert (refusal.verdict, refusal.verdict.later) == (Verdict.LOOP, False)
    assert "run r2" in refusal.reason


def test_as_far_back_is_read_as_the_oldest_alert_needs_but_a_day_at_most() -> None:
    assert touched_since([], AT) == AT - CAUSE_WINDOW
    assert touched_since([AT + MINUTE, AT - MINUTE], AT) == AT - MINUTE - CAUSE_WINDOW
    assert touched_since([datetime.min.replace(tzinfo=UTC) + timedelta(days=9)], AT) == AT - FURTHEST_BACK
