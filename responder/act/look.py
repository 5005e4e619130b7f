"""Looking at conditions through the tools: what does each one read now?"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from responder.act.age import TOO_OLD, Age, age_of
from responder.act.judge import judge, judge_labels
from responder.domain.errors import Permanent, StepError
from responder.domain.runs import Sample
from responder.language.promql import same_expression, split_comparison
from responder.language.templates import Place
from responder.playbook.model import Condition
from responder.playbook.render import render_probe, render_query
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Series, Tools

LOOK_SECONDS = 8.0
"""A look that takes longer is no data: a turn has 20 s for everything."""

Names = Mapping[str, object]


async def look(
    condition: Condition,
    names: Names,
    tools: Tools,
    baseline: float | None,
    at: datetime,
    *,
    since: timedelta | None = None,
) -> Sample:
    """Read a condition once and judge it; whatever goes wrong is unknown, with why.

    ``since`` is how long ago the change was made that it is to judge: data from before that is unknown, too.
    """
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            probe = render_probe(condition, names) if condition.probe is not None else None
            age = await _age(condition, probe, names, tools, since)
            if age == "old":
                return _too_old(at)
            missing = await _missing_requirement(condition, names, tools)
            if missing:
                return Sample(at=at, value=None, outcome="unknown", reason=missing)
            if condition.matchers:
                return judge_labels(condition, labels_of(names), at)
            sample = judge(condition, await _read(condition, probe, names, tools), baseline, at)
            return sample.model_copy(update={"data": age})
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


async def _read(condition: Condition, probe: Probe | None, names: Names, tools: Tools) -> Reading:
    labels = labels_of(names)
    if probe is not None:
        return await probe.look(labels, tools)
    found = await tools.prometheus(labels).query(render_query(condition, names))
    return Reading(tuple(series.value for series in found))


async def _age(condition: Condition, probe: Probe | None, names: Names, tools: Tools, since: timedelta | None) -> Age:
    """Ask for the age of what the condition reads; before the value is read, which can then only be younger."""
    if since is None or condition.matchers:
        return ""
    asked = probe.queries() if probe is not None else (render_query(condition, names),)
    if not asked:
        return ""
    required = [template.render(names, Place.PROMQL) for template in condition.requires]
    counts = "absent" in condition.limits or condition.no_data != "unknown"
    return await age_of(tools.prometheus(labels_of(names)), [*asked, *required], since, absence_counts=counts)


def _too_old(at: datetime) -> Sample:
    return Sample(at=at, value=None, outcome="unknown", reason=TOO_OLD, data="old")


async def own_rule(
    generator: str, names: Names, tools: Tools, at: datetime, *, since: timedelta | None = None
) -> Sample:
    """Judge by the alert's own rule, where the playbook says nothing else.

    ``generator`` is the expression that the sender claims; it counts only when it equals the query of a rule in the
    configured Prometheus. Pass: the left side of its comparison has finite samples for the alert's labels, and the
    whole expression has none. ``since`` is as for ``look``.
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
            age = await age_of(prometheus, [rule], since) if since is not None else ""
            if age == "old":
                return _too_old(at)
            left = _about(await prometheus.query(parts[0]), labels)
            if not left or not all(math.isfinite(series.value) for series in left):
                return Sample(at=at, value=None, outcome="unknown", reason="no data for the alert's labels")
            still = _about(await prometheus.query(rule), labels)
            value = left[0].value
            reason = f"{value:.4g}, the alert fires {parts[1]} {parts[2]}"
            outcome: Literal["pass", "fail"] = "fail" if still else "pass"
            return Sample(at=at, value=value, outcome=outcome, reason=reason, data=age)
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
