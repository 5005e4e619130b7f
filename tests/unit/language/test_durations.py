"""Durations are read strictly and written back exactly."""

import re
from datetime import timedelta

import pytest

from responder.language.durations import format_duration, human_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("5m", 300),
        ("90s", 90),
        ("250ms", 0.25),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1w", 7 * 86400),
        ("1y", 365 * 86400),
        ("1y2w3d4h5m6s7ms", 365 * 86400 + 14 * 86400 + 3 * 86400 + 4 * 3600 + 306.007),
        ("5m6ms", 300.006),
    ],
)
def test_a_prometheus_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5", "write 5s, 5m or 5h"),
        ("5 m", "write 5m"),
        ("-5m", "negative"),
        ("", "empty"),
        ("90", "write 90s, 90m or 90h"),
        ("0.5", "write 500ms, 30s or 30m"),
        ("9" * 30, "write a number with a unit, such as 5m"),
        ("1.5h", "write 1h30m$"),
        ("1.1h", "write 1h6m$"),
        ("0.0001s", "write it like"),
        ("5sec", "write 5s$"),
        ("5 sec", "write 5s$"),
        ("5min", "write 5m$"),
        ("5minutes", "write 5m$"),
        ("2hours", "write 2h$"),
        ("90 minutes", "write 90m$"),
        ("1 hour 30 minutes", "write 1h30m$"),
        ("30seconds", "write 30s$"),
        ("5M", "write 5m$"),
        ("five minutes", "write it like"),
        ("2months", "the units are y, w, d, h, m, s and ms$"),
        ("1h 1h", "write it like"),
        ("30m1h", "largest comes first, write 1h30m$"),
        ("1h1h", "repeats a unit"),
        ("1h30", "ends without a unit"),
        ("h", "write it like"),
        ("٣m", "write it like"),
        ("300y", "out of range"),
        ("9" * 60 + "s", "out of range"),
        ("1" * 100 + "s", "too long"),
        ("5m\n", "space"),
    ],
)
def test_what_is_not_a_duration_is_refused_with_a_sentence_that_helps(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


_WRONG = ("5sec", "5 sec", "90", "1.5", "0.5d", "1 hour 30 minutes", "30 m 1 h", "1.5h 10", "5M", "99999999 y", "2,5h")


@pytest.mark.parametrize("text", _WRONG)
def test_whatever_is_suggested_can_be_written(text: str) -> None:
    with pytest.raises(ValueError, match=r": ") as refused:
        parse_duration(text)
    suggested = re.findall(r"\b[0-9][0-9a-z]*\b", str(refused.value).removeprefix(repr(text)))
    assert suggested
    assert all(parse_duration(one) for one in suggested)


def test_a_bare_number_from_yaml_is_refused_not_guessed() -> None:
    with pytest.raises(ValueError, match="no unit"):
        parse_duration(5)


@pytest.mark.parametrize("text", ["0s", "250ms", "90s", "1m30s", "1h30m", "90d", "1w", "1y", "13d", "2h0m"])
def test_writing_what_was_read_keeps_the_duration(text: str) -> None:
    assert parse_duration(format_duration(parse_duration(text))) == parse_duration(text)


def test_the_shortest_exact_form_is_written() -> None:
    assert format_duration(timedelta(minutes=90)) == "1h30m"
    assert format_duration(timedelta(days=7)) == "1w"
    assert format_duration(timedelta(days=90)) == "90d"
    assert format_duration(timedelta(0)) == "0s"


@pytest.mark.parametrize("duration", [timedelta(seconds=-1), timedelta(microseconds=1)])
def test_what_cannot_be_written_exactly_is_refused(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        format_duration(duration)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.979, "under 1s"),
        (-0.2, "under 1s"),
        (4, "4s"),
        (4.4, "4s"),
        (59.6, "1m"),
        (192, "3m12s"),
        (185, "3m05s"),
        (3599.9, "1h"),
        (7500, "2h05m"),
        (7200, "2h"),
        (3 * 86400 + 4 * 3600, "3d04h"),
        (-4, "-4s"),
    ],
)
def test_a_duration_reads_well_in_a_message(seconds: float, text: str) -> None:
    assert human_duration(timedelta(seconds=seconds)) == text
