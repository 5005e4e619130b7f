"""Shares (``20%``), thresholds (``1%``, ``5m``, ``70``) and rates (``3 per 1h``)."""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from responder.language.durations import duration_meant, format_duration, parse_duration

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_RATE = re.compile(r"([0-9]{1,9}) +per +(\S+)")
_NEARLY = re.compile(r"\s*[<>=]*\s*([0-9]+(?:[.,][0-9]+)?)\s*(%?)\s*")
_NEARLY_RATE = re.compile(r"\s*([0-9]{1,9})\s*(?:/|\bper\b|\ban?\b|\bin\b|\bevery\b)\s*(.+?)\s*")
_LONGEST = 64
_PER_WORDS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "1w"}


def parse_ratio(text: str | float) -> float:
    """Read a share: ``20%`` is 0.2, and so is ``0.2``.

    Raises ValueError for anything negative, or above 1 without ``%``.
    """
    written = text.strip() if isinstance(text, str) else text
    percent = isinstance(written, str) and written.endswith("%")
    value = _number(written[:-1] if percent and isinstance(written, str) else written)
    if value is None:
        raise ValueError(f"{_shown(text)} is not a percentage: {_instead(text, '%') or 'write it like 20%'}")
    if value < 0:
        raise ValueError(f"{_shown(text)} is negative: a percentage here cannot be")
    if not percent and value > 1:
        raise ValueError(f"{_shown(text)} is more than everything: did you mean {value:g}%?")
    return value / 100 if percent else value


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number to compare a sample with: ``1%`` is 0.01 ``percent``, ``5m`` is 300 ``seconds``, 70 has no unit."""

    value: float
    unit: Literal["", "percent", "seconds"] = ""

    def __str__(self) -> str:
        """As a person would write it."""
        if self.unit == "percent":
            return f"{_short(self.value * 100)}%"
        if self.unit == "seconds":
            return format_duration(timedelta(seconds=self.value))
        return _short(self.value)


def parse_threshold(text: str | float) -> Threshold:
    """Read a threshold: a number, a percentage or a duration. Raises ValueError with what to write instead."""
    written = text.strip() if isinstance(text, str) else text
    value = _number(written)
    if value is not None:
        return Threshold(value)
    if isinstance(written, str) and written.endswith("%"):
        value = _number(written[:-1])
        if value is not None:
            return Threshold(value / 100, "percent")
    if isinstance(written, str):
        try:
            return Threshold(parse_duration(written).total_seconds(), "seconds")
        except ValueError:
            pass
    instead = _instead(text) or "write a number, a percentage such as 1% or a duration such as 5m"
    raise ValueError(f"{_shown(text)} is not a threshold: {instead}")


def _instead(text: object, unit: str = "") -> str:
    """Say how to write a number with a space before its ``%``, a decimal comma or a comparison, or a duration."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        return ""
    shape = _NEARLY.fullmatch(text)
    if shape is None:
        meant = "" if unit else duration_meant(text)
        return f"write {meant}" if meant else ""
    if unit and shape[2] != unit:
        return ""
    return f"write {shape[1].replace(',', '.')}{shape[2]}"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` times in any ``window``."""

    count: int
    window: timedelta

    def __str__(self) -> str:
        """``3 per 1h``."""
        return f"{self.count} per {format_duration(self.window)}"


def parse_rate(text: str | float) -> Rate:
    """Read ``3 per 1h``. Raises ValueError for another form, for none at all and for an empty window."""
    shape = _RATE.fullmatch(text.strip()) if isinstance(text, str) and len(text) <= _LONGEST else None
    if shape is None:
        raise ValueError(f"{_shown(text)} is not a rate: write {_rate_meant(text) or 'it like 3 per 1h'}")
    count, window_text = shape.groups()
    if window_text in _PER_WORDS:
        raise ValueError(f"{_shown(text)} names no duration: write {int(count)} per {_PER_WORDS[window_text]}")
    window = parse_duration(window_text)
    if int(count) == 0 or not window:
        raise ValueError(f"{_shown(text)} allows nothing: both the count and the window must be more than zero")
    return Rate(int(count), window)


def _rate_meant(text: object) -> str:
    """Return the rate that ``3/1h``, ``3 an hour`` or ``3 per 2 hours`` mean, empty when none is clear."""
    shape = _NEARLY_RATE.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
    if shape is None or not int(shape[1]):
        return ""
    window = shape[2] if shape[2][:1].isdecimal() else f"1 {shape[2]}"
    meant = duration_meant(window)
    return f"{int(shape[1])} per {meant}" if meant and parse_duration(meant) else ""


def _number(text: object) -> float | None:
    """A finite number, or None."""
    if isinstance(text, bool) or not isinstance(text, (int, float, str)):
        return None
    if isinstance(text, str) and (len(text) > _LONGEST or not _NUMBER.fullmatch(text)):
        return None
    try:
        value = float(text)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _short(value: float) -> str:
    """``70`` rather than ``70.0``, without the noise of binary fractions."""
    return f"{value:.12g}"


def _shown(text: object) -> str:
    """A quoted, bounded form of what was written."""
    shown = repr(text)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"
