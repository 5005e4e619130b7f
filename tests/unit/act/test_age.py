"""The age of what a query gives: of its oldest sample, through ranges, offsets and recording rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from responder.act.age import SCRAPE_SECONDS, Age, age_of
from responder.domain.errors import Permanent, Temporary
from responder.ports.tools import Range, Series

NOW = 1_000.0
Samples = Mapping[str, tuple[float, ...]]
Rules = Mapping[str, tuple[str, ...]]


@dataclass
class Clocked:
    """A Prometheus at ``NOW`` whose series were last sampled at these times; it keeps every sample since zero."""

    samples: Samples
    rules: Rules = field(default_factory=dict)
    scrape: float | None = 4.0

    async def query(self, expression: str) -> tuple[Series, ...]:
        if expression == "time()":
            return (Series({}, NOW, datetime.now(UTC)),)
        if "scrape_duration_seconds" in expression:
            return (Series({}, self.scrape, datetime.now(UTC)),) if self.scrape is not None else ()
        name, _, at = expression.removeprefix("min(timestamp(").removesuffix("))").partition(" @ ")
        seen = [sample for sample in self.samples.get(name, ()) if sample <= float(at)]
        return (Series({}, max(seen), datetime.now(UTC)),) if seen else ()

    async def over(self, expression: str, start: datetime, end: datetime, step: timedelta) -> tuple[Range, ...]:
        return ()

    async def rule_expressions(self, alertname: str) -> tuple[str, ...]:
        raise Temporary(alertname)

    async def recorded(self, name: str) -> tuple[str, ...]:
        return self.rules.get(name, ())


async def age(query: str, since: float, samples: Samples, rules: Rules | None = None) -> Age:
    return await age_of(Clocked(samples, rules or {}), [query], timedelta(seconds=since))


@pytest.mark.parametrize(
    ("query", "samples", "begins"),
    [
        ("x > 1", {"x": (970.0,)}, 970),
        ("x / y", {"x": (990.0,), "y": (970.0,)}, 970),
        ("x / gone", {"x": (970.0,)}, 970),
        ("rate(x[100s])", {"x": (995.0,)}, 900),
        ("x offset 50s", {"x": (940.0, 990.0)}, 940),
        ("x - x offset 1w", {"x": (1.0, 970.0)}, 970),
        ("x - y @ 5", {"x": (970.0,), "y": (5.0,)}, 970),
        ("max_over_time(x[100s:1s])", {"x": (880.0, 990.0)}, 880),
    ],
)
async def test_what_a_query_gives_is_as_old_as_the_oldest_that_it_takes_in(
    query: str, samples: Samples, begins: float
) -> None:
    assert await age(query, NOW - begins - 1, samples) == "old"
    assert await age(query, NOW - begins + 1, samples) == "new"


@pytest.mark.parametrize(
    ("rules", "begins"),
    [
        ({"job:x": ("sum(x)",)}, 950),
        ({"job:x": ("rate(x[100s])",)}, 885),
        ({"job:x": ("sum(job:y)",), "job:y": ("rate(x[100s])",)}, 875),
        ({"job:x": ("x", "rate(x[100s])")}, 885),
        ({}, 990 - SCRAPE_SECONDS),
        ({"job:x": ("job:x",)}, 950 - SCRAPE_SECONDS),
        ({"job:x": ("vector(1)",)}, 985),
        ({"job:x": ("gone",)}, 985),
    ],
)
async def test_what_a_rule_recorded_is_as_old_as_what_it_was_made_of(rules: Rules, begins: float) -> None:
    samples = {"job:x": (950.0, 960.0, 970.0, 980.0, 990.0), "job:y": (980.0,), "x": (950.0, 995.0)}
    assert await age("job:x", NOW - begins - 1, samples, rules) == "old"
    assert await age("job:x", NOW - begins + 1, samples, rules) == "new"


@pytest.mark.parametrize(("scrape", "last"), [(4.0, 985.0), (None, 979.0)])
async def test_a_rule_has_not_seen_what_was_still_being_scraped(scrape: float | None, last: float) -> None:
    async def seen(began: float) -> Age:
        samples = {"job:x": (990.0,), "x": (950.0, began)}
        return await age_of(Clocked(samples, {"job:x": ("x",)}, scrape), ["job:x"], timedelta(seconds=40))

    assert await seen(last) == "new"
    assert await seen(last + 0.1) == "old"


async def test_what_was_asked_as_soon_as_the_change_was_made_is_old() -> None:
    assert await age("x", 0, {"x": (NOW,)}) == "old"


async def test_what_is_missing_counts_a_scrape_later_or_as_soon_as_what_it_requires_was_scraped() -> None:
    async def missing(since: float, *queries: str) -> Age:
        prometheus = Clocked({"up": (990.0,)})
        return await age_of(prometheus, queries, timedelta(seconds=since), absence_counts=True)

    assert await missing(SCRAPE_SECONDS - 1, "x") == "old"
    assert await missing(SCRAPE_SECONDS, "x") == ""
    assert await missing(9, "x", "up") == "old"
    assert await missing(11, "x", "up") == "new"
    assert await missing(1, "vector(1)") == ""
    assert await age("x", 1, {}) == ""


@pytest.mark.parametrize("query", ["x @ 5", "sum("])
async def test_what_cannot_be_told_is_not_guessed(query: str) -> None:
    with pytest.raises(Permanent, match="cannot be told"):
        await age(query, 100, {"x": (5.0,)})
