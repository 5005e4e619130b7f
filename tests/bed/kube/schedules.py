"""Cron schedules, in UTC: the five fields with lists, ranges and steps, and the short forms."""

import functools
from datetime import UTC, datetime, timedelta

_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_YEAR = 366 * 24 * 60


def following(schedule: str, after: float) -> float:
    """Return the first time of `schedule` after `after`; raise ValueError when there is none within a year."""
    minutes, hours, days, months, weekdays = _fields(schedule)
    when = datetime.fromtimestamp(after, tz=UTC).replace(second=0, microsecond=0)
    for _ in range(_YEAR):
        when += timedelta(minutes=1)
        fits = when.minute in minutes and when.hour in hours and when.month in months
        if fits and _day(when, days, weekdays):
            return when.timestamp()
    raise ValueError(f"the schedule {schedule!r} has no time within a year")


def _day(when: datetime, days: frozenset[int], weekdays: frozenset[int]) -> bool:
    """Whether the day fits: of day and weekday both when one is free, either when both are given."""
    by_day, by_weekday = when.day in days, when.isoweekday() % 7 in {one % 7 for one in weekdays}
    free = len(days) == 31 or len({one % 7 for one in weekdays}) == 7
    return (by_day and by_weekday) if free else (by_day or by_weekday)


@functools.cache
def _fields(schedule: str) -> tuple[frozenset[int], ...]:
    fields = _SHORT.get(schedule, schedule).split()
    return tuple(_field(text, low, high) for text, (low, high) in zip(fields, _RANGES, strict=True))


def _field(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        start = low if first == "*" else int(first)
        end = int(last) if last else high if first == "*" or step else start
        found.update(range(start, end + 1, int(step or 1)))
    return frozenset(found)
