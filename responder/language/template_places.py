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
# Outside a string only what cannot be taken for syntax: a number, a duration, a name.
_BARE_PROMQL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|(?:[0-9]+[a-z]{1,2})+|[a-zA-Z_:][a-zA-Z0-9_:]*")
# Go's regexp.QuoteMeta.
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
_STRING_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\\"']")
_PROMQL_PIECE = re.compile(r"""#[^\n]*|["'`]""")
_SQL_PIECE = re.compile(r"""--|/\*|\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$|"|(?<![A-Za-z0-9_])[eE]'|'""")


def write(value: str, place: Place, spot: Spot) -> str:
    """Return ``value`` as it must stand at ``spot``. Raises ValueError when nothing safe can be written."""
    if place is Place.TEXT:
        return value
    if place is Place.PROMQL:
        return _write_promql(value, spot)
    if place is Place.SQL_LITERAL:
        return _write_sql(value, spot)
    return quote(value, safe="", errors="replace")


def _write_promql(value: str, spot: Spot) -> str:
    if not spot.quote:
        if _BARE_PROMQL.fullmatch(value):
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
    """Refuse a rendered URL path in which ``.`` or ``..`` would climb. Raises ValueError."""
    if any(segment in {".", ".."} for segment in path.split("/")):
        raise ValueError("a value would make . or .. a part of the path")


def promql_spots(literals: Iterable[str]) -> Iterator[Spot]:
    """For each literal text of a template, what surrounds the placeholder behind it."""
    inside = Spot()
    comment = False
    for literal in literals:
        at = 0
        if comment:
            at = literal.find("\n") + 1 or len(literal)
            comment = not literal[:at].endswith("\n")
        while at < len(literal):
            if inside.quote:
                at, closed = _string_end(literal, at, inside.quote)
                inside = Spot() if closed else inside
                continue
            piece = _PROMQL_PIECE.search(literal, at)
            if piece is None:
                break
            at = piece.end()
            if piece[0][0] == "#":
                comment = at == len(literal)
            else:
                regex = literal[: piece.start()].rstrip().endswith(("=~", "!~"))
                inside = Spot(piece[0], regex=regex)
        dangling = inside.quote and (at > len(literal) or (inside.regex and literal.endswith("\\")))
        yield _DANGLING if dangling else inside


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
        while at < len(literal):
            if inside.quote:
                at, closed = _sql_end(literal, at, inside)
                inside = Spot() if closed else inside
                continue
            piece = _SQL_PIECE.search(literal, at)
            if piece is None:
                break
            at = piece.end()
            sign = piece[0][-1]
            inside = Spot(sign if sign in "'\"" else piece[0], escapes=piece[0] in {"e'", "E'"})
        yield _DANGLING if inside.quote and at > len(literal) else inside


def _sql_end(text: str, at: int, inside: Spot) -> tuple[int, bool]:
    """Where what is open at ``at`` goes on to, and whether it ends there.

    A doubled quote closes and opens again, which comes to the same.
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
