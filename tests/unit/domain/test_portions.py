"""Where a change that is made in portions stops on its way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.actions.http_request import Adjust
from responder.domain.portions import MOST, Portion, TooManyPortions

NUMBERS = st.integers(-1000, 1000) | st.floats(-1000, 1000, allow_nan=False).map(lambda number: round(number, 3))
SIZES = st.builds(Portion, st.integers(1, 500) | st.floats(0.001, 500).map(lambda size: round(size, 3)))
SHARES = st.builds(Portion, st.floats(1 / MOST, 1), st.just(True))  # noqa: FBT003 - the dataclass has them in this order


@given(NUMBERS, NUMBERS, SIZES | SHARES)
def test_the_stops_lead_straight_to_the_goal(before: float, goal: float, by: Portion) -> None:
    try:
        stops = by.stops(before, goal)
    except TooManyPortions:
        assert not by.share
        assert abs(goal - before) > by.size * MOST * (1 - 1e-9)
        return
    assert len(stops) <= MOST
    assert stops[-1:] == ((goal,) if goal != before else ())
    way = [before, *stops]
    assert way == sorted(way, reverse=goal < before)
    assert len(set(way)) == len(way)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), SHARES)
def test_a_share_stops_at_whole_numbers_between_whole_numbers(before: int, goal: int, by: Portion) -> None:
    assert all(isinstance(stop, int) for stop in by.stops(before, goal))


@given(NUMBERS, NUMBERS, SIZES | SHARES)
def test_what_makes_the_portions_stops_exactly_there(before: float, goal: float, by: Portion) -> None:
    whole = Adjust(to=goal)
    try:
        stops = by.stops(before, goal)
    except TooManyPortions:
        return
    at, seen = before, []
    for part in whole.portions("n", before, by):
        at = part.of("n", at)  # type: ignore[assignment]  # a number stays one
        seen.append(at)
    assert seen == list(stops)


@pytest.mark.parametrize(
    ("before", "goal", "by", "stops"),
    [
        (4, 10, Portion(2), (6, 8, 10)),
        (4, 9, Portion(2), (6, 8, 9)),
        (10, 4, Portion(4), (6, 4)),
        (4, 10, Portion(0.25, share=True), (5, 7, 8, 10)),
        (0, 2, Portion(0.25, share=True), (1, 2)),
        (0.1, 0.4, Portion(0.1), (0.2, 0.3, 0.4)),
        (0.0, 0.5, Portion(0.5, share=True), (0.25, 0.5)),
        (3, 3, Portion(1), ()),
    ],
)
def test_the_stops(before: float, goal: float, by: Portion, stops: tuple[float, ...]) -> None:
    assert by.stops(before, goal) == stops


def test_what_is_too_great_to_be_exact_is_refused() -> None:
    with pytest.raises(ValueError, match="too great"):
        Portion(1).stops(2**53 + 2, 2**53 + 4)
