"""What must hold between the keys of a playbook. Works on the plain data, so that one mistake does not hide another.

Every rule looks only at what it needs and passes over what has another shape: that is complained about elsewhere.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import chain

from responder.domain.targets import KUBERNETES_KINDS, SEPARATOR, check_key
from responder.language.durations import parse_duration
from responder.language.ratios import parse_rate
from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.playbook.complaints import Findings
from responder.playbook.shape import story_keys

Keys = Mapping[str, object]

KEYS = story_keys()
BETWEEN = frozenset({"wait", "ask", "page", "note"})
"""Steps that change nothing."""

_PLACEHOLDER = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_FREE_KEYS = frozenset({"with"})
"""Keys whose insides belong to somebody else's schema, where an empty value may mean something."""


def mapping(value: object) -> Keys:
    """Return ``value`` when it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> tuple[object, ...]:
    """Return the items of a list, else none."""
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def check_top(findings: Findings, data: Keys) -> None:
    """Complain about what does not hold between the top keys."""
    # A mistyped key is complained about as such; that what it means is missing follows from it.
    meant = {did_you_mean(key, KEYS) for key in data if key not in KEYS}
    if not {"matchers", "match_any"} & {*data, *meant}:
        message = 'missing key "matchers": which alerts is it for?'
        findings.add((), message, "missing-matchers", 'matchers: a list such as - alertname="HighLoad"', at_key=True)
    steps = items(data.get("steps"))
    if steps and "target" not in {*data, *meant}:
        message = 'missing key "target": the steps need something to change'
        findings.add(("steps",), message, "missing-target", "target: kind/name, such as http/checkout", at_key=True)
    _check_target(findings, data.get("target"))
    changing = [step for step in steps if not BETWEEN & mapping(step).keys()]
    _check_budget(findings, mapping(data.get("limits")), len(changing))
    _check_rest(findings, mapping(data.get("limits")))
    _check_escalation(findings, data, len(steps))
    if "revert_after" in data and steps and all(mapping(one).get("undo") in ("none", "manual") for one in steps):
        message = "revert_after: none of the steps is undone automatically, so nothing would be given back"
        findings.add(("revert_after",), message, "no-effect", "leave revert_after out", at_key=True)
    _check_radius(findings, mapping(mapping(data.get("limits")).get("blast_radius")), data.get("target"))


def key_shape(text: str) -> str:
    """Return a target's text with a name in the place of each placeholder: its parts are then countable."""
    return _PLACEHOLDER.sub("x", text)


def _check_target(findings: Findings, target: object) -> None:
    if not isinstance(target, str):
        return
    try:
        check_key(key_shape(target))
    except ValueError as error:
        findings.add(("target",), f"target: {error}", "target")


def _check_budget(findings: Findings, limits: Keys, effects: int) -> None:
    """A plan with more effects than a limit allows could never run."""
    for key in ("per_target", "per_playbook"):
        try:
            rate = parse_rate(str(limits.get(key)))
        except ValueError:
            continue
        if rate.count < effects:
            message = f"{key}: {rate} is fewer than the {effects} steps change: it could never run"
            findings.add(("limits", key), message, "limit-too-low", f"allow at least {effects}")


def _check_rest(findings: Findings, limits: Keys) -> None:
    """Warn when several attempts have no rest between them: they may be used up within a second."""
    attempts, rest = limits.get("attempts"), _rest(limits.get("cooldown"))
    if rest is not None and not rest:
        message = "cooldown: a rest of no length is none: the next run may follow within the same second"
        hint = "write how long a target is left alone behind a run, such as 10m"
        findings.add(("limits", "cooldown"), message, "no-cooldown", hint, severity="warning")
    elif isinstance(attempts, int) and attempts > 1 and "cooldown" not in limits:
        message = f"attempts: {attempts} without a cooldown: they may be used up within the same second"
        hint = "add cooldown: under limits:, such as 10m"
        findings.add(("limits", "attempts"), message, "no-cooldown", hint, severity="warning")


def _rest(written: object) -> timedelta | None:
    try:
        return parse_duration(written) if isinstance(written, str | int | float) else None
    except ValueError:
        return None


def _check_escalation(findings: Findings, data: Keys, steps: int) -> None:
    """One step has no next one."""
    if "steps_until" in data and steps < 2:  # noqa: PLR2004 - one and the next
        message = "steps_until: there is no second step to go on to"
        hint = "add the steps to try after it, or leave steps_until out"
        findings.add(("steps_until",), message, "no-effect", hint, at_key=True, severity="warning")


def _check_radius(findings: Findings, radius: Keys, target: object) -> None:
    """A target that is in no cluster cannot be counted among those of one."""
    if radius.get("of") != "cluster" or not isinstance(target, str):
        return
    kind = target.partition(SEPARATOR)[0]
    if kind not in KUBERNETES_KINDS:
        message = f"of: {kind} targets are in no cluster"
        findings.add(("limits", "blast_radius", "of"), message, "no-cluster", "write owner, team or playbook")


def check_empty(findings: Findings, value: object, path: Path, action_names: frozenset[str]) -> None:
    """Complain about keys and items without a value: an unquoted ``#channel`` or a forgotten line."""
    if value is None:
        last = path[-1] if path else ""
        message = f"{last}: there is no value" if isinstance(last, str) and last else "there is no value"
        findings.add(path, message, "empty-value", "fill it in, or leave it out", at_key=True)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _FREE_KEYS and key not in action_names:
                check_empty(findings, inner, (*path, key), action_names)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            check_empty(findings, inner, (*path, index), action_names)


def condition_lists(data: Keys) -> Iterator[tuple[Path, Keys]]:
    """Go through every condition of a playbook: those at the top and those of each step."""
    holders = chain(
        [((), data)], ((("steps", index), mapping(step)) for index, step in enumerate(items(data.get("steps"))))
    )
    for path, holder in holders:
        for key in ("when", "verify"):
            for index, condition in enumerate(items(holder.get(key))):
                yield (*path, key, index), mapping(condition)
