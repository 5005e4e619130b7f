"""The change of a number, made in portions: where it stops on the way. Pure."""

import math
from dataclasses import dataclass
from fractions import Fraction

MOST = 20
"""Portions of one change at most: each is an effect, and each may be judged for minutes."""
_EXACT = 2**53
"""Beyond this a whole number is not exactly one of those that JSON is read with."""


class TooManyPortions(ValueError):
    """A change would take more portions than there may be."""


@dataclass(frozen=True, slots=True)
class Portion:
    """How much at a time: ``size`` itself or, with ``share``, that share of the whole change."""

    size: float
    share: bool = False

    @property
    def most(self) -> int:
        """How many portions there are at most, whatever the change is."""
        return math.ceil(1 / _exactly(self.size)) if self.share else MOST

    def stops(self, before: float, goal: float) -> tuple[float, ...]:
        """Return the numbers at which a change from ``before`` stops, ``goal`` being the last; none for no change.

        Between whole numbers a share stops at whole numbers. Raises TooManyPortions, and ValueError for numbers that
        are too great.
        """
        if max(abs(before), abs(goal)) > _EXACT:
            msg = f"a change from {before} to {goal} is too great to be made in portions"
            raise ValueError(msg)
        way = _exactly(goal) - _exactly(before)
        count = self.most if self.share else math.ceil(abs(way) / _exactly(self.size))
        if count > MOST:
            msg = f"from {before} to {goal} by {self.size:g} is {count} portions, at most {MOST} may be"
            raise TooManyPortions(msg)
        size = way / count if self.share else _exactly(self.size) * (1 if way > 0 else -1)
        stops = [_exactly(before) + size * number for number in range(1, count)]
        if self.share and way.denominator == 1:
            stops = [_exactly(before) + int(size * number) for number in range(1, count)]
        return tuple(dict.fromkeys(_plain(stop) for stop in (*stops, _exactly(goal)) if stop != _exactly(before)))


def _exactly(number: float) -> Fraction:
    """Return what is written: 0.1 is a tenth."""
    return Fraction(repr(number))


def _plain(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)


def apart(one: float, other: float) -> float:
    """Return how far it is from ``one`` to ``other``, as written: 0.1 from 0.2 to 0.3."""
    return float(_exactly(other) - _exactly(one))
