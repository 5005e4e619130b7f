"""Looking at conditions through the tools: what does each one read now?"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from responder.act.judge import judge, judge_labels
from responder.domain.errors import Permanent, StepError
from responder.domain.runs import Sample
from responder.language.promql import longest_range, same_expression, split_comparison
from responder.language.templates import Place
from responder.playbook.model import Condition
from responder.playbook.render import render_probe
from responder.ports.probe import Reading
from responder.ports.tools import Series, Tools

LOOK_SECONDS = 8.0
"""A look that takes longer is no data: a turn has 20 s for everything."""

Names = Mapping[str, object]


async def look(condition: Condition, names: Names, tools: Tools, baseline: float | None, at: datetime) -> Sample:
    """Read a condition once and judge it; whatever goes wrong is unknown, with why."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            missing = await _missing_requirement(condition, names, tools)
            if missing:
                return Sample(at=at, value=None, outcome="unknown", reason=missing)
            if condition.matchers:
                return judge_labels(condition, labels_of(names), at)
            return judge(condition, await _read(condition, names, tools), baseline, at)
    except TimeoutError:
        return Sample(at=at, value=None, outcome="unknown", reason=f"no answer within {LOOK_SECONDS:g} s")
    except (StepError, ValueError) as error:
        return Sample(at=at, value=None, outcome="unknown", reason=str(error))


def labels_of(names: Names) -> Mapping[str, str]:
    """Return the alert's labels among the names a template may use."""
    labels = names["labels"]
    return labels if isinstance(labels, Mapping) else {}


async def _missing_requirement(condition: Condition, names: Names, tools: Tools) -> str:
    for required in condition.requires:
        expression = required.render(names, Place.PROMQL)
        found = await tools.prometheus(labels_of(names)).query(expression)
        if not any(math.isfinite(series.value) for series in found):
            return f"it requires {expression}, which is not so"
    return ""


async def _read(condition: Condition, names: Names, tools: Tools) -> Reading:
    labels = labels_of(names)
    if condition.query is not None:
        found = await tools.prometheus(labels).query(condition.query.render(names, Place.PROMQL))
        return Reading(tuple(series.value for series in found))
    return await render_probe(condition, names).look(labels, tools)


async def own_rule(generator: str, names: Names, tools: Tools, at: datetime) -> Sample:
    """Judge by the alert's own rule, where the playbook says nothing else.

    ``generator`` is the expression that the sender claims; it counts only when it equals the query of a rule in the
    configured Prometheus. Pass: the left side of its comparison has finite samples for the alert's labels, and the
    whole expression has none.
    """
    labels = labels_of(names)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            prometheus = tools.prometheus(labels)
            rules = await prometheus.rule_expressions(labels.get("alertname", ""))
            rule = _rule_of(rules, generator)
            parts = split_comparison(rule)
            if parts is None:
                reason = "the alert's query cannot be split at a comparison; write a verify section"
                return Sample(at=at, value=None, outcome="unknown", reason=reason)
            left = _about(await prometheus.query(parts[0]), labels)
            if not left or not all(math.isfinite(series.value) for series in left):
                return Sample(at=at, value=None, outcome="unknown", reason="no data for the alert's labels")
            still = _about(await prometheus.query(rule), labels)
            value = left[0].value
            reason = f"{value:.4g}, the alert fires {parts[1]} {parts[2]}"
            return Sample(at=at, value=value, outcome="fail" if still else "pass", reason=reason)
    except TimeoutError:
        return Sample(at=at, value=None, outcome="unknown", reason=f"no answer within {LOOK_SECONDS:g} s")
    except StepError as error:
        return Sample(at=at, value=None, outcome="unknown", reason=str(error))


def _rule_of(rules: Sequence[str], generator: str) -> str:
    """Return the query of the rule that fired; raises Permanent when that is not to be told."""
    fitting = {rule for rule in rules if not generator or same_expression(rule, generator)}
    if not fitting:
        raise Permanent("no rule in Prometheus has the alert's query")
    if not generator and len(fitting) > 1:
        # A warning and a critical rule may share a name: that one has ended says nothing of the other.
        raise Permanent("several rules have the alert's name, and the alert does not say which is its own")
    return min(fitting)


def _about(found: tuple[Series, ...], labels: Mapping[str, str]) -> list[Series]:
    """Keep the series whose labels do not contradict the alert's."""
    return [
        series
        for series in found
        if all(labels[name] == value for name, value in series.labels.items() if name in labels and name != "__name__")
    ]


def window_of(condition: Condition) -> float:
    """Return the seconds that the longest range of a query looks back: judgement waits that long."""
    return longest_range(condition.query.text).total_seconds() if condition.query is not None else 0.0
