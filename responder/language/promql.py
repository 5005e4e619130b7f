"""The little that must be understood of PromQL: where an expression compares, how far back it looks, what it hides.

This is a lexer with brackets, not a parser: what it cannot tell apart it declines, and callers treat that as unknown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from responder.language.durations import parse_duration

TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
  | (?P<number>[0-9.](?:[0-9a-zA-Z_.]|(?<=[eE])[+-](?=[0-9]))*)
  | (?P<name>[^\W0-9][\w:]*|:[\w:]*)
  | (?P<operator>==|!=|>=|<=|=~|!~|[-<>=+*/%^@,:])
  | (?P<open>[({\[])
  | (?P<close>[)}\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_COMPARISONS = {"==": "==", "!=": "!=", ">": "<", "<": ">", ">=": "<=", "<=": ">="}  # each with its mirror image
_SET_OPERATORS = frozenset({"and", "or", "unless"})
_MODIFIERS = frozenset({"on", "ignoring", "group_left", "group_right"})
_ABSENT = frozenset({"absent", "absent_over_time"})
# Nobody nests deeper; an expression may come from a sender, so the work must be bounded.
_DEEPEST = 100
PAIRS = {")": "(", "}": "{", "]": "["}
_SCALAR = re.compile(r"[-+\s]*(?:[0-9][\w.+-]*|[iI]nf|[nN]a[nN])")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an expression; ``depth`` is how many brackets are open before it."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """The text as a keyword: PromQL's are case-insensitive."""
        return self.text.lower() if self.kind == "name" else ""


def split_comparison(expression: str) -> tuple[str, str, str] | None:
    """Split at the outermost comparison into left, operator and right; comments are dropped.

    A number on the left changes sides; vector matching (``on (…)``) stays at the head of the right side. None for what
    cannot be judged by its left side alone: ``absent``, ``and``, ``or``, ``unless``, ``bool``, or no comparison at all.
    """
    tokens = tokens_of(expression)
    if tokens is None:
        return None
    tokens = _without_outer_brackets([token for token in tokens if token.kind != "space"])
    if any(token.word in _ABSENT for token in tokens):
        return None
    floor = tokens[0].depth if tokens else 0
    top = [number for number, token in enumerate(tokens) if token.depth == floor]
    if any(tokens[number].word in _SET_OPERATORS for number in top):
        return None
    # Comparisons associate to the left, so the last one is outermost.
    at = next((number for number in reversed(top) if tokens[number].text in _COMPARISONS), None)
    if at is None or at in {0, len(tokens) - 1} or tokens[at + 1].word == "bool":
        return None
    left, right = written(tokens[:at]), written(tokens[at + 1 :])
    operator = tokens[at].text
    if _SCALAR.fullmatch(left) and not _SCALAR.fullmatch(right) and tokens[at + 1].word not in _MODIFIERS:
        return right, _COMPARISONS[operator], left
    return left, operator, right


def longest_range(expression: str) -> timedelta:
    """The longest window ``[10m]`` or ``[1h:1m]`` in the expression; zero when there is none."""
    longest = timedelta(0)
    tokens = [token for token in tokens_of(expression) or () if token.kind != "space"]
    for number, token in enumerate(tokens[:-1]):
        window = tokens[number + 1]
        if token.text == "[" and window.kind == "number":
            longest = max(longest, duration(window.text))
    return longest


def same_expression(one: str, other: str) -> bool:
    """Whether two expressions are equal but for white space and comments outside strings."""
    return _words(one) == _words(other)


def hides_absence(expression: str) -> bool:
    """Whether it holds ``or vector(…)``, which turns the silence of a dead exporter into a number."""
    words = _words(expression)
    for number, word in enumerate(words):
        if word.lower() == "or" and next(_skip_modifiers(words[number + 1 :]), "").lower() == "vector":
            return True
    return False


def _skip_modifiers(words: list[str]) -> Iterator[str]:
    """What follows ``or`` behind ``on (…)``, ``ignoring (…)`` and opening brackets."""
    skipping = False
    for word in words:
        if skipping:
            skipping = word != ")"
        elif word.lower() in _MODIFIERS:
            skipping = True
        elif word != "(":
            yield word


def duration(text: str) -> timedelta:
    """Read a duration, or a number of seconds, as Prometheus 3 takes it; zero for anything else."""
    try:
        return parse_duration(text)
    except ValueError:
        pass
    try:
        return timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        return timedelta(0)


def tokens_of(expression: str) -> list[Token] | None:
    """Return the words of ``expression`` with their nesting, or None when it is broken."""
    found: list[Token] = []
    opened: list[str] = []
    at = 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if match is None:
            return None
        kind, text = match.lastgroup or "", match[0]
        if kind == "close" and (not opened or opened.pop() != PAIRS[text]):
            return None
        found.append(Token(kind, text, at, match.end(), len(opened)))
        if kind == "open":
            opened.append(text)
            if len(opened) > _DEEPEST:
                return None
        at = match.end()
    return None if opened else found


def _without_outer_brackets(tokens: list[Token]) -> list[Token]:
    """Drop brackets that hold the whole expression: ``(a > 1)``."""
    while tokens and tokens[0].text == "(":
        closing = next(
            number for number, token in enumerate(tokens) if token.kind == "close" and token.depth == tokens[0].depth
        )
        if closing != len(tokens) - 1:
            break
        tokens = tokens[1:-1]
    return tokens


def written(tokens: list[Token]) -> str:
    """Return the source of ``tokens``, with a space where there was white space or a comment."""
    parts = [tokens[0].text]
    for before, token in pairwise(tokens):
        parts += (" " * (token.start > before.end), token.text)
    return "".join(parts)


def _words(expression: str) -> list[str]:
    """The words without white space and comments; a broken expression is one word, equal to itself alone."""
    tokens = tokens_of(expression)
    if tokens is None:
        return [expression]
    return [token.text for token in tokens if token.kind != "space"]
