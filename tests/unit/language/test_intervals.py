"""Recurring times hold as Alertmanager's do, also where clocks change."""

from datetime import UTC, datetime

import pytest

from responder.language.intervals import TimeInterval


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


OFFICE = TimeInterval.parse(
    {
        "times": [{"start_time": "09:00", "end_time": "17:00"}],
        "weekdays": ["monday:friday"],
        "location": "Europe/Berlin",
    }
)


@pytest.mark.parametrize(
    ("data", "instant", "inside"),
    [
        ({}, "2026-01-01T00:00", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-01-01T09:00", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-01-01T17:00", False),
        ({"times": [{"start_time": "22:00", "end_time": "24:00"}]}, "2026-01-01T23:59", True),
        ({"weekdays": ["monday:friday"]}, "2026-01-02T12:00", True),
        ({"weekdays": ["monday:friday"]}, "2026-01-03T12:00", False),
        ({"weekdays": ["Sunday"]}, "2026-01-04T12:00", True),
        ({"days_of_month": ["-1"]}, "2026-02-28T12:00", True),
        ({"days_of_month": [-1]}, "2026-01-30T12:00", False),
        ({"days_of_month": ["-3:-1"]}, "2026-04-28T12:00", True),
        ({"days_of_month": ["1:5", 20]}, "2026-04-20T12:00", True),
        ({"days_of_month": ["31"]}, "2026-04-30T12:00", False),
        ({"days_of_month": ["15:-1"]}, "2026-04-30T12:00", True),
        ({"months": ["january:march"]}, "2026-03-31T23:59", True),
        ({"months": ["4:6", "december"]}, "2026-12-01T00:00", True),
        ({"months": [7]}, "2026-08-01T00:00", False),
        ({"years": ["2026:2027"]}, "2027-01-01T00:00", True),
        ({"years": [2025]}, "2026-01-01T00:00", False),
        ({"weekdays": ["saturday"], "location": "Asia/Tokyo"}, "2026-01-02T16:00", True),
    ],
)
def test_an_instant_is_inside_or_not(data: dict[str, object], instant: str, inside: bool) -> None:  # noqa: FBT001 - a column of the table
    assert TimeInterval.parse(data).contains(at(instant)) is inside


def test_a_named_list_holds_when_one_of_its_members_does() -> None:
    interval = TimeInterval.parse(
        {"name": "quiet", "time_intervals": [{"weekdays": ["saturday"]}, {"weekdays": ["sunday"]}]}
    )
    assert interval.contains(at("2026-01-03T12:00"))
    assert interval.contains(at("2026-01-04T12:00"))
    assert not interval.contains(at("2026-01-05T12:00"))
    assert interval.next_change(at("2026-01-03T12:00")) == at("2026-01-05T00:00")


@pytest.mark.parametrize(
    ("instant", "change"),
    [
        ("2026-01-05T07:59", "2026-01-05T08:00"),
        ("2026-01-05T08:00", "2026-01-05T16:00"),
        ("2026-01-02T16:00", "2026-01-05T08:00"),
        ("2026-03-27T16:00", "2026-03-30T07:00"),  # over the weekend the clocks go forward
    ],
)
def test_the_next_change_is_known(instant: str, change: str) -> None:
    assert OFFICE.next_change(at(instant)) == at(change)


def test_a_start_that_the_clocks_skip_takes_hold_when_they_jump() -> None:
    night = TimeInterval.parse({"times": [{"start_time": "02:30", "end_time": "04:00"}], "location": "Europe/Berlin"})
    assert night.next_change(at("2026-03-29T00:30")) == at("2026-03-29T01:00")
    assert night.next_change(at("2026-03-29T01:00")) == at("2026-03-29T02:00")


def test_members_in_different_zones_are_met_in_order() -> None:
    both = TimeInterval.parse(
        {
            "time_intervals": [
                {"times": [{"start_time": "10:00", "end_time": "11:00"}], "location": "Pacific/Auckland"},
                {"times": [{"start_time": "10:00", "end_time": "11:00"}], "location": "Pacific/Honolulu"},
            ]
        }
    )
    assert both.next_change(at("2026-01-05T12:00")) == at("2026-01-05T20:00")
    assert both.next_change(at("2026-01-05T20:00")) == at("2026-01-05T22:00")


def test_what_never_changes_has_no_next_change() -> None:
    assert TimeInterval.parse({}).next_change(at("2026-01-01T00:00")) is None
    assert TimeInterval.parse({"years": [2020]}).next_change(at("2026-01-01T00:00")) is None
    assert TimeInterval.parse({"years": [9000]}).next_change(at("9999-12-31T00:00")) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"weekday": ["monday"]}, "did you mean weekdays?"),
        ({"weekdays": ["mon"]}, "did you mean monday?"),
        ({"weekdays": []}, "at least one"),
        ({"weekdays": "monday"}, "is a list"),
        ({"weekdays": ["friday:monday"]}, "write it as two"),
        ({"times": [{"start_time": "22:00", "end_time": "06:00"}]}, "a night is two ranges"),
        ({"times": [{"start_time": "9:00", "end_time": "17:00"}]}, "write 09:00"),
        ({"times": [{"start_time": "9", "end_time": "17:00"}]}, "like 09:30"),
        ({"weekdays": ["mon-fri"]}, "mean monday:friday"),
        ({"months": ["13"]}, "or 1 to 12"),
        ({"times": [{"start_time": "09:00"}]}, "start_time and an end_time"),
        ({"days_of_month": [0]}, "1 to 31"),
        ({"days_of_month": ["-1:5"]}, "must end there"),
        ({"days_of_month": ["20:10"]}, "ends before it starts"),
        ({"days_of_month": [True]}, "not a day"),
        ({"months": ["januray"]}, "did you mean january?"),
        ({"months": [13]}, "not a month"),
        ({"years": ["x"]}, "not a year"),
        ({"location": "Europe/Atlantis"}, "like Europe/Berlin"),
        ({"location": "../etc/passwd"}, "like Europe/Berlin"),
        ({"location": "Europe"}, "like Europe/Berlin"),
        ({"time_intervals": []}, "at least one"),
        ({"time_intervals": ["x"]}, "keys such as"),
    ],
)
def test_what_alertmanager_would_refuse_is_refused_with_what_to_write(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        TimeInterval.parse(data)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        OFFICE.contains(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
