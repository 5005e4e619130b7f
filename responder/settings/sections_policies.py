"""Reading what bounds every playbook for some alerts: the highest mode, and limits that all of them share."""

from dataclasses import replace

from responder.domain.limits import RECURRENCE, Cap, Rate
from responder.domain.modes import Mode
from responder.language.matchers import Matcher
from responder.language.ratios import parse_rate
from responder.settings.model import Policy
from responder.settings.reader import Node

_MOST = 10_000


def read_policy(node: Node) -> Policy:
    """Read a policy, which bounds the mode, the effects, or both."""
    fields = node.keys(("matchers", "max_mode", "limits"))
    matchers = fields.get("matchers").matchers()
    if "max_mode" not in fields and "limits" not in fields:
        node.complain("the policy bounds nothing", "missing-key", "give it max_mode, limits or both", at_key=True)
    cap = fields.read("limits", _cap, None)
    named = None if cap is None else replace(cap, key=_key(matchers), told=_told(matchers))
    return Policy(matchers, fields.read("max_mode", read_mode, Mode.AUTO), named)


def read_mode(node: Node) -> Mode:
    """Read a mode."""
    return Mode(node.choice(tuple(str(mode) for mode in Mode)))


def _key(matchers: tuple[Matcher, ...]) -> str:
    """Return what is counted under: the same for the same alerts, in every replica and after a reload."""
    return f"policy:{','.join(sorted(str(one) for one in matchers))}"


def _told(matchers: tuple[Matcher, ...]) -> str:
    return f"the policy for {', '.join(str(one) for one in matchers)}" if matchers else "the policy for all alerts"


def _cap(node: Node) -> Cap:
    fields = node.keys(("per_target", "rate", "concurrent"))
    if not any(name in fields for name in ("per_target", "rate", "concurrent")):
        node.complain("the limits hold nothing", "missing-key", "give per_target, rate or concurrent", at_key=True)
    return Cap(
        key="",
        told="",
        rate=fields.read("rate", _rate, None),
        per_target=fields.read("per_target", _rate, None),
        concurrent=fields.read("concurrent", _count, None),
    )


def _rate(node: Node) -> Rate:
    return node.parsed(_parse, RECURRENCE, "rate")


def _parse(text: str) -> Rate:
    rate = parse_rate(text)
    return Rate(rate.count, rate.window)


def _count(node: Node) -> int:
    return node.count(_MOST)
