"""Which alerts a playbook's matchers fit: none at all, or more than anybody can mean."""

from collections.abc import Iterator, Sequence

from responder.language.matchers import Matcher, parse_matcher
from responder.language.strict_yaml import Path
from responder.playbook.complaints import Findings
from responder.playbook.rules import Keys, items

NAME = "alertname"
_NAMES = ("A", "z9", "High Load", "node_disk.full", "–")
"""Names with nothing in common: what fits all of them is meant to fit any."""


def check_alerts(findings: Findings, data: Keys) -> None:
    """Complain about matchers that no alert fits, and warn of those that do not say what is meant."""
    for path, matchers in _sets(data):
        if matchers and all(matcher.matches({}) for matcher in matchers):
            message = "these matchers only say which alerts are not meant: every other alert fits"
            _warn(findings, path, message, "only-negative")
        elif matchers and all(matcher.matches({}) or _any_name(matcher) for matcher in matchers):
            _warn(findings, path, "every alert has a name, and any name fits these matchers", "any-alert")
        for one, other in _impossible(matchers):
            message = f"no alert fits {one} and {other} at once"
            findings.add(path, message, "matchers-impossible", "leave one of them out", at_key=True)


def _warn(findings: Findings, path: Path, message: str, rule: str) -> None:
    hint = 'add what is meant, such as alertname="HighLoad"'
    findings.add(path, message, rule, hint, at_key=True, severity="warning")


def _sets(data: Keys) -> Sequence[tuple[Path, tuple[Matcher, ...]]]:
    """Return the matchers that must match together, each with its place."""
    common = _matchers(data.get("matchers"))
    alternatives = tuple(enumerate(items(data.get("match_any"))))
    return [(("match_any", index), common + _matchers(one)) for index, one in alternatives] or [(("matchers",), common)]


def _matchers(value: object) -> tuple[Matcher, ...]:
    """Read the matchers that can be read."""
    found = []
    for text in items(value):
        try:
            found.append(parse_matcher(str(text)))
        except ValueError:
            continue
    return tuple(found)


def _any_name(matcher: Matcher) -> bool:
    return matcher.name == NAME and matcher.op == "=~" and all(matcher.matches({NAME: name}) for name in _NAMES)


def _impossible(matchers: Sequence[Matcher]) -> Iterator[tuple[Matcher, Matcher]]:
    """Go through the matchers that say a label's value and another one that refuses it."""
    for index, one in enumerate(matchers):
        for place, other in enumerate(matchers):
            both_fixed = other.op == "=" and place < index  # told once
            if one.op == "=" and other.name == one.name and not both_fixed and not other.matches({one.name: one.value}):
                yield one, other
