"""Figures over time: what they say about what comes, about what is usual, and in a few characters. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

Point = tuple[datetime, float]
FIT = 0.7
"""A line that explains less of the figures than this share (R²) is no forecast."""
SOONEST, LATEST = timedelta(minutes=1), timedelta(days=7)
LEAST_POINTS = 8
ORDINARY = 3.5
"""A robust z beyond this is an outlier (Iglewicz and Hoaglin, 1993)."""
_TO_SIGMA = 0.6745
"""The median deviation of a normal distribution, in standard deviations."""
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Usual:
    """How a figure stands to those of the same hour of other days: their median, and the robust z."""

    median: float
    z: float

    @property
    def ordinary(self) -> bool:
        """Whether it is within what that hour brings anyway."""
        return abs(self.z) <= ORDINARY


def reaches(points: Sequence[Point], limit: float) -> timedelta | None:
    """Return in which time a line through the points reaches ``limit``; None when it does not, or is no line."""
    known = [(at.timestamp(), value) for at, value in points if math.isfinite(value)]
    if len(known) < LEAST_POINTS or len({value for _, value in known}) == 1:
        return None
    times, values = [one[0] for one in known], [one[1] for one in known]
    slope, intercept = statistics.linear_regression(times, values)
    if not slope or statistics.correlation(times, values) ** 2 < FIT:
        return None
    wait = timedelta(seconds=max(-1e9, min(1e9, (limit - intercept) / slope - times[-1])))
    return wait if SOONEST <= wait <= LATEST else None


def usual(now: float, same_hour: Sequence[float]) -> Usual | None:
    """Return how ``now`` stands to the figures of the same hour of other days; None when there are too few."""
    known = [one for one in same_hour if math.isfinite(one)]
    if len(known) < LEAST_POINTS or not math.isfinite(now):
        return None
    median = statistics.median(known)
    spread = statistics.median([abs(one - median) for one in known])
    if not spread:
        # Always the same: anything else is out of the ordinary, and how far cannot be said in spreads.
        return Usual(median, 0.0 if now == median else math.copysign(math.inf, now - median))
    return Usual(median, _TO_SIGMA * (now - median) / spread)


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Return the course of the figures in a few characters; what is missing is a gap."""
    if not values:
        return ""
    each = max(1, math.ceil(len(values) / width))
    groups = [[one for one in values[at : at + each] if math.isfinite(one)] for at in range(0, len(values), each)]
    means = [statistics.fmean(group) if group else math.nan for group in groups]
    known = [one for one in means if math.isfinite(one)]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(" " if math.isnan(one) else _BARS[round((one - low) / span * 7) if span else 0] for one in means)
