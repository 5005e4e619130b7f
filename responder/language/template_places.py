"""How a value is written into the place it is put: PromQL, a URL, SQL. A value never becomes syntax.

For PromQL and SQL what is right depends on what surrounds the placeholder: the literal text before it is scanned once,
when the template is parsed. Values cannot change what the scan found, because they are escaped.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote


class Place(Enum):
    """Where a rendered text goes."""

    TEXT = "text"
    PROMQL = "promql"
    MATCHER = "matcher"
    URL_PATH = "url_path"
    URL_QUERY = "url_query"
    SQL_LITERAL = "sql_literal"


@dataclass(frozen=True, slots=True)
class Spot:
    """What surrounds a placeholder: the quote it stands in (empty: none), and how that string is read."""

    quote: str = ""
    regex: bool = False
    escapes: bool = False


# A string that ends in a backslash just before the placeholder: it would swallow the value's first character.
_DANGLING = Spot("\\")
# Outside quotes, where labels are matched.
_IN_BRACES = Spot("{")
# An argument of label_replace: one of them is a regular expression, another names what such an expression found.
_ARGUMENT = Spot("label_replace")
# Outside a string only what cannot be taken for syntax: a number, a duration, a name.
_BARE_PROMQL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|(?:[0-9]+[a-z]{1,2})+|[a-zA-Z_:][a-zA-Z0-9_:]*")
_PROMQL_WORDS = frozenset(
    {"and", "or", "unless", "atan2", "bool", "on", "ignoring", "group_left", "group_right", "by", "without", "offset"}
)
# What a matcher says the same of with quotes and without.
_BARE_MATCHER = re.compile(r"[\w:./-]+")
# Go's regexp.QuoteMeta.
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
_STRING_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\\"']")
_PROMQL_PIECE = re.compile(r"""#[^\n]*|["'`{}]|\blabel_replace\b""")
_SQL_PIECE = re.compile(r"""--|/\*|\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$|"|(?<![A-Za-z0-9_])[eE]'|'""")
# Between two parts of one string. Nothing (a doubled quote), or a line break in white space and comments.
_SAME_STRING = re.compile(r"(?:\s|--[^\n]*\n)*")


def write(value: str, place: Place, spot: Spot) -> str:
    """Return ``value`` as it must stand at ``spot``. Raises ValueError when nothing safe can be written."""
    if place is Place.TEXT:
        return value
    if place is Place.PROMQL or (place is Place.MATCHER and spot.quote):
        return _write_promql(value, spot)
    if place is Place.MATCHER:
        return _write_bare(value)
    if place is Place.SQL_LITERAL:
        return _write_sql(value, spot)
    return quote(value, safe="", errors="replace")


def _write_promql(value: str, spot: Spot) -> str:
    if spot is _ARGUMENT:
        raise ValueError("a value cannot be an argument of label_replace, which reads it as an expression")
    if not spot.quote or spot is _IN_BRACES:
        if spot is not _IN_BRACES and _BARE_PROMQL.fullmatch(value) and value.lower() not in _PROMQL_WORDS:
            return value
        raise ValueError("outside quotes PromQL takes only a number, a duration or a name: put it in quotes")
    if spot is _DANGLING:
        raise ValueError("a backslash cannot stand before a placeholder")
    if spot.regex:
        value = _META.sub(r"\\\g<0>", value)
    if spot.quote == "`":
        if "`" in value:
            raise ValueError("a backtick cannot stand in a `…` string: use double quotes")
        return value

    def escaped(found: re.Match[str]) -> str:
        sign = found[0]
        if sign in "\"'":
            return "\\" + sign if sign == spot.quote else sign
        return _STRING_ESCAPES.get(sign) or f"\\x{ord(sign):02x}"

    return _CONTROL.sub(escaped, value)


def _write_bare(value: str) -> str:
    if not _BARE_MATCHER.fullmatch(value):
        raise ValueError('in a matcher without quotes this would be syntax: write name="{{ … }}"')
    return value


def _write_sql(value: str, spot: Spot) -> str:
    if "\0" in value:
        raise ValueError("a NUL character cannot stand in SQL")
    if not spot.quote:
        doubled = value.replace("'", "''")
        # A backslash means itself in '…' only while standard_conforming_strings is on; in E'…' it never does.
        return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in value else f"'{doubled}'"
    if spot is _DANGLING:
        raise ValueError("a backslash cannot stand before a placeholder")
    if spot.quote not in {"'", '"'}:
        raise ValueError(f"a value cannot stand inside {spot.quote} in SQL")
    if spot.escapes:
        value = value.replace("\\", "\\\\")
    return value.replace(spot.quote, spot.quote * 2)


def check_path(path: str) -> None:
    """Refuse a rendered URL path in which ``.`` or ``..`` would climb. Raises ValueError.

    A query, a fragment and a segment's own parameters (``;v=1``) do not hide it, nor does an escaped dot.
    """
    segments = re.split(r"[?#]", path, maxsplit=1)[0].split("/")
    if any(re.sub("%2e", ".", segment.split(";")[0], flags=re.IGNORECASE) in {".", ".."} for segment in segments):
        raise ValueError("a value would make . or .. a part of the path")


def promql_spots(literals: Iterable[str]) -> Iterator[Spot]:
    """For each literal text of a template, what surrounds the placeholder behind it."""
    scan = _PromqlScan()
    for literal in literals:
        yield scan.read(literal)


class _PromqlScan:
    """Where in an expression of PromQL the text read so far has ended."""

    def __init__(self) -> None:
        self._inside = Spot()
        self._argument = False
        self._comment = False
        self._braces = 0
        self._replaces = False
        self._before = ""  # the end of the code read last, without white space and comments

    def read(self, literal: str) -> Spot:
        """Go on with ``literal``; what surrounds its end."""
        at = 0
        self._before = ""
        if self._comment:
            at = literal.find("\n") + 1 or len(literal)
            self._comment = not literal[:at].endswith("\n")
        while at < len(literal):
            if self._inside.quote:
                at, closed = _string_end(literal, at, self._inside.quote)
                self._inside = Spot() if closed else self._inside
                continue
            piece = _PROMQL_PIECE.search(literal, at)
            if piece is None:
                break
            self._before = literal[at : piece.start()].rstrip()[-2:] or self._before
            at = piece.end()
            self._take(piece)
        if self._inside.quote and (at > len(literal) or (self._inside.regex and literal.endswith("\\"))):
            return _DANGLING
        if self._inside.quote:
            return _ARGUMENT if self._argument else self._inside
        return _IN_BRACES if self._braces else self._inside

    def _take(self, piece: re.Match[str]) -> None:
        """Note what ``piece`` opens or closes."""
        word = piece[0]
        if word[0] == "#":
            self._comment = piece.end() == len(piece.string)
            return
        if word == "label_replace":
            self._replaces = True
        elif word in "{}":
            self._braces = max(self._braces + (1 if word == "{" else -1), 0)
        else:
            self._inside = Spot(word, regex=self._before in {"=~", "!~"})
            self._argument = self._replaces and not self._braces and self._before.endswith(",")
        self._before = ""


def _string_end(text: str, at: int, sign: str) -> tuple[int, bool]:
    """Where the string that is open at ``at`` goes on to, and whether it is closed there.

    Beyond the end of ``text`` when that ends in a backslash.
    """
    while at < len(text):
        if text[at] == "\\" and sign != "`":
            at += 2
            continue
        at += 1
        if text[at - 1] == sign:
            return at, True
    return at, False


def sql_spots(literals: Iterable[str]) -> Iterator[Spot]:
    """For each literal text of a template, what surrounds the placeholder behind it."""
    inside = Spot()
    for literal in literals:
        at = 0
        escaped_until: int | None = None  # the end of the last E'…', which a next part of it goes on from
        while at < len(literal):
            if inside.quote:
                at, closed = _sql_end(literal, at, inside)
                escaped_until = at if closed and inside.escapes else escaped_until
                inside = Spot() if closed else inside
                continue
            piece = _SQL_PIECE.search(literal, at)
            if piece is None:
                break
            at = piece.end()
            sign = piece[0][-1]
            escapes = piece[0] in {"e'", "E'"}
            if piece[0] == "'" and escaped_until is not None:
                escapes = _SAME_STRING.fullmatch(literal, escaped_until, piece.start()) is not None
            if piece[0] != "--":
                escaped_until = None
            inside = Spot(sign if sign in "'\"" else piece[0], escapes=escapes)
        yield _DANGLING if inside.quote and at > len(literal) else inside


def _sql_end(text: str, at: int, inside: Spot) -> tuple[int, bool]:
    """Where what is open at ``at`` goes on to, and whether it ends there.

    A doubled quote closes and opens again: the caller sees that it is still the same string.
    """
    if inside.escapes:
        return _string_end(text, at, "'")
    if inside.quote == "/*":
        # PostgreSQL nests comments; a placeholder behind a nested one is refused as if still inside.
        nested = text.find("/*", at)
        end = text.find("*/", at)
        return (end + 2, True) if end >= 0 and not 0 <= nested < end else (len(text), False)
    closing = "\n" if inside.quote == "--" else inside.quote
    found = text.find(closing, at)
    return (found + len(closing), True) if found >= 0 else (len(text), False)
