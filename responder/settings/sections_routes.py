"""Reading who is told what: the routes, and when a channel gets one message for all."""

from collections.abc import Mapping
from typing import Literal, cast

from responder.domain.alerts import Severity
from responder.language.intervals import TimeInterval
from responder.language.suggest import did_you_mean
from responder.settings.model_channels import DigestSettings, Notify, Route
from responder.settings.reader import Fields, Node, shown
from responder.settings.sections_people import CHANNELS, read_destinations

_MOST = 1000
OFF = "off"
ACTIVE, MUTE = "active_time_intervals", "mute_time_intervals"
_KEYS = ("matchers", "severity", "team", *CHANNELS, "incidents", ACTIVE, MUTE, "continue")
Intervals = Mapping[str, tuple[TimeInterval, ...]]


def read_routes(node: Node, notify: Notify, intervals: Intervals) -> tuple[Route, ...]:
    """Read who hears of what, in order; ``intervals`` are the times by their names."""
    return tuple(_route(one, notify, intervals) for one in node.items())


def _route(node: Node, notify: Notify, intervals: Intervals) -> Route:
    fields = node.keys(_KEYS)
    told = ("handled", "unhandled", "all")
    incidents = fields.read("incidents", lambda one: one.choice(told), "handled")
    places = read_destinations(fields, notify)
    if not places and not any(name in fields for name in CHANNELS):
        node.complain(
            "this route tells nobody", "missing-key", 'add slack: "#channel" or pagerduty: SERVICE', at_key=True
        )
    active, mute = _times(fields, ACTIVE, intervals), _times(fields, MUTE, intervals)
    return Route(
        destinations=places,
        matchers=fields.get("matchers").matchers(),
        incidents=cast("Literal['handled', 'unhandled', 'all']", incidents),
        continue_=fields.read("continue", Node.flag, otherwise=False),
        severities=frozenset(_severity(one) for one in _each(fields, "severity")),
        teams=frozenset(one.text() for one in _each(fields, "team")),
        active=tuple(one for name in active for one in intervals[name]),
        mute=tuple(one for name in mute for one in intervals[name]),
        times=(*(f"active {name}" for name in active), *(f"mute {name}" for name in mute)),
    )


def _each(fields: Fields, name: str) -> list[Node]:
    return fields.get(name).one_or_many() if name in fields else []


def _severity(node: Node) -> Severity:
    return Severity(node.choice(tuple(str(severity) for severity in Severity)))


def _times(fields: Fields, key: str, intervals: Intervals) -> tuple[str, ...]:
    """Read the names of time intervals; one that is not there is complained about and left out."""
    found = []
    for one in _each(fields, key):
        name = one.text()
        if name in intervals:
            found.append(name)
        elif name:
            near = did_you_mean(name, intervals)
            hint = f'did you mean "{near}"?' if near else f"time_intervals has {', '.join(intervals) or 'none'}"
            one.complain(f"there is no time interval called {shown(name)}", "unknown-interval", hint)
    return tuple(found)


def read_digest(node: Node) -> DigestSettings | None:
    """Read when it is a storm; ``off`` lets every incident have a message of its own."""
    if node.value == OFF:
        return None
    if node.is_word(OFF, "a message of its own for each incident, or { after: 5, within: 5m }"):
        return None
    fields, usual = node.keys(("after", "within")), DigestSettings()
    return DigestSettings(
        after=fields.read("after", lambda one: one.count(_MOST), usual.after),
        within=fields.read("within", Node.duration, usual.within),
    )
