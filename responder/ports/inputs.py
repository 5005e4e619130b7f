"""What inputs of several actions and probes have in common."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator

from responder.domain.targets import SEPARATOR
from responder.language.durations import parse_duration


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _plain(value: object) -> object:
    if isinstance(value, str) and (not value.strip() or not value.isprintable()):
        msg = "the value is empty or holds control characters"
        raise ValueError(msg)
    return value


T = TypeVar("T")
Plain = Annotated[T, AfterValidator(_plain)]
"""A value that is written into a setting as it is: text is neither empty nor holds control characters."""
DurationText = Annotated[str, AfterValidator(_duration)]
"""A duration such as ``5m``, kept as it is written."""


def seconds(text: str) -> float:
    """Return the seconds of a duration."""
    return parse_duration(text).total_seconds()


def connection_name(target: str) -> str:
    """Return the connection of a target: ``cache`` of ``redis/cache/sessions``."""
    return target.split(SEPARATOR)[1]


def like(pattern: str) -> str:
    """Return a pattern with ``*`` as SQL's LIKE has it."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
