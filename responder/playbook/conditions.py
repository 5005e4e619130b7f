"""Conditions: what must hold between their keys, and how they become values."""

import operator
from collections.abc import Iterator, Mapping
from typing import cast

from responder.language.ratios import Threshold, parse_threshold
from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.language.templates import Template
from responder.playbook.arguments import check_arguments
from responder.playbook.complaints import Findings
from responder.playbook.model import Condition
from responder.playbook.model import Threshold as ThresholdWord
from responder.playbook.rules import Keys
from responder.playbook.shape import ConditionShape
from responder.ports.catalogue import Catalogue
from responder.ports.probe import Value

LOOKS = ("query", "probe", "matchers")
COMPARISONS: tuple[ThresholdWord, ...] = ("equals", "above", "below", "at_least", "at_most", "absent")
AGAINST_BEFORE = ("or_improves_by", "not_worse_by")
_ORDERED = ("above", "at_least", "below", "at_most")
_VERIFY_ONLY = ("within", "for")


def check_condition(
    findings: Findings,
    path: Path,
    keys: Keys,
    catalogue: Catalogue,
) -> Iterator[tuple[Path, Template]]:
    """Complain about one condition, and go through the templates in its probe's inputs."""
    looks = [look for look in LOOKS if look in keys]
    if len(looks) != 1:
        found = f"not both {' and '.join(looks)}" if looks else "and this has none"
        message = f"a condition has exactly one of query, probe and matchers, {found}"
        findings.add((*path, looks[1]) if looks else path, message, "condition-look", at_key=bool(looks))
    _check_thresholds(findings, path, keys, looks)
    in_verify = "verify" in path
    if in_verify and looks == ["matchers"]:
        message = "matchers cannot verify anything: the labels stay what they are, whatever is done"
        findings.add((*path, "matchers"), message, "verify-needs-look", "use query: or probe:", at_key=True)
    if not in_verify:
        _check_when(findings, path, keys)
    if "with" in keys and "probe" not in keys:
        findings.add(
            (*path, "with"), "with: holds a probe's inputs, and there is no probe", "condition-look", at_key=True
        )
    yield from _check_probe(findings, path, keys, catalogue)


def _check_when(findings: Findings, path: Path, keys: Keys) -> None:
    for key in AGAINST_BEFORE:
        if key in keys:
            message = f"{key} compares with the time before the first step, so it belongs under verify"
            findings.add((*path, key), message, "needs-baseline", at_key=True)
    for key in _VERIFY_ONLY:
        if key in keys:
            message = f"{key} has no effect here: a condition under when is looked at once"
            findings.add((*path, key), message, "no-effect", f"leave {key} out", at_key=True, severity="warning")


def _check_thresholds(findings: Findings, path: Path, keys: Keys, looks: list[str]) -> None:
    given = [key for key in (*COMPARISONS, *AGAINST_BEFORE) if key in keys]
    if looks == ["matchers"] and given:
        message = f"{given[0]}: matchers either match or do not; a threshold says nothing about them"
        findings.add((*path, given[0]), message, "condition-threshold", at_key=True)
    elif looks and looks != ["matchers"] and not given:
        message = f"{looks[0]}: there is no threshold to compare with"
        hint = f"add one of: {', '.join(COMPARISONS)}"
        findings.add((*path, looks[0]), message, "condition-threshold", hint, at_key=True)
    if "absent" in keys and len(given) > 1:
        message = (
            f"absent: no data can be compared, so {', '.join(k for k in given if k != 'absent')} cannot hold as well"
        )
        findings.add((*path, "absent"), message, "condition-threshold", at_key=True)
    if looks == ["query"] and isinstance(keys.get("equals"), (str, int, float)) and _threshold(keys["equals"]) is None:
        message = "equals: a query's samples are numbers; this is not one"
        findings.add((*path, "equals"), message, "condition-threshold", "a probe's values may be texts")
    _check_possible(findings, path, keys)


def _check_possible(findings: Findings, path: Path, keys: Keys) -> None:
    """Complain about bounds that no value can meet."""
    bounds = {key: _threshold(keys[key]) for key in _ORDERED if key in keys}
    values = {key: bound.value for key, bound in bounds.items() if bound is not None}
    for low in ("above", "at_least"):
        for high in ("below", "at_most"):
            if low not in values or high not in values:
                continue
            closed = low == "at_least" and high == "at_most"
            if values[low] > values[high] or (values[low] == values[high] and not closed):
                message = f"no value is {_words(low)} {bounds[low]} and {_words(high)} {bounds[high]} at once"
                findings.add((*path, high), message, "condition-impossible")
    _check_equal(findings, path, keys, values)


def _check_equal(findings: Findings, path: Path, keys: Keys, values: Mapping[str, float]) -> None:
    """Complain about a bound that the one value that passes does not keep."""
    equal = None if isinstance(keys.get("equals"), bool) or "equals" not in keys else _threshold(keys["equals"])
    if equal is None:
        return
    kept = {
        "above": operator.gt,
        "at_least": operator.ge,
        "below": operator.lt,
        "at_most": operator.le,
    }
    for key, bound in values.items():
        if not kept[key](equal.value, bound):
            message = f"no value equals {equal} and is {_words(key)} {_threshold(keys[key])} at once"
            findings.add((*path, key), message, "condition-impossible")


def _words(key: str) -> str:
    return key.replace("_", " ")


def _threshold(value: object) -> Threshold | None:
    try:
        return parse_threshold(cast("str", value))
    except ValueError:
        return None


def _check_probe(findings: Findings, path: Path, keys: Keys, catalogue: Catalogue) -> Iterator[tuple[Path, Template]]:
    name = keys.get("probe")
    if not isinstance(name, str):
        return
    probe = catalogue.probes.get(name)
    if probe is None:
        near = did_you_mean(name, catalogue.probes)
        hint = f'did you mean "{near}"?' if near else f"probes: {', '.join(sorted(catalogue.probes)) or 'none'}"
        findings.add((*path, "probe"), f'there is no probe "{name}"', "unknown-probe", hint)
        return
    yield from check_arguments(
        findings, (*path, "with") if "with" in keys else (*path, "probe"), probe, keys.get("with", {})
    )


def build_condition(shape: ConditionShape, catalogue: Catalogue) -> Condition:
    """Turn a checked condition into its value."""
    given = {word: _compared(shape, word) for word in COMPARISONS}
    return Condition(
        name=shape.name or _default_name(shape),
        query=shape.query,
        probe=catalogue.probes[shape.probe] if shape.probe else None,
        arguments=shape.with_,
        matchers=tuple(shape.matchers or ()),
        limits={word: _bare(value) for word, value in given.items() if value is not None},
        percent=any(isinstance(value, Threshold) and value.unit == "percent" for value in given.values()),
        improves_by=shape.or_improves_by,
        worse_by=shape.not_worse_by,
        within=shape.within,
        hold=shape.for_,
        no_data=shape.no_data,
        requires=tuple(shape.requires),
    )


def _compared(shape: ConditionShape, word: ThresholdWord) -> Threshold | Value | None:
    value: Threshold | Value | None = getattr(shape, word)
    if value is None or isinstance(value, (Threshold, bool)):
        return value
    # A probe may read texts: only what is clearly a figure is taken for one.
    if isinstance(value, str) and shape.probe and not value.endswith("%"):
        return value
    return _threshold(value) or str(value)


def _bare(value: Value | Threshold) -> Value:
    return value.value if isinstance(value, Threshold) else value


def _default_name(shape: ConditionShape) -> str:
    """What people read when the author gave no name: what is looked at."""
    if shape.query is not None:
        return str(shape.query)
    return shape.probe or ", ".join(str(matcher) for matcher in shape.matchers or ())
