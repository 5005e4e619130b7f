"""Recurring times in Alertmanager's form: times, weekdays, days of the month, months, years and a location."""

import calendar
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from responder.language.suggest import did_you_mean

_KEYS = ("times", "weekdays", "days_of_month", "months", "years", "location")
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = tuple(name.lower() for name in calendar.month_name)
_TIME = re.compile(r"(?:([01][0-9]|2[0-3]):([0-5][0-9]))|24:00")
_NUMBER = re.compile(r"-?[0-9]{1,4}")
_MINUTES_A_DAY = 1_440
_LONGEST_MONTH, _SHORTEST_MONTH = 31, 28
# Further than this nobody plans; it bounds the work of next_change to some milliseconds.
_LOOK_AHEAD_DAYS = 400

_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Span:
    """One set of conditions, all of which must hold; None is no condition."""

    times: tuple[_Range, ...] | None
    weekdays: tuple[_Range, ...] | None
    days_of_month: tuple[_Range, ...] | None
    months: tuple[_Range, ...] | None
    years: tuple[_Range, ...] | None
    location: ZoneInfo

    def contains(self, instant: datetime) -> bool:
        local = instant.astimezone(self.location)
        minute = local.hour * 60 + local.minute
        return (
            (self.times is None or any(start <= minute < end for start, end in self.times))
            and _within(local.isoweekday() % 7, self.weekdays)
            and _within(local.month, self.months)
            and _within(local.year, self.years)
            and (self.days_of_month is None or self._on_day(local))
        )

    def _on_day(self, local: datetime) -> bool:
        last = calendar.monthrange(local.year, local.month)[1]
        for begin, end in self.days_of_month or ():
            first = begin if begin > 0 else last + begin + 1
            final = end if end > 0 else last + end + 1
            if first <= local.day <= final:
                return True
        return False

    def edges(self, day: date) -> Iterator[datetime]:
        """Every instant on the local ``day`` at which ``contains`` may change."""
        midnight = datetime.combine(day, time(), self.location)
        following = datetime.combine(day + timedelta(days=1), time(), self.location)
        if midnight.utcoffset() != following.utcoffset():
            # The clocks change: wall times repeat or are missing, so every minute is a candidate.
            start = midnight.astimezone(UTC)
            minutes = int((following.astimezone(UTC) - start) / timedelta(minutes=1)) + 1
            yield from (start + timedelta(minutes=minute) for minute in range(minutes))
            return
        edges = {0}.union(*(set(pair) for pair in self.times or ())) - {_MINUTES_A_DAY}
        for minute in sorted(edges):
            yield (midnight + timedelta(minutes=minute)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """Recurring times: an instant is inside when it is in one of the spans."""

    spans: tuple[_Span, ...]

    @staticmethod
    def parse(data: Mapping[str, object]) -> "TimeInterval":
        """Read one interval, or a named list of them (``{name: …, time_intervals: […]}``).

        Raises ValueError with a sentence that says what to write.
        """
        if "time_intervals" not in data:
            return TimeInterval((_span(data),))
        members = data["time_intervals"]
        if not (isinstance(members, list) and members and all(isinstance(member, Mapping) for member in members)):
            raise ValueError("time_intervals is a list of intervals, at least one, with keys such as times")
        return TimeInterval(tuple(_span(member) for member in members))

    def contains(self, instant: datetime) -> bool:
        """Whether ``instant`` (aware) is inside."""
        if instant.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return any(span.contains(instant) for span in self.spans)

    def next_change(self, instant: datetime) -> datetime | None:
        """The first moment after ``instant`` when ``contains`` changes (UTC), or None within the next 400 days."""
        now = self.contains(instant)
        for days in range(-1, _LOOK_AHEAD_DAYS):
            try:
                edges = [
                    edge
                    for span in self.spans
                    for edge in span.edges(instant.astimezone(span.location).date() + timedelta(days=days))
                    if edge > instant
                ]
            except OverflowError:
                return None
            for edge in sorted(edges):
                # Days of spans in different zones overlap, so an earlier edge may belong to another day.
                if self.contains(edge) != now:
                    return self._first_change(instant, edge, now=now)
        return None

    def _first_change(self, instant: datetime, latest: datetime, *, now: bool) -> datetime:
        """The first change after ``instant`` and not after ``latest``: zones differ by up to a day."""
        candidates = {
            edge
            for span in self.spans
            for days in (-1, 0, 1)
            for edge in span.edges(latest.astimezone(span.location).date() + timedelta(days=days))
            if instant < edge <= latest
        }
        return min(edge for edge in candidates if self.contains(edge) != now)


def _within(number: int, ranges: tuple[_Range, ...] | None) -> bool:
    return ranges is None or any(begin <= number <= end for begin, end in ranges)


def _span(data: Mapping[str, object]) -> _Span:
    for key in data:
        if key not in _KEYS:
            near = did_you_mean(str(key), _KEYS)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(_KEYS)}"
            raise ValueError(f"an interval has no {key!r}: {hint}")
    return _Span(
        times=_times(data.get("times")),
        weekdays=_ranges("weekdays", data.get("weekdays"), _weekday),
        days_of_month=_ranges("days_of_month", data.get("days_of_month"), _day_of_month),
        months=_ranges("months", data.get("months"), _month),
        years=_ranges("years", data.get("years"), _year),
        location=_location(data.get("location", "UTC")),
    )


def _times(value: object) -> tuple[_Range, ...] | None:
    if value is None:
        return None
    found = []
    for item in _items("times", value):
        if not isinstance(item, Mapping) or set(item) != {"start_time", "end_time"}:
            raise ValueError(
                "each of times has a start_time and an end_time, such as { start_time: 09:00, end_time: 17:00 }"
            )
        start, end = _minute(item["start_time"]), _minute(item["end_time"])
        if start >= end:
            raise ValueError(
                f"start_time {item['start_time']} is not before end_time {item['end_time']}: "
                "a night is two ranges, one up to 24:00 and one from 00:00"
            )
        found.append((start, end))
    return tuple(found)


def _minute(text: object) -> int:
    shape = _TIME.fullmatch(text) if isinstance(text, str) else None
    if shape is None:
        short = isinstance(text, str) and _TIME.fullmatch(f"0{text}")
        instead = f"0{text}" if short else "it like 09:30, up to 24:00"
        raise ValueError(f"{text!r} is not a time of day: write {instead}")
    hour, minute = shape.groups()
    return int(hour) * 60 + int(minute) if hour else _MINUTES_A_DAY


def _items(key: str, value: object) -> list[object]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{key} is a list with at least one item")
    return value


def _ranges(key: str, value: object, read: Callable[[str], int]) -> tuple[_Range, ...] | None:
    """Each item is ``a`` or ``a:b``, both included."""
    if value is None:
        return None
    found = []
    for item in _items(key, value):
        first, colon, last = str(item).lower().partition(":")
        begin = read(first.strip())
        end = read(last.strip()) if colon else begin
        if key == "days_of_month":
            _check_days(item, begin, end)
        elif begin > end:
            raise ValueError(f"the range {item} in {key} ends before it starts: write it as two")
        found.append((begin, end))
    return tuple(found)


def _check_days(item: object, begin: int, end: int) -> None:
    """As Alertmanager does: only what can hold in a month of 28 days or more."""
    if begin < 0 < end:
        raise ValueError(
            f"the range {item} in days_of_month starts from the end of the month and must end there: use -1"
        )
    first = begin if begin > 0 else _SHORTEST_MONTH + begin
    last = end if end > 0 else _SHORTEST_MONTH + end
    if first > last:
        raise ValueError(f"the range {item} in days_of_month ends before it starts")


def _weekday(text: str) -> int:
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    raise ValueError(f"{text!r} is not a weekday{_near(text, _WEEKDAYS) or ': write one such as monday'}")


def _month(text: str) -> int:
    if text in _MONTHS[1:]:
        return _MONTHS.index(text)
    if _NUMBER.fullmatch(text) and 1 <= int(text) < len(_MONTHS):
        return int(text)
    raise ValueError(f"{text!r} is not a month{_near(text, _MONTHS[1:]) or ': write its English name, or 1 to 12'}")


def _near(text: str, names: Sequence[str]) -> str:
    """Return the question whether a name, or a range of names, was meant."""
    found = [_named(part.strip(), names) for part in re.split(r"-|–|\bto\b", text)]
    return f": did you mean {':'.join(one for one in found if one)}?" if len(found) <= 2 and all(found) else ""  # noqa: PLR2004 - a range has two ends


def _named(text: str, names: Sequence[str]) -> str | None:
    return next((name for name in names if text and name.startswith(text)), None) or did_you_mean(text, names)


def _day_of_month(text: str) -> int:
    if _NUMBER.fullmatch(text) and 1 <= abs(int(text)) <= _LONGEST_MONTH:
        return int(text)
    raise ValueError(f"{text!r} is not a day of the month: write 1 to 31, or -1 for the last")


def _year(text: str) -> int:
    if _NUMBER.fullmatch(text) and int(text) > 0:
        return int(text)
    raise ValueError(f"{text!r} is not a year: write one such as 2026")


def _location(value: object) -> ZoneInfo:
    if isinstance(value, str) and value != "Local":
        try:
            return ZoneInfo(value)
        except (ValueError, LookupError, OSError):
            pass
    raise ValueError(f"{value!r} is not a location: write one like Europe/Berlin or UTC")
