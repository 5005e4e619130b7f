"""How old is what a query gives? A sample from before a change says nothing about it.

An instant query answers with the time of its evaluation, not with that of its samples. So the samples' own times are
asked for, selector by selector, and through recording rules: their samples are as old as what they were computed from.
All times here are Prometheus' own, in seconds; only the time since the change is ours.

A sample bears the time at which its scrape began, and can be read when that is over: a rule evaluated meanwhile took
the one before, and gave its own sample a later time. So a rule has seen what was there a whole scrape earlier, no more.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from responder.domain.errors import Permanent
from responder.language.promql_selectors import Selector, selectors
from responder.ports.tools import Prometheus

SCRAPE_SECONDS = 60.0
"""Prometheus' default scrape interval, for what has no time of its own to ask for."""
_LONGEST_SCRAPE = "max(max_over_time(scrape_duration_seconds[5m]))"
"""Written down by Prometheus itself for every target, from the request to the last line of the answer."""
SCRAPE_TIMEOUT_SECONDS = 10.0
"""Prometheus' default, for what does not say how long its scrapes take."""
STORING_SECONDS = 1.0
"""Until what was scraped or recorded can be read; Prometheus does not measure it. Far more than it takes."""
_DEEPEST = 4
"""Rules that record what rules recorded; nobody goes further."""
TOO_OLD = "nothing was measured after the change yet"

Age = Literal["old", "new", ""]
"""``new``: all of it was measured after the change; empty: there is nothing whose age could be asked for."""


async def age_of(
    prometheus: Prometheus, expressions: Sequence[str], since: timedelta, *, absence_counts: bool = False
) -> Age:
    """Say how old is what the expressions give, against a change that was made ``since`` ago.

    What is missing has no time. Where that is to mean something it is old until a scrape interval after the change.
    Raises StepError when Prometheus cannot be asked.
    """
    if since <= timedelta():
        return "old"
    [clock] = await prometheus.query("time()")
    now = clock.value
    begins = [await _begins(prometheus, expression, now, _DEEPEST) for expression in expressions]
    known = [begin for begin in begins if begin is not None]
    if known:
        return "old" if min(known) < now - since.total_seconds() else "new"
    reads = any(_selectors(expression) for expression in expressions)
    return "old" if absence_counts and reads and since.total_seconds() < SCRAPE_SECONDS else ""


async def _begins(prometheus: Prometheus, expression: str, at: float, depth: int) -> float | None:
    """Return the time of the oldest data that ``expression`` takes in when evaluated ``at``; None when it has none."""
    found = [await _oldest(prometheus, selector, at, depth) for selector in _selectors(expression)]
    return min((one for one in found if one is not None), default=None)


def _selectors(expression: str) -> Sequence[Selector]:
    """Return the selectors that look at the present; those with an offset are meant to be old, unless all are."""
    found = selectors(expression)
    if found is None or (found and all(one.fixed for one in found)):
        msg = f"the age of what {expression} gives cannot be told"
        raise Permanent(msg)
    moving = [one for one in found if not one.fixed]
    return [one for one in moving if not one.past] or moving


async def _oldest(prometheus: Prometheus, selector: Selector, at: float, depth: int) -> float | None:
    at -= selector.back.total_seconds()
    if not selector.ranged:
        series = await prometheus.query(f"min(timestamp({selector.text} @ {at:.3f}))")
        if not series:
            return None
        at = series[0].value
    if ":" not in selector.name and selector.name != "ALERTS":
        return at
    rules = await prometheus.recorded(selector.name) if depth else ()
    if not rules:
        # Recorded somewhere else, from samples that were at most one scrape old.
        return at - SCRAPE_SECONDS
    seen = at - await _on_its_way(prometheus)
    begins = [await _begins(prometheus, rule, seen, depth - 1) for rule in rules]
    return min([seen, *(begin for begin in begins if begin is not None)])


async def _on_its_way(prometheus: Prometheus) -> float:
    """Return how long a sample may be on its way until a rule can see it, in seconds."""
    longest = await prometheus.query(_LONGEST_SCRAPE)
    return STORING_SECONDS + (longest[0].value if longest else SCRAPE_TIMEOUT_SECONDS)
