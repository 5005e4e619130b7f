"""Durations as Prometheus writes them (``1h30m``), and as people read them (``3m12s``)."""

import re
from datetime import timedelta
from decimal import Decimal

# Units and their milliseconds, largest first, as in prometheus/common model/time.go.
_UNITS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_SHAPE = re.compile("".join(rf"(?:([0-9]+){unit})?" for unit in _UNITS))
_PART = re.compile(r"([0-9]+)([a-z]*)")
# Prometheus keeps durations in a signed 64-bit count of nanoseconds: about 292 years.
_LONGEST_MS = (2**63 - 1) // 1_000_000
_LONGEST_TEXT = 64
_PER_MINUTE, _PER_HOUR = 60, 3_600  # in seconds
_PER_DAY = 1_440  # in minutes
_WORDS = {
    word: unit
    for unit, words in {
        "y": "yr yrs year years",
        "w": "wk wks week weeks",
        "d": "day days",
        "h": "hr hrs hour hours",
        "m": "min mins minute minutes",
        "s": "sec secs second seconds",
        "ms": "msec msecs millisecond milliseconds",
    }.items()
    for word in words.split()
}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SPOKEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)")
_NAMES = "the units are y, w, d, h, m, s and ms"
_LIKE = "write it like 1h30m, 5m, 90s or 250ms"


def parse_duration(text: str | float) -> timedelta:
    """Read a Prometheus duration: ``1h30m``, ``5m``, ``250ms``, ``0``; units descending, each at most once.

    A bare number, as YAML hands it over, is refused unless it is 0: it has no unit.

    Raises ValueError with a sentence that says how to write it.
    """
    text = text if isinstance(text, str) else f"{text}"
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"{text[:16]!r}… is too long for a duration ({_LONGEST_TEXT} characters at most)")
    if text == "0":
        return timedelta(0)
    shape = _SHAPE.fullmatch(text)
    if shape is None or not text:
        raise ValueError(_what_is_wrong(text))
    milliseconds = sum(
        int(count) * size for count, size in zip(shape.groups(), _UNITS.values(), strict=True) if count is not None
    )
    if milliseconds > _LONGEST_MS:
        raise ValueError(f"{text!r} is out of range: a duration is at most about 292 years")
    return timedelta(milliseconds=milliseconds)


def _what_is_wrong(text: str) -> str:
    """Say why ``text`` is not a duration and what to write instead: whatever is suggested can be written."""
    bare = text.strip()
    if not bare:
        return "an empty text is not a duration: write a number with a unit, such as 5m"
    if bare.startswith("-"):
        return f"{text!r} is negative: a duration cannot be"
    if _NUMBER.fullmatch(bare):
        choices = [meant for unit in ("s", "m", "h") if (meant := duration_meant(bare + unit))]
        return f"{text!r} has no unit: write {_either(choices) if choices else 'a number with a unit, such as 5m'}"
    meant = duration_meant(bare)
    instead = f"write {meant}" if meant else _LIKE
    if re.search(r"\s", text):
        return f"{text!r} has a space in it: {instead}"
    if "." in bare:
        return f"{text!r} has a fraction: {instead}"
    return _wrong_units(text, _PART.findall(bare), instead)


def _wrong_units(text: str, parts: list[tuple[str, str]], instead: str) -> str:
    """Say which unit is unknown, missing, repeated or out of order."""
    if "".join(count + unit for count, unit in parts) != text:
        return f"{text!r} is not a duration: {instead}"
    for _, unit in parts:
        if unit and unit not in _UNITS:
            return f"{text!r} has the unknown unit {unit!r}: {_NAMES if instead == _LIKE else instead}"
    if any(not unit for _, unit in parts):
        return f"{text!r} ends without a unit: {_LIKE}"
    units = [unit for _, unit in parts]
    if len(set(units)) < len(units):
        return f"{text!r} repeats a unit: use each at most once, as in 1h30m"
    return f"{text!r} has its units out of order: the largest comes first, {instead}"


def duration_meant(text: str) -> str:
    """Return the duration that ``text`` says in other words (``5 min``, ``1.5h``, ``30m1h``), empty when none is clear.

    Months are none of ours, and of a unit that stands twice nobody knows which one was meant.
    """
    plain = "".join(text.casefold().split())
    parts = _SPOKEN.findall(plain)
    if not parts or "".join(count + word for count, word in parts) != plain:
        return ""
    units = [_WORDS.get(word, word) for _, word in parts]
    if len(set(units)) < len(units) or not set(units) <= _UNITS.keys():
        return ""
    counts = [count for count, _ in parts]
    milliseconds = sum(Decimal(count) * _UNITS[unit] for count, unit in zip(counts, units, strict=True))
    if milliseconds > _LONGEST_MS or milliseconds % 1:
        return ""
    same = "".join(count + unit for count, unit in zip(counts, units, strict=True))
    # The numbers stay as they are where they can: 90 min is 90m.
    return same if _SHAPE.fullmatch(same) else format_duration(timedelta(milliseconds=int(milliseconds)))


def _either(choices: list[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]


def format_duration(duration: timedelta) -> str:
    """Write ``duration`` exactly and as short as Prometheus would: ``1h30m``, ``90d``, ``0s``.

    Raises ValueError for a negative duration or for one that is not a whole number of milliseconds.
    """
    rest, micro = divmod(duration, timedelta(milliseconds=1))
    if rest < 0 or micro:
        raise ValueError(f"{duration} cannot be written as a duration: it is negative or finer than a millisecond")
    if rest == 0:
        return "0s"
    written = []
    for unit, size in _UNITS.items():
        # Years and weeks only when nothing remains: 90d reads better than 12w6d.
        if unit in {"y", "w"} and rest % size:
            continue
        count, rest = divmod(rest, size)
        if count:
            written.append(f"{count}{unit}")
    return "".join(written)


def human_duration(duration: timedelta) -> str:
    """Write ``duration`` for a message: ``under 1s``, ``4s``, ``3m12s``, ``2h05m``, ``3d04h``.

    The two largest units, rounded to the nearest of the smaller one; a negative duration gets a minus sign.
    """
    if abs(duration) < timedelta(seconds=1):
        return "under 1s" if duration else "0s"
    if duration < timedelta(0):
        return "-" + human_duration(-duration)
    whole = {unit: round(duration / timedelta(milliseconds=size)) for unit, size in _UNITS.items()}
    if whole["s"] < _PER_MINUTE:
        return f"{whole['s']}s"
    if whole["s"] < _PER_HOUR:
        return _pair(whole["s"], "m", "s", _PER_MINUTE)
    if whole["m"] < _PER_DAY:
        return _pair(whole["m"], "h", "m", 60)
    return _pair(whole["h"], "d", "h", 24)


def _pair(amount: int, large: str, small: str, size: int) -> str:
    """Split ``amount`` of the small unit into ``size`` of them per large unit."""
    count, rest = divmod(amount, size)
    return f"{count}{large}{rest:02d}{small}" if rest else f"{count}{large}"
