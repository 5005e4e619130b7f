"""The next change is what a walk from minute to minute meets, in every zone and across every change of clocks."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from responder.language.intervals import TimeInterval

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
)
TIMES = st.tuples(st.integers(0, 1_439), st.integers(1, 1_440)).filter(lambda pair: pair[0] < pair[1])
DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


SPANS = st.fixed_dictionaries(
    {"location": ZONES},
    optional={
        "times": st.lists(
            TIMES.map(lambda pair: {"start_time": clock(pair[0]), "end_time": clock(pair[1])}), min_size=1, max_size=2
        ),
        "weekdays": st.lists(st.sampled_from(DAYS), min_size=1, max_size=4),
        "days_of_month": st.lists(st.sampled_from(["1", "-1", "25:-2", "-5:-3", "29"]), min_size=1, max_size=2),
    },
)
# Around the nights when the clocks of Berlin and New York change, and in between.
STARTS = st.sampled_from(
    [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC), datetime(2026, 2, 27, tzinfo=UTC)]
)


@given(st.lists(SPANS, min_size=1, max_size=2), STARTS, st.integers(0, 2_000))
def test_the_next_change_is_the_first_that_a_walk_meets(
    spans: list[dict[str, object]], start: datetime, minutes: int
) -> None:
    interval = TimeInterval.parse({"time_intervals": spans})
    instant = start + timedelta(minutes=minutes, seconds=minutes % 60)
    change = interval.next_change(instant)
    now = interval.contains(instant)
    step = instant.replace(second=0) + timedelta(minutes=1)
    end = min(change or instant + timedelta(days=3), instant + timedelta(days=3))
    while step < end:
        assert interval.contains(step) == now
        step += timedelta(minutes=1)
    if change is not None:
        assert change > instant
        assert interval.contains(change) != now
