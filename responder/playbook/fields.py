"""The scalar values of a playbook: how each is read from YAML, and how editors are told about it.

Every reader raises :class:`Wrong`, which becomes a complaint at the value's place in the file.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, WithJsonSchema
from pydantic.config import JsonDict

from responder.domain.limits import Rate
from responder.domain.portions import MOST, Portion
from responder.domain.runs import RunState
from responder.language.durations import parse_duration
from responder.language.intervals import TimeInterval
from responder.language.matchers import Matcher, parse_matcher
from responder.language.promql import hides_absence
from responder.language.promql_faults import first_fault
from responder.language.ratios import Threshold, parse_rate, parse_ratio, parse_threshold
from responder.language.suggest import did_you_mean
from responder.language.templates import Template, TemplateError

_MAIL = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]{1,255}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
_DURATION_PATTERN = r"^(0|([0-9]+(y|w|d|h|ms|m|s))+)$"
_VECTOR_FALLBACK = re.compile(r"\bor\s+(?:on\s*\([^)]*\)\s*)?vector\s*\(", re.IGNORECASE)
_PLACEHOLDER_END = re.compile(r"\}\}|$")
_CHANNEL = re.compile(r"[#@][^\s#@,]{1,80}|[CGDU][A-Z0-9]{6,}")
_PERSON_KINDS = ("role", "slack", "user")
_ROLES = ("operator", "admin")
_LOOKS = "viewer"
"""The role whose holders only look."""
PUT_IN_QUOTES = "put it in quotes"
_STATES = tuple(str(state) for state in RunState)


class Wrong(ValueError):
    """A value that cannot be read: the sentence, its rule code and how to mend it."""

    def __init__(self, message: str, rule: str = "value", hint: str = "", offset: int = 0, width: int = 0) -> None:
        """``offset`` and ``width`` count characters within the text; width 0 underlines all of it."""
        super().__init__(message)
        self.rule = rule
        self.hint = hint
        self.offset = offset
        self.width = width


def kind_of(value: object) -> str:
    """Name what was written, for a sentence, such as ``a text`` or ``a list``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a yes-or-no"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, (list, tuple)) else "a mapping"


def written(value: object) -> str:
    """Return a scalar as YAML has it: ``true``, not ``True``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def text_of(value: object, what: str, parse: Callable[[str], object]) -> str:
    """Return ``value`` when it is a text; raises Wrong that says what was expected, and how to write it if it can be.

    ``parse`` is what reads the text: quotes mend nothing where it would refuse what is in them.
    """
    if isinstance(value, str):
        return value
    if value is None:
        raise Wrong(f"{what} is expected, but there is nothing", "type", _NOTHING_HINT)
    quotes = isinstance(value, (bool, int, float)) and _reads(parse, written(value))
    hint = f'{PUT_IN_QUOTES}: "{written(value)}"' if quotes else _as_matcher(value, parse)
    raise Wrong(f"{what} is expected, not {kind_of(value)}", "type", hint)


def _reads(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _as_matcher(value: object, parse: Callable[[str], object]) -> str:
    """``severity: critical`` among matchers means ``severity="critical"``."""
    if parse is not parse_matcher or not isinstance(value, Mapping) or len(value) != 1:
        return ""
    ((name, given),) = value.items()
    text = f"{name}={json.dumps(written(given), ensure_ascii=False)}"
    return f"write {text}" if _reads(parse, text) else ""


_NOTHING_HINT = 'a # starts a comment and {{ … }} needs quotes: write "…" around the value'


def _reader(parse: Callable[[str], object], what: str, rule: str, *, figures: bool = False) -> BeforeValidator:
    """Make a validator of a language's parser: a ValueError becomes a Wrong with this rule.

    With ``figures`` a bare number is read as what stands there: the parser knows best what it lacks.
    """

    def read(value: object) -> object:
        is_figure = figures and isinstance(value, (int, float)) and not isinstance(value, bool)
        text = str(value) if is_figure else text_of(value, what, parse)
        try:
            return parse(text)
        except Wrong:
            raise
        except ValueError as error:
            raise Wrong(str(error), rule) from error

    return BeforeValidator(read)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        message = f"{text[:100]!r} is not a name: use lower-case letters, digits and dashes, at most 100 of them"
        raise Wrong(message, "name", _suggest_name(text))
    return text


def _suggest_name(text: str) -> str:
    bare = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    plain = re.sub(r"[^a-z0-9]+", "-", bare.casefold()).strip("-")[:100].strip("-")
    return f"write {plain}" if plain else ""


def _positive(text: str) -> timedelta:
    duration = parse_duration(text)
    if not duration:
        raise Wrong("a duration of zero leaves no time: write one such as 30s", "duration")
    return duration


def _rate(text: str) -> Rate:
    rate = parse_rate(text)
    return Rate(rate.count, rate.window)


def _share(text: str) -> float:
    share = parse_ratio(text)
    if not 0 < share <= 1:
        raise Wrong(f"{text} is no share of something: write one above 0% and up to 100%", "ratio")
    return share


def _portion(text: str) -> Portion:
    if text.strip().endswith("%"):
        portion = Portion(_share(text), share=True)
        if portion.most > MOST:
            raise Wrong(f"{text} at a time is more than {MOST} portions: write 5% or more", "portion")
        return portion
    message = f"{text} is no portion: write a number above zero, such as 1, or a share, such as 25%"
    try:
        size = parse_threshold(text)
    except ValueError as error:
        raise Wrong(message, "portion") from error
    if size.unit or size.value <= 0:
        raise Wrong(message, "portion")
    return Portion(int(size.value) if size.value.is_integer() else size.value)


def promql(text: str) -> Template:
    """Read a query with placeholders; raises Wrong for one that is none, with where."""
    if not text.strip():
        raise Wrong("the query is empty", "query")
    if hides_absence(text):
        message = "`or vector(…)` hides a dead exporter: no data would look like a real value"
        hint = "leave it out, and say what absence means with no_data: pass and requires:"
        place = _VECTOR_FALLBACK.search(text)
        offset, width = (place.start(), place.end() - place.start()) if place else (0, 0)
        raise Wrong(message, "or-vector", hint, offset, width)
    parsed = template(text)
    if (fault := first_fault(text)) is not None:
        message = f"Prometheus would refuse this query: {fault.message}"
        raise Wrong(message, "promql", fault.hint, fault.offset, fault.width)
    return parsed


def template(text: str) -> Template:
    """Parse a text with placeholders; raises Wrong that points at where it goes wrong."""
    try:
        return Template.parse(text)
    except TemplateError as error:
        # What is underlined is the placeholder from the fault on, or one character when there is none.
        fault = _PLACEHOLDER_END.search(text, error.offset)
        width = (fault.end() if fault else error.offset + 1) - error.offset
        raise Wrong(str(error), "template", offset=error.offset, width=width) from error


def _channel(text: str) -> str:
    if not _CHANNEL.fullmatch(text):
        plain = re.sub(r"[\s#@,]+", "-", text.strip("#@, ")).casefold()[:80]
        hint = f'write "#{plain}"' if plain else ""
        raise Wrong(f"{text!r} is not a Slack channel: write its name with the leading #, or its ID", "channel", hint)
    return text


def _person(text: str) -> str:
    kind, separator, name = text.partition(":")
    if kind not in _PERSON_KINDS or not separator or not name:
        message = f"{text!r} names nobody who may approve: write role:operator, user:NAME or slack:@GROUP"
        meant = f"role:{text}" if text in _ROLES else f"slack:{text}" if text.startswith("@") and text[1:] else ""
        meant = "role:operator" if text == _LOOKS else meant
        raise Wrong(message, "approver", f'write "{meant}"' if meant else "")
    if kind == "role" and name == _LOOKS:
        message, hint = "a viewer only looks, and does not say yes", "write role:operator, or user:NAME for one person"
        raise Wrong(message, "approver", hint)
    if kind == "role" and name not in _ROLES:
        raise Wrong(f"there is no role {name!r}", "approver", f"one of: {', '.join(_ROLES)}")
    return text


def _one_or_many(value: object) -> object:
    """Let a single value stand for a list of one."""
    return value if isinstance(value, (list, tuple)) else [value]


def shorthand(key: str, *kinds: type) -> BeforeValidator:
    """Let a value of one of ``kinds`` stand for a mapping with this one ``key``."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, kinds) else value)


OFF_IS_EVERYTHING = BeforeValidator(lambda value: "100%" if value == "off" else value)
"""Lets ``off`` stand for a share that nothing exceeds."""


def _state(text: str) -> str:
    if text not in _STATES:
        near = did_you_mean(text, _STATES)
        start = f'did you mean "{near}"? ' if near else ""
        raise Wrong(f"{text!r} is not a state of a run", "state", f"{start}one of: {', '.join(_STATES)}")
    return text


def _equals(value: object) -> object:
    if not isinstance(value, (str, int, float)):
        raise Wrong(f"a number, a text, true or false is expected, not {kind_of(value)}", "type")
    return value


def _interval(value: object) -> object:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        raise Wrong(f"the name of a time interval, or one written out, is expected, not {kind_of(value)}", "type")
    try:
        return TimeInterval.parse(value)
    except ValueError as error:
        raise Wrong(str(error), "interval") from error


def _address(text: str) -> str:
    if not _MAIL.fullmatch(text):
        raise Wrong(f"{text[:60]!r} is no e-mail address", "value", "write it as name, @ and host")
    return text


def _json_schema(**keywords: object) -> WithJsonSchema:
    return WithJsonSchema(dict(keywords))


Name = Annotated[str, _reader(_name, "a name", "name"), _json_schema(type="string", pattern=f"^{_NAME.pattern}$")]
Duration = Annotated[
    timedelta,
    _reader(parse_duration, "a duration such as 5m", "duration", figures=True),
    _json_schema(type="string", pattern=_DURATION_PATTERN, examples=["30s", "5m", "1h30m"]),
]
PositiveDuration = Annotated[
    timedelta,
    _reader(_positive, "a duration such as 5m", "duration", figures=True),
    _json_schema(type="string", pattern=_DURATION_PATTERN, examples=["30s", "5m", "1h30m"]),
]
RateText = Annotated[
    Rate,
    _reader(_rate, "a rate such as 3 per 1h", "rate", figures=True),
    _json_schema(type="string", pattern=r"^[0-9]+ +per +\S+$", examples=["3 per 1h"]),
]
Ratio = Annotated[
    float,
    _reader(parse_ratio, "a percentage such as 20%", "ratio", figures=True),
    _json_schema(type=["string", "number"], examples=["50%"]),
]
ShareText = Annotated[
    float,
    _reader(_share, "a percentage such as 20%", "ratio", figures=True),
    _json_schema(type=["string", "number"], examples=["20%"]),
]
PortionText = Annotated[
    InstanceOf[Portion],
    _reader(_portion, "a number such as 1 or a percentage such as 25%", "portion", figures=True),
    _json_schema(type=["string", "number"], examples=[1, "25%"]),
]
ThresholdText = Annotated[
    InstanceOf[Threshold],
    _reader(parse_threshold, "a number, a percentage or a duration", "threshold", figures=True),
    _json_schema(type=["string", "number"], examples=["1%", "5m", 70]),
]
MatcherText = Annotated[
    InstanceOf[Matcher],
    _reader(parse_matcher, 'a matcher such as severity="critical"', "matcher"),
    _json_schema(type="string", examples=['severity=~"warning|critical"']),
]
TemplateText = Annotated[
    InstanceOf[Template],
    _reader(template, "a text", "template"),
    _json_schema(type="string"),
]
Query = Annotated[
    InstanceOf[Template],
    _reader(promql, "a PromQL query", "query"),
    _json_schema(type="string", examples=['up{job="api"}']),
]
StateName = Annotated[str, _reader(_state, "a state of a run", "state"), _json_schema(enum=list(_STATES))]
Interval = Annotated[
    str | InstanceOf[TimeInterval],
    BeforeValidator(_interval),
    _json_schema(type=["string", "object"]),
]
EqualsText = Annotated[
    str | float | bool,
    BeforeValidator(_equals),
    _json_schema(type=["string", "number", "boolean"], examples=[0, "99%"]),
]
Channel = Annotated[str, _reader(_channel, "a Slack channel", "channel"), _json_schema(type="string")]
Address = Annotated[str, _reader(_address, "an e-mail address", "value"), _json_schema(type="string")]
Person = Annotated[str, _reader(_person, "who may approve", "approver"), _json_schema(type="string")]
OneOrMany = BeforeValidator(_one_or_many)
ONE_OR_MANY: JsonDict = {"type": ["array", "string"]}
"""What goes with OneOrMany into the JSON Schema."""
