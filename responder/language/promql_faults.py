"""What is certainly wrong with a query, and where: brackets, quotes, durations, matchers, operators without a side.

Prometheus would refuse it, at the worst moment. This is no parser: what it does not know it lets pass, and `responder
doctor` asks Prometheus itself.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from responder.language.durations import parse_duration
from responder.language.promql import PAIRS, TOKEN, Token, tokens_of

_PLACEHOLDER = re.compile(r"""\{\{(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^"'}]|\}(?!\}))*\}\}""", re.DOTALL)
_FILLER = "ˣ"
"""Stands for what a placeholder will give: a letter that no metric of anybody has, and that may be part of any name."""
_CLOSING = {opening: closing for closing, opening in PAIRS.items()}
_AGGREGATIONS = frozenset(
    {"sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile",
     "limitk", "limit_ratio"}
)  # fmt: skip
_OVER_SERIES = frozenset({"rate", "irate", "increase", "delta", "idelta", "deriv", "changes", "resets"})
"""Functions that take a range, besides those that end in ``_over_time`` (prometheus.io, querying/functions)."""
_BINARY = frozenset({"==", "!=", ">", "<", ">=", "<=", "+", "-", "*", "/", "%", "^", "and", "or", "unless", "atan2"})
_NO_SIGN = _BINARY - {"+", "-"}
_MATCHES = frozenset({"=", "!=", "=~", "!~"})
_SAMPLE = "such as [5m]"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; ``offset`` and ``width`` count characters of the query as it is written."""

    offset: int
    width: int
    message: str
    hint: str = ""


def first_fault(query: str) -> Fault | None:
    """Return the first thing that is wrong with a query; its placeholders may become anything."""
    text = _PLACEHOLDER.sub(lambda found: _FILLER * len(found[0]), query)
    tokens: list[Token] = []
    opened: list[Token] = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            return _unreadable(text, at)
        token = Token(match.lastgroup or "", match[0], at, match.end(), len(opened))
        if token.kind == "close" and (fault := _wrongly_closed(token, opened)):
            return fault
        if token.kind == "close":
            opened.pop()
        if token.kind == "open":
            opened.append(token)
        if token.kind != "space":
            tokens.append(token)
        at = match.end()
    if opened:
        last = opened[-1]
        return Fault(last.start, 1, f"this {last.text} is never closed", f"add the {_CLOSING[last.text]}")
    return next(_faults(tokens), None)


def askable(query: str) -> str | None:
    """Return a query that Prometheus can be asked to read: with some text for each placeholder in a text.

    None where a placeholder stands for a part of the query itself.
    """
    text = _PLACEHOLDER.sub(lambda found: _FILLER * len(found[0]), query)
    tokens = tokens_of(text)
    if tokens is None or any(_is_filled(token.text) and token.kind != "string" for token in tokens):
        return None
    return text


def _unreadable(text: str, at: int) -> Fault:
    if text[at] in "\"'`":
        return Fault(at, 1, f"this {text[at]} is never closed", "a text ends with the quote that it begins with")
    return Fault(at, 1, f"{text[at]!r} has no meaning in PromQL")


def _wrongly_closed(token: Token, opened: Sequence[Token]) -> Fault | None:
    if not opened:
        hint = f"leave it out, or add the {PAIRS[token.text]}"
        return Fault(token.start, 1, f"this {token.text} closes nothing", hint)
    if opened[-1].text == PAIRS[token.text]:
        return None
    before = opened[-1]
    message = f"this {token.text} meets a {before.text} that is still open"
    return Fault(token.start, 1, message, f"close the {before.text} with {_CLOSING[before.text]} before it")


def _faults(tokens: Sequence[Token]) -> Iterator[Fault]:
    """Go through a query whose brackets and quotes are in order."""
    inside: list[str] = []
    for place, token in enumerate(tokens):
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        within = inside[-1] if inside else ""
        if token.kind == "open":
            inside.append(token.text)
        elif token.kind == "close":
            inside.pop()
        if token.text == "[":
            yield from _range(token, _until_closed(tokens, place))
        elif within == "{":
            yield from _matcher(token, after)
        elif token.word == "offset" and within != "[":
            yield from _offset(tokens, place)
        elif (token.text if token.kind == "operator" else token.word) in _BINARY and within != "[":
            yield from _sides(token, tokens[place - 1] if place else None, after)
        elif token.kind == "name":
            yield from _empty_call(tokens, place)


def _text(token: Token | None) -> str:
    return token.text if token is not None else ""


def _text_at(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].text if place < len(tokens) else ""


def _until_closed(tokens: Sequence[Token], place: int) -> Sequence[Token]:
    rest = tokens[place + 1 :]
    inner = tokens[place].depth + 1
    return rest[: next(n for n, token in enumerate(rest) if token.kind == "close" and token.depth == inner)]


def _range(bracket: Token, held: Sequence[Token]) -> Iterator[Fault]:
    """Look at ``[5m]`` and ``[1h:1m]``; arithmetic between durations is left to Prometheus."""
    if not held:
        yield Fault(bracket.start, 2, "the range is empty", f"write how far it looks back, {_SAMPLE}")
        return
    parts = [held[0].text, *(token.text.removeprefix(":") for token in held[1:] if token.text.startswith(":"))]
    if len(held) == len(parts) and not all(part == "" or _is_duration(part) for part in parts):
        wrong = next(token for token in held if not _is_duration(token.text.removeprefix(":") or "0"))
        width = wrong.end - wrong.start
        yield Fault(wrong.start, width, f"{wrong.text!r} is not a duration", f"write how far it looks back, {_SAMPLE}")
    elif len(held) > 1 and held[0].kind == "number" and held[1].kind in ("number", "string"):
        width = held[1].end - held[1].start
        yield Fault(held[1].start, width, "one duration follows another", "write them as one, such as 1h30m")


def _offset(tokens: Sequence[Token], place: int) -> Iterator[Fault]:
    at = place + 1 + (_text_at(tokens, place + 1) in ("-", "+"))
    value = tokens[at] if at < len(tokens) else None
    if place == 0 or _text(value) == "(" or (value is not None and value.kind == "name" and not _is_filled(value.text)):
        return  # a metric called offset, or arithmetic
    if value is None or not _is_duration(value.text):
        where = value or tokens[place]
        yield Fault(where.start, where.end - where.start, "offset takes a duration", "such as offset 5m")


def _matcher(token: Token, after: Token | None) -> Iterator[Fault]:
    if token.text == "==":
        yield Fault(token.start, 2, "labels are matched with one =", 'write label="value"')
    elif token.text in _MATCHES and not (after is not None and (after.kind == "string" or _is_filled(after.text))):
        where = after if after is not None and after.kind in ("name", "number") else token
        message = "what a label is matched with stands in quotes"
        yield Fault(where.start, where.end - where.start, message, 'write label="value"')


def _sides(token: Token, before: Token | None, after: Token | None) -> Iterator[Fault]:
    width = token.end - token.start
    named = token.kind == "name" and _text(after) in ("", "{", "[")  # a metric of that name
    if after is None or after.kind == "close" or after.text == ",":
        if not (named and (before is None or before.kind == "open")):
            yield Fault(token.start, width, f"nothing follows {token.text}")
    elif token.text in _NO_SIGN and (before is None or before.kind == "open" or before.text == ","):
        yield Fault(token.start, width, f"nothing stands before {token.text}")


def _empty_call(tokens: Sequence[Token], place: int) -> Iterator[Fault]:
    """Look at ``sum()``, and at ``sum by (job) ()`` where its list begins."""
    token, word, opening = tokens[place], tokens[place].word, place + 1
    if word in ("by", "without") and _text_at(tokens, opening) == "(":
        opening += 1 + len(_until_closed(tokens, opening)) + 1
    elif word not in _AGGREGATIONS and word not in _OVER_SERIES and not word.endswith("_over_time"):
        return
    if _text_at(tokens, opening) == "(" and _text_at(tokens, opening + 1) == ")":
        width = tokens[opening + 1].end - token.start
        yield Fault(token.start, width, f"{token.text}() is about nothing", "write between the brackets what it is of")


def _is_filled(text: str) -> bool:
    return _FILLER in text


def _is_duration(text: str) -> bool:
    """Say whether it is a duration, or a number of seconds; what a placeholder gives is."""
    if _is_filled(text):
        return True
    try:
        parse_duration(text)
    except ValueError:
        return bool(re.fullmatch(r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|0x[0-9a-fA-F]+", text))
    return True
