"""What an alert's own expression has done: its course, where it leads, and whether that is unusual for the hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from pydantic import JsonValue

from responder.domain.chart import figure
from responder.domain.episodes import Episode
from responder.domain.findings import Finding
from responder.domain.series import Point, reaches, sparkline, usual
from responder.language.durations import human_duration
from responder.language.promql import same_expression, split_comparison
from responder.ports.tools import Prometheus, Range
from responder.tell.enrich import Scene
from responder.tell.headline import ranked

BACK, STEP = timedelta(hours=1), timedelta(seconds=30)
SLOPE = timedelta(minutes=30)
"""A forecast goes by so much of the past: long enough to be a slope, short enough to be the present one."""
DAYS, EVERY, AROUND = timedelta(days=7), timedelta(minutes=15), timedelta(minutes=30)
"""What is usual: the last week, a figure every quarter of an hour, of which those near this time of day count."""
CHART = "chart:expression"
_RISES, _FALLS = frozenset({">", ">="}), frozenset({"<", "<="})


@dataclass(frozen=True, slots=True)
class Rule:
    """The alert's expression, split: the figure, how it is compared, and with what."""

    left: str
    operator: str
    threshold: float

    @property
    def share(self) -> bool:
        """Whether the figures are shares, as far as the threshold tells."""
        return 0 < self.threshold <= 1


class Metrics(Protocol):
    """Gives the Prometheus that answers for an alert."""

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        """Return it; raises Permanent when none does."""
        ...


async def history(tools: Metrics, scene: Scene) -> Sequence[Finding]:
    """Return the course of the expression, a forecast and a word on what is usual; nothing where it cannot be told.

    Raises StepError when Prometheus cannot be asked.
    """
    worst = next(iter(ranked(scene.account)), None)
    if worst is None:
        return ()
    prometheus = tools.prometheus(worst.labels)
    rule = await _rule(prometheus, worst)
    if rule is None:
        return ()
    now = scene.now
    points = _of(await prometheus.over(rule.left, now - BACK, now, STEP), worst.labels)
    if not points:
        return ()
    course = [_course(rule, points, now)] if len(points) > 1 else []  # one figure alone has no course
    found = [*course, *_forecast(rule, points, now)]
    before = _of(await prometheus.over(rule.left, now - DAYS, now - timedelta(days=1) + AROUND, EVERY), worst.labels)
    return [*found, *_anomaly(rule, points, before, now)]


async def _rule(prometheus: Prometheus, episode: Episode) -> Rule | None:
    """Return the rule behind an alert: the sender's text counts only when a rule in Prometheus says the same."""
    claimed = parse_qs(urlsplit(episode.generator_url).query).get("g0.expr", [""])[0]
    rules = await prometheus.rule_expressions(episode.labels.get("alertname", ""))
    fitting = [one for one in rules if same_expression(one, claimed)] if claimed else list(rules)
    split = split_comparison(fitting[0]) if len(set(fitting)) == 1 else None
    if split is None:
        return None
    try:
        return Rule(split[0], split[1], float(split[2]))
    except ValueError:
        return None


def _of(found: Sequence[Range], labels: Mapping[str, str]) -> Sequence[Point]:
    """Return the series that the alert is about: the one whose labels are all the alert's, the closest of several."""
    fitting = [
        one for one in found if all(labels.get(key) == value for key, value in one.labels.items() if key != "__name__")
    ]
    return max(fitting, key=lambda one: len(one.labels)).points if fitting else ()


def _course(rule: Rule, points: Sequence[Point], now: datetime) -> Finding:
    values = [value for _, value in points]
    first, last = (figure(one, percent=rule.share) for one in (values[0], values[-1]))
    limit = figure(rule.threshold, percent=rule.share)
    took = human_duration(points[-1][0] - points[0][0])
    data: dict[str, JsonValue] = {
        "points": [[round(at.timestamp()), value] for at, value in points],
        "threshold": rule.threshold, "percent": rule.share, "expression": rule.left[:200],
    }  # fmt: skip
    text = f"{sparkline(values)}  {first} → {last} in {took}, fires {_WORDS[rule.operator]} {limit}"
    return Finding(CHART, now, text, data=data)


_WORDS: Mapping[str, str] = {">": "above", ">=": "from", "<": "below", "<=": "down from", "==": "at", "!=": "unless at"}


def _forecast(rule: Rule, points: Sequence[Point], now: datetime) -> Sequence[Finding]:
    """Say when something is full or used up, where it is a share that moves there in a line."""
    recent = [one for one in points if one[0] > now - SLOPE]
    shares = all(0 <= value <= 1 for _, value in recent)
    if not shares or not rule.share:
        return ()
    limit, word = (1.0, "full") if rule.operator in _RISES else (0.0, "used up")
    wait = reaches(recent, limit) if rule.operator in _RISES | _FALLS else None
    return [] if wait is None else [Finding("forecast", now, f"at this slope {word} in {human_duration(wait)}")]


def _anomaly(rule: Rule, points: Sequence[Point], before: Sequence[Point], now: datetime) -> Sequence[Finding]:
    near = [value for at, value in before if _apart(at, now) <= AROUND]
    last = points[-1][1]
    found = usual(last, near)
    if found is None:
        return ()
    median = figure(found.median, percent=rule.share)
    if found.ordinary:
        return [Finding("anomaly", now, f"usual for this hour: {median} in the middle of the last 7 days")]
    side = "above" if last > found.median else "below"
    far = f"{abs(found.z):.0f} times the usual spread {side}" if abs(found.z) < 1000 else side  # noqa: PLR2004 - a figure that says nothing
    return [Finding("anomaly", now, f"unusual for this hour: {far} the {median} of the last 7 days")]


def _apart(one: datetime, other: datetime) -> timedelta:
    """Return how far two instants are apart in the time of day."""
    day = timedelta(days=1)
    rest = (one - other) % day
    return min(rest, day - rest)
