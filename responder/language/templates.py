"""Substitution of values: ``{{ labels.x }}`` and six filters, nothing that runs.

Jinja2's parser reads the text, so that it looks as people know it, but Jinja2 never renders it: only paths, literals
and the listed filters are accepted, at load. Values are data: they are put in once and never read as a template.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from responder.language.template_parser import Expression, Filter, TemplateError, pieces_of
from responder.language.template_places import Place, Spot, check_path, promql_spots, sql_spots, write

__all__ = ["MissingValue", "Place", "Template", "TemplateError", "UnsafeValue"]


class MissingValue(ValueError):
    """A value is missing or empty, and the template names no default."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(f"{'.'.join(path)} is missing or empty")
        self.path = path


class UnsafeValue(ValueError):
    """A value cannot be written where the template puts it without becoming syntax."""

    def __init__(self, path: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{'.'.join(path)}: {reason}")
        self.path = path


@dataclass(frozen=True, slots=True)
class _Slot:
    """A placeholder and what surrounds it."""

    expression: Expression
    promql: Spot
    sql: Spot

    def spot(self, place: Place) -> Spot:
        return self.promql if place in (Place.PROMQL, Place.MATCHER) else self.sql


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text with placeholders."""

    text: str
    paths: frozenset[tuple[str, ...]] = field(compare=False)
    _parts: tuple[str | _Slot, ...] = field(compare=False, repr=False)

    @staticmethod
    def parse(text: str) -> "Template":
        """Read ``text``. Raises TemplateError for anything but paths, literals and the listed filters."""
        return _parse(text)

    @property
    def is_constant(self) -> bool:
        """Whether every context renders the same."""
        return not self.paths

    def render(self, context: Mapping[str, object], place: Place = Place.TEXT) -> str:
        """Put the values of ``context`` in, escaped for ``place``.

        Raises MissingValue for a value that is missing or empty and has no default, and UnsafeValue for one that
        cannot be written at its place.
        """
        written = []
        for part in self._parts:
            if isinstance(part, str):
                written.append(part)
                continue
            value = _text(_evaluate(part.expression, context))
            try:
                written.append(write(value, place, part.spot(place)))
            except ValueError as error:
                raise UnsafeValue(part.expression.path, str(error)) from error
        rendered = "".join(written)
        if place is Place.URL_PATH and self.paths:
            try:
                check_path(rendered)
            except ValueError as error:
                raise UnsafeValue(min(self.paths), str(error)) from error
        return rendered

    def render_for_people(self, context: Mapping[str, object]) -> str:
        """Put the values of ``context`` in; what there is none of is named instead: ``(no labels.pod)``.

        In a command that is copied as it stands, no shell takes that for an argument.
        """
        written = []
        for part in self._parts:
            try:
                written.append(part if isinstance(part, str) else _text(_evaluate(part.expression, context)))
            except MissingValue as missing:
                written.append(f"(no {'.'.join(missing.path)})")
        return "".join(written)

    def render_value(self, context: Mapping[str, object]) -> object:
        """Like ``render``, but a text that is one placeholder and nothing else gives the value itself."""
        if len(self._parts) == 1 and isinstance(self._parts[0], _Slot):
            return _evaluate(self._parts[0].expression, context)
        return self.render(context)

    def __str__(self) -> str:
        """The text as written."""
        return self.text


@lru_cache(maxsize=8192)
def _parse(text: str) -> Template:
    literals, expressions = pieces_of(text)
    # One literal, possibly empty, stands before each placeholder; the last one stands behind them all.
    slots = map(_Slot, expressions, promql_spots(literals), sql_spots(literals))
    parts = tuple(part for part in _interleave(literals, slots) if part != "")
    paths = frozenset(expression.path for expression in expressions if expression.path)
    return Template(text, paths, parts)


def _interleave(literals: list[str], slots: Iterator[_Slot]) -> Iterator[str | _Slot]:
    for literal in literals[:-1]:
        yield literal
        yield next(slots)
    yield literals[-1]


def _evaluate(expression: Expression, context: Mapping[str, object]) -> object:
    """The value of one placeholder. Raises MissingValue."""
    value = _look_up(expression.path, context) if expression.path else expression.literal
    may_be_empty = not expression.path
    for one in expression.filters:
        if one.name == "default":
            if _is_empty(value):
                value, may_be_empty = one.arguments[0], True
        elif not _is_empty(value):
            value = _FILTERS[one.name](_text(value), one)
    if _is_empty(value) and not may_be_empty:
        raise MissingValue(expression.path)
    return value


def _look_up(path: tuple[str, ...], context: Mapping[str, object]) -> object:
    value: object = context
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, (list, tuple)) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _is_empty(value: object) -> bool:
    return value is None or value == ""


def _text(value: object) -> str:
    """A value as text: numbers and truth as JSON writes them."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _host(value: str, _: Filter) -> str:
    return _host_and_port(value)[0]


def _port(value: str, _: Filter) -> str:
    return _host_and_port(value)[1]


def _host_and_port(value: str) -> tuple[str, str]:
    """Split ``host:port``, ``[v6]:port`` or a URL; a bare IPv6 address has no port."""
    authority = value.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        return host, rest.removeprefix(":")
    if authority.count(":") == 1:
        host, _, port = authority.partition(":")
        return host, port
    return authority, ""


def _replace(value: str, one: Filter) -> str:
    old, new = map(str, one.arguments)
    return value.replace(old, new)


_FILTERS: dict[str, Callable[[str, Filter], str]] = {
    "host": _host,
    "port": _port,
    "lower": lambda value, _: value.lower(),
    "upper": lambda value, _: value.upper(),
    "replace": _replace,
    "basename": lambda value, _: value.rstrip("/").rsplit("/", 1)[-1],
}
