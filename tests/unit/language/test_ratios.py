"""Shares, thresholds and rates are read strictly and print as written."""

from datetime import timedelta

import pytest

from responder.language.ratios import Rate, Threshold, parse_rate, parse_ratio, parse_threshold


@pytest.mark.parametrize(
    ("text", "value"), [("20%", 0.2), ("0%", 0), ("150%", 1.5), ("0.2", 0.2), (0.2, 0.2), (1, 1), ("0.5%", 0.005)]
)
def test_a_share_is_read(text: str | float, value: float) -> None:
    assert parse_ratio(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("20", "did you mean 20%"),
        (20, "did you mean 20%"),
        ("-5%", "negative"),
        ("x%", "like 20%"),
        ("%", "like"),
        (True, "like"),
        ("nan%", "like"),
        ("1e999%", "like"),
        ("5 %", "write 5%$"),
    ],
)
def test_what_is_not_a_share_is_refused(text: str | float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_ratio(text)


@pytest.mark.parametrize(
    ("text", "threshold", "shown"),
    [
        ("1%", Threshold(0.01, "percent"), "1%"),
        ("7%", Threshold(0.07, "percent"), "7%"),
        ("5m", Threshold(300.0, "seconds"), "5m"),
        ("250ms", Threshold(0.25, "seconds"), "250ms"),
        (70, Threshold(70.0), "70"),
        ("70", Threshold(70.0), "70"),
        (0.5, Threshold(0.5), "0.5"),
        ("-3", Threshold(-3.0), "-3"),
        ("1e3", Threshold(1000.0), "1000"),
        (0, Threshold(0.0), "0"),
    ],
)
def test_a_threshold_is_a_number_a_percentage_or_a_duration(
    text: str | float, threshold: Threshold, shown: str
) -> None:
    assert parse_threshold(text) == threshold
    assert str(threshold) == shown


@pytest.mark.parametrize("text", ["", "abc", "nan", float("nan"), float("inf"), True, "5 m", "1%%", 10**400, "9" * 100])
def test_what_is_not_a_threshold_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="not a threshold"):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("text", "says"), [("1 %", "write 1%"), ("< 1%", "write 1%"), ("1,5", "write 1.5"), ("5 min", "write 5m")]
)
def test_what_is_suggested_for_a_threshold_can_be_written(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"{says}$"):
        parse_threshold(text)
    parse_threshold(says.removeprefix("write "))


def test_a_rate_is_a_count_and_a_window() -> None:
    assert parse_rate("3 per 1h") == Rate(3, timedelta(hours=1))
    assert str(parse_rate("20 per 1h30m")) == "20 per 1h30m"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3/1h", "write 3 per 1h"),
        ("3 an hour", "write 3 per 1h"),
        ("3 per 2 hours", "write 3 per 2h"),
        ("3 per month", "like 1h30m"),
        ("3 per 0 minutes", "like 3 per 1h"),
        ("3 per hour", "write 3 per 1h"),
        ("0 per 1h", "allows nothing"),
        ("3 per 0", "allows nothing"),
        ("3 per 5", "no unit"),
        (3, "like 3 per 1h"),
        ("-3 per 1h", "like"),
    ],
)
def test_what_is_not_a_rate_is_refused(text: str | float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_rate(text)
