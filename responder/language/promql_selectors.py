"""Which series a PromQL expression reads, and from when: so that the age of what it gives can be asked for.

Like ``promql`` a lexer with brackets: what it cannot tell apart it declines, and callers treat that as unknown.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from responder.language.promql import Token, duration, tokens_of, written

_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = _LISTS | {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector as it is written, without range and offset; ``name`` is empty where a matcher names the metric.

    ``back`` is how long before the evaluation its oldest look is. ``ranged``: that look takes samples from then on;
    otherwise it takes the last one before. ``past``: an offset turns it to another time on purpose. ``fixed``: it looks
    at one instant (``@``), whenever it is evaluated.
    """

    text: str
    name: str
    back: timedelta = timedelta()
    ranged: bool = False
    past: bool = False
    fixed: bool = False


@dataclass(slots=True)
class _Found:
    at: int
    selector: Selector


def selectors(expression: str) -> tuple[Selector, ...] | None:
    """Return the selectors of an expression in their order; None for what cannot be read."""
    tokens = tokens_of(expression)
    if tokens is None:
        return None
    try:
        return _selectors([token for token in tokens if token.kind != "space"])
    except OverflowError:  # it looks back for longer than there are days
        return None


def _selectors(tokens: list[Token]) -> tuple[Selector, ...]:
    found: list[_Found] = []
    opened: list[int] = []
    at = 0
    while at < len(tokens):
        token, began = tokens[at], at
        if token.text == "{" or _names_series(tokens, at):
            at = _end_of_selector(tokens, at)
            name = token.text if token.kind == "name" else ""
            found.append(_Found(began, Selector(written(tokens[began:at]), name)))
        elif token.word in _LISTS and _text(tokens, at + 1) == "(":
            at = _closing(tokens, at + 1) + 1
            continue
        else:
            if token.kind == "open":
                opened.append(at)
            elif token.kind == "close":
                began = opened.pop()
            at += 1
            if token.kind != "close":
                continue
        at = _modified(tokens, at, [one for one in found if one.at >= began])
    return tuple(one.selector for one in found)


def _text(tokens: list[Token], at: int) -> str:
    return tokens[at].text if at < len(tokens) else ""


def _is(tokens: list[Token], at: int, kind: str) -> bool:
    return at < len(tokens) and tokens[at].kind == kind


def _names_series(tokens: list[Token], at: int) -> bool:
    """Whether a name is a metric's: no keyword, and no function or aggregation."""
    if tokens[at].kind != "name" or tokens[at].word in _WORDS:
        return False
    following = _text(tokens, at + 1)
    aggregates = following.lower() in ("by", "without") and _text(tokens, at + 2) == "("
    return following != "(" and not aggregates


def _end_of_selector(tokens: list[Token], at: int) -> int:
    if tokens[at].kind == "name":
        at += 1
    return _closing(tokens, at) + 1 if _text(tokens, at) == "{" else at


def _closing(tokens: list[Token], at: int) -> int:
    depth = tokens[at].depth
    return next(n for n in range(at + 1, len(tokens)) if tokens[n].kind == "close" and tokens[n].depth == depth)


def _modified(tokens: list[Token], at: int, on: list[_Found]) -> int:
    """Apply the range, offset and ``@`` that begin at ``at`` to the selectors before them; returns what is next."""
    while True:
        if _text(tokens, at) == "[":
            end = _closing(tokens, at)
            # Each evaluation inside a subquery looks for the last sample before it, as an instant selector does.
            subquery = any(token.text.startswith(":") for token in tokens[at:end])
            for one in on:
                back = one.selector.back + duration(_text(tokens, at + 1))
                one.selector = replace(one.selector, back=back, ranged=one.selector.ranged or not subquery)
            at = end + 1
        elif at < len(tokens) and tokens[at].word == "offset":
            sign = -1 if _text(tokens, at + 1) == "-" else 1
            at += 1 if sign > 0 else 2
            for one in on:
                back = one.selector.back + sign * duration(_text(tokens, at))
                one.selector = replace(one.selector, back=back, past=True)
            at += _is(tokens, at, "number")
        elif _text(tokens, at) == "@":
            for one in on:
                one.selector = replace(one.selector, fixed=True)
            at += 2 if _text(tokens, at + 1) == "-" else 1
            called = _is(tokens, at, "name") and _text(tokens, at + 1) == "("
            at = _closing(tokens, at + 1) + 1 if called else at + _is(tokens, at, "number")
        else:
            return at
