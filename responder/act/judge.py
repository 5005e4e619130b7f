"""Judging a condition: pass, fail or unknown. Pure; unknown is never success."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from responder.domain.images import short
from responder.domain.runs import Check, Sample
from responder.playbook.model import Condition, Threshold
from responder.ports.probe import Reading, Value

RATIO_CEILING = 1.5
"""A sample above this against a ``%`` threshold is in percent already, not a ratio: unknown (engine.md)."""

_COMPARE = {
    "equals": lambda value, bound: value == bound,
    "above": lambda value, bound: value > bound,
    "below": lambda value, bound: value < bound,
    "at_least": lambda value, bound: value >= bound,
    "at_most": lambda value, bound: value <= bound,
}
_WORD = {"equals": "=", "above": ">", "below": "<", "at_least": "≥", "at_most": "≤"}
_RISING: tuple[Threshold, ...] = ("above", "at_least")
_FALLING: tuple[Threshold, ...] = ("below", "at_most")

NOTE_LENGTH = 200


def figure(value: Value, *, percent: bool = False) -> str:
    """Write a value as people read it: ``4.1 %`` for ratios, at most four significant digits else."""
    if isinstance(value, bool | str):
        return str(value)
    if percent:
        return f"{value * 100:.3g} %"
    return f"{value:.4g}"


def wanted(condition: Condition) -> str:
    """Write what the condition needs: ``< 1 %``."""
    words = []
    for word, bound in condition.limits.items():
        words.append("no data" if word == "absent" else f"{_WORD[word]} {figure(bound, percent=condition.percent)}")
    if condition.improves_by is not None:
        words.append(f"{'or ' if words else ''}better by {condition.improves_by:.0%}")
    if condition.worse_by is not None:
        words.append(f"not worse by {condition.worse_by:.0%}")
    return " ".join(words)


def judge(condition: Condition, reading: Reading, baseline: float | None, at: datetime) -> Sample:
    """Say what one reading means for the condition; what the probe noted is added where it does not hold."""
    if not reading.values:
        return _without_data(condition, reading, at)
    sample = _judge_values(condition, reading, baseline, at)
    if sample.outcome == "pass" or not reading.note:
        return sample
    return sample.model_copy(update={"reason": f"{sample.reason} ({short(reading.note, NOTE_LENGTH)})"})


def _judge_values(condition: Condition, reading: Reading, baseline: float | None, at: datetime) -> Sample:
    if "absent" in condition.limits:
        return Sample(at=at, value=None, outcome="fail", reason="there is data where none should be")
    numbers = [value for value in reading.values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != len(reading.values):
        return _words(condition, reading, at)
    if not all(math.isfinite(number) for number in numbers):
        return Sample(at=at, value=None, outcome="unknown", reason="the value is not a finite number")
    if condition.percent and max(numbers) > RATIO_CEILING:
        reason = f"{max(numbers):.4g} is not a ratio; write the threshold without % if the metric is in percent"
        return Sample(at=at, value=None, outcome="unknown", reason=reason)
    value = _worst(condition, numbers)
    return _numeric(condition, value, baseline, at)


def _without_data(condition: Condition, reading: Reading, at: datetime) -> Sample:
    outcome = "pass" if "absent" in condition.limits else condition.no_data
    return Sample(at=at, value=None, outcome=outcome, reason=reading.note or "no data")


def _words(condition: Condition, reading: Reading, at: datetime) -> Sample:
    bound = condition.limits.get("equals")
    if bound is None or len(condition.limits) > 1:
        return Sample(at=at, value=None, outcome="unknown", reason="the value is not a number")
    seen = ", ".join(str(value) for value in reading.values)
    same = all(value == bound for value in reading.values)
    return Sample(at=at, value=None, outcome="pass" if same else "fail", reason=f"{seen}, needs {bound}")


def _worst(condition: Condition, numbers: Sequence[float]) -> float:
    """Return a value that misses a threshold where there is one: each must hold for every value."""
    seen = [number for number in numbers if not _meets(condition, number)] or numbers
    return max(seen, key=lambda number: _badness(condition, number))


def _badness(condition: Condition, value: float) -> float:
    """Return a figure that is the smaller, the better the value is for the condition.

    It is the value itself, turned round where more is wanted; where one value or a band is wanted, the way there.
    """
    bounds = {word: float(bound) for word, bound in condition.limits.items() if not isinstance(bound, str)}
    if "equals" in bounds:
        return abs(value - bounds["equals"])
    lows = [bounds[word] for word in _RISING if word in bounds]
    highs = [bounds[word] for word in _FALLING if word in bounds]
    if lows and highs:
        return max(max(lows) - value, value - min(highs), 0.0)
    return -value if lows else value


def _meets(condition: Condition, value: float) -> bool:
    return all(_holds(word, value, bound) for word, bound in condition.limits.items())


def _holds(word: Threshold, value: float, bound: float | str | bool) -> bool:  # noqa: FBT001 - a threshold's value
    return not isinstance(bound, str) and bool(_COMPARE[word](value, bound))


def judge_labels(condition: Condition, labels: Mapping[str, str], at: datetime) -> Sample:
    """Say whether the alert's labels match the condition's matchers."""
    unmet = [str(matcher) for matcher in condition.matchers if not matcher.matches(labels)]
    if unmet:
        return Sample(at=at, value=0.0, outcome="fail", reason=f"the labels do not match {', '.join(unmet)}")
    return Sample(at=at, value=1.0, outcome="pass", reason="the labels match")


def _numeric(condition: Condition, value: float, baseline: float | None, at: datetime) -> Sample:
    text = f"{figure(value, percent=condition.percent)}, needs {wanted(condition)}"
    worse = _worse(condition, value, baseline)
    if worse is not None:
        return Sample(at=at, value=value, outcome=worse, reason=text)
    # Of no thresholds at all, "all of them" would hold.
    if condition.limits and _meets(condition, value):
        return Sample(at=at, value=value, outcome="pass", reason=text)
    if condition.improves_by is None:
        not_worse = not condition.limits and condition.worse_by is not None
        return Sample(at=at, value=value, outcome="pass" if not_worse else "fail", reason=text)
    better, reason = _better(condition, condition.improves_by, value, baseline)
    return Sample(at=at, value=value, outcome=better, reason=f"{text}{reason}")


def _better(
    condition: Condition, share: float, value: float, baseline: float | None
) -> tuple[Literal["pass", "fail", "unknown"], str]:
    """Say whether a value is better by a share of what there was before, and what is to be added to the reason."""
    if baseline is None or not math.isfinite(baseline):
        return "unknown", "; nothing to compare it with"
    before = _badness(condition, baseline)
    gain = before - _badness(condition, value)
    if gain <= 0:
        return "fail", ""
    if before == 0:
        return "unknown", "; it was 0 before, of which there is no share"
    return "pass" if gain / abs(before) >= share else "fail", ""


def _worse(condition: Condition, value: float, baseline: float | None) -> Literal["fail", "unknown"] | None:
    if condition.worse_by is None:
        return None
    if baseline is None or not math.isfinite(baseline):
        return "unknown"
    before = _badness(condition, baseline)
    return "fail" if _badness(condition, value) > before + abs(before) * condition.worse_by else None


def note(
    check: Check, sample: Sample, condition: Condition, interval: timedelta, jumped_at: datetime | None = None
) -> Check:
    """Add one sample to what was seen of a condition; ``for`` counts contiguous passing samples.

    A gap of more than two poll intervals restarts the count, and so does a jump of the clock (engine.md).
    """
    since = check.passing_since
    gap = check.last is not None and sample.at - check.last.at > 2 * interval
    gap = gap or (jumped_at is not None and since is not None and since < jumped_at)
    if sample.outcome != "pass":
        since = None
    elif since is None or gap:
        since = sample.at
    return check.model_copy(
        update={
            "first": check.first or sample,
            "last": sample,
            "determinate": sample if sample.outcome != "unknown" else check.determinate,
            "passing_since": since,
            "done": since is not None and sample.at - since >= condition.hold,
            "fresh": check.fresh or sample.data == "new",
        },
    )


def poll_interval(conditions: Sequence[Condition]) -> timedelta:
    """Return how often to look: a twentieth of the shortest ``within``, between a quarter of a second and 15 s."""
    shortest = min((condition.within for condition in conditions), default=timedelta(minutes=5))
    if any(condition.hold for condition in conditions):
        shortest = min([shortest, *(4 * condition.hold for condition in conditions if condition.hold)])
    return min(max(shortest / 20, timedelta(seconds=0.25)), timedelta(seconds=15))
