"""What inputs of several actions and probes have in common."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator

from responder.domain.targets import SEPARATOR
from responder.language.durations import parse_duration


def _figure(value: object) -> object:
    """Let a bare number be read as what stands there: the parser knows best what it lacks."""
    is_figure = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_figure else value


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def at_most(longest: str, why: str) -> AfterValidator:
    """Make a validator of a duration: above zero, and at most ``longest``; ``why`` says what a longer one would do."""

    def check(text: str) -> str:
        if not seconds(text):
            msg = "a duration of zero leaves no time: write one such as 5m"
            raise ValueError(msg)
        if seconds(text) > seconds(longest):
            msg = f"{text} is too long, at most {longest}: {why}"
            raise ValueError(msg)
        return text

    return AfterValidator(check)


def _plain(value: object) -> object:
    if isinstance(value, str) and (not value.strip() or not value.isprintable()):
        msg = "the value is empty or holds control characters"
        raise ValueError(msg)
    return value


T = TypeVar("T")
Plain = Annotated[T, AfterValidator(_plain)]
"""A value that is written into a setting as it is: text is neither empty nor holds control characters."""
DurationText = Annotated[str, BeforeValidator(_figure), AfterValidator(_duration)]
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
