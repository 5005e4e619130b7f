"""Segments of the audit log: what they hold, and what may still come late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from responder.domain.seals import GAP_LASTS, Entry, Gap, sealed, spans_of, without, wrong_with

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def entries(*numbers: int) -> list[Entry]:
    return [Entry(number, NOW, "ann", "run.approved", f"run {number}", {"b": 1, "a": [None]}) for number in numbers]


def test_numbers_become_spans_and_spans_leave_gaps() -> None:
    assert spans_of([1, 2, 3, 7, 9, 10]) == ((1, 3), (7, 7), (9, 10))
    assert list(without(1, 12, [(1, 3), (7, 7), (9, 10)])) == [(4, 6), (8, 8), (11, 12)]
    assert list(without(4, 6, [(1, 10)])) == []
    assert list(without(4, 6, [])) == [(4, 6)]


def test_a_number_that_is_missing_is_waited_for_and_no_longer_than_a_transaction_lasts() -> None:
    first = sealed(None, entries(1, 2, 5), NOW)
    assert (first.number, first.after, first.last, first.spans) == (1, 0, 5, ((1, 2), (5, 5)))
    assert first.gaps == (Gap(3, 4, NOW),)
    second = sealed(first, entries(4, 6), NOW + timedelta(seconds=1))
    assert second.gaps == (Gap(3, 3, NOW),)
    assert (second.after, second.last, second.spans) == (5, 6, ((4, 4), (6, 6)))
    late = NOW + GAP_LASTS
    assert second.open_gaps(late) == ()
    assert sealed(second, entries(8), late).gaps == (Gap(7, 7, late),)


def test_only_what_is_late_does_not_take_the_log_back() -> None:
    first = sealed(None, entries(2), NOW)
    second = sealed(first, entries(1), NOW)
    assert (second.after, second.last, second.first, second.gaps) == (2, 2, 1, ())


def test_a_segment_follows_from_the_one_before_and_from_no_other() -> None:
    first = sealed(None, entries(1, 2), NOW)
    second = sealed(first, entries(3), NOW)
    assert wrong_with(None, first, entries(1, 2)) == ""
    assert wrong_with(first, second, entries(3)) == ""
    other = sealed(None, [replace(one, actor="bob") for one in entries(1, 2)], NOW)
    assert wrong_with(other, second, entries(3)) == "segment 2 does not follow from segment 1"


@pytest.mark.parametrize(
    "change",
    [
        {"gaps": (Gap(1, 1, NOW),)},
        {"sealed_at": NOW + timedelta(days=1)},
        {"prev": "x"},
        {"after": 1},
        {"last": 9},
    ],
)
def test_what_a_segment_says_of_itself_is_sealed_too(change: dict[str, object]) -> None:
    segment = replace(sealed(None, entries(1, 2), NOW), **change)  # type: ignore[arg-type] # whatever field the case is about
    assert wrong_with(None, segment, entries(1, 2)) == "segment 1: what is there now is not what was sealed"
