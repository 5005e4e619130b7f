"""Plain data from libyaml's events, with the place of every value, and the traps that parse without an error."""

import re
from typing import Any

from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from responder.language.yaml_scalars import plain_scalar
from responder.language.yaml_traps import (
    Trap,
    block_scalar_trap,
    comment_trap,
    missing_space_trap,
    quote_hint,
    sign_trap,
    split_lines,
    template_trap,
)

# The stubs leave the marks of events half typed; libyaml always sets them.
Event = Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
_MAX_TRAPS = 20

_KEY_WITHOUT_SPACE = re.compile(r"([A-Za-z_][\w-]*):(?!//)\S")
# Below its key, `word:value` may be the name of a recorded metric; before a digit or a quote it is a slip.
_SLIPPED_KEY = re.compile(r"([a-z_]+):[0-9\"'\[{]")


class Stop(Exception):
    """Reading cannot go on behind this trap."""

    def __init__(self, trap: Trap) -> None:
        super().__init__(trap.message)
        self.trap = trap


class Place:
    """Where a value stands: its key (in a mapping), its first event, its end, and the places inside it."""

    __slots__ = ("children", "end", "key", "value")

    def __init__(self, key: Event, value: Event) -> None:
        self.key = key
        self.value = value
        self.end: Event = None
        self.children: dict[str, Place] | list[Place] | None = None

    def child(self, step: str | int) -> "Place | None":
        """The place of one key or item, or None."""
        if isinstance(self.children, dict):
            return self.children.get(step) if isinstance(step, str) else None
        if (
            isinstance(self.children, list)
            and isinstance(step, int)
            and -len(self.children) <= step < len(self.children)
        ):
            return self.children[step]
        return None


class _Frame:
    """A mapping or list that is still open."""

    __slots__ = ("data", "flow", "key", "key_event", "place")

    def __init__(self, data: "dict[str, Any] | list[Any]", place: Place, *, flow: bool) -> None:
        self.data = data
        self.place = place
        self.flow = flow
        self.key: str | None = None
        self.key_event: Event = None


class Builder:
    """Takes events in order; afterwards ``data``, ``root`` and ``traps`` hold the outcome."""

    def __init__(self, text: str) -> None:
        self.data: Any = None
        self.root: Place | None = None
        self.traps: list[Trap] = []
        self._text = text
        self._lines: list[str] | None = None
        self._stack: list[_Frame] = []
        self._nodes = 0
        self._documents = 0

    @property
    def lines(self) -> list[str]:
        """The source, line by line, split only when somebody complains."""
        if self._lines is None:
            self._lines = split_lines(self._text)
        return self._lines

    def take(self, event: Event) -> None:
        """Go on with ``event``. Raises Stop when nothing behind it can be understood."""
        kind = type(event)
        if kind is ScalarEvent:
            self._scalar(event)
        elif kind is MappingStartEvent:
            self._open(event, {}, {})
        elif kind is SequenceStartEvent:
            self._open(event, [], [])
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            frame = self._stack.pop()
            # A block ends where the next thing begins; only a flow has an end worth underlining.
            if frame.flow:
                frame.place.end = event.end_mark
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                trap = Trap(*_at(event), "a file holds one document, and this --- starts a second", "yaml-documents")
                raise Stop(trap)

    def _scalar(self, event: Event) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_signs(event)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and isinstance(frame.data, dict):
            self._key(frame, event)
            return
        self._count(event)
        value = event.value
        if event.style or not event.implicit[0]:
            if not value and event.style in {">", "|"}:
                self._complain(block_scalar_trap(_at(event), self._line(event)))
        else:
            self._plain_traps(frame, event)
            try:
                value = plain_scalar(value)
            except ValueError as error:
                self._complain(Trap(*_at(event), str(error), "yaml-number", quote_hint(value), len(value)))
        self._place(frame, event, value).end = event.end_mark

    def _key(self, frame: _Frame, event: Event) -> None:
        key = event.value
        if not event.style:
            if key == "<<":
                message = "merge keys (<<) are refused: every value is written out"
                raise Stop(Trap(*_at(event), message, "yaml-merge-key", "copy the values", 2))
            if not key:
                self._complain(Trap(*_at(event), "there is no key before this colon", "yaml-empty-key"))
        if isinstance(frame.place.children, dict) and key in frame.place.children:
            first = frame.place.children[key].key
            where = f"; first on line {first.start_mark.line + 1}" if first is not None else ""
            message = f"the key {key[:60]!r} is given twice{where}"
            self._complain(Trap(*_at(event), message, "yaml-duplicate-key", "remove one", len(key)))
        frame.key = key
        frame.key_event = event

    def _open(self, event: Event, data: "dict[str, Any] | list[Any]", places: "dict[str, Place] | list[Place]") -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_signs(event)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and isinstance(frame.data, dict):
            self._refuse_complex_key(frame, event)
        self._count(event)
        if len(self._stack) >= MAX_DEPTH:
            raise Stop(Trap(*_at(event), f"this is nested deeper than {MAX_DEPTH} levels", "yaml-too-deep"))
        place = self._place(frame, event, data)
        place.children = places
        self._stack.append(_Frame(data, place, flow=bool(event.flow_style)))

    def _place(self, frame: _Frame | None, event: Event, value: object) -> Place:
        """Put ``value`` where it belongs, and remember where it stands."""
        place = Place(frame.key_event if frame is not None else None, event)
        if frame is None:
            self.data, self.root = value, place
        elif frame.key is not None and isinstance(frame.data, dict) and isinstance(frame.place.children, dict):
            frame.data[frame.key] = value
            frame.place.children[frame.key] = place
            frame.key = frame.key_event = None
        elif isinstance(frame.data, list) and isinstance(frame.place.children, list):
            frame.data.append(value)
            frame.place.children.append(place)
        return place

    def _plain_traps(self, frame: _Frame | None, event: Event) -> None:
        value = event.value
        if frame is None:
            slipped = _KEY_WITHOUT_SPACE.match(value)
            if slipped:
                self._complain(missing_space_trap(*_at(event), slipped[1]))
        elif not value:
            self._empty(frame, event)
        elif frame.flow:
            if value.count('"') % 2 or value.count("(") != value.count(")"):
                self._comma(event)
        elif frame.key_event is not None and event.start_mark.line > frame.key_event.start_mark.line:
            slipped = _SLIPPED_KEY.match(value)
            if slipped:
                self._complain(missing_space_trap(*_at(event), slipped[1]))

    def _empty(self, frame: _Frame, event: Event) -> None:
        """An empty value: an intended null, a channel that became a comment, or half of something cut by a comma."""
        key = frame.key_event
        if key is None:
            trap = comment_trap(self._line(event), _at(event))
        else:
            end = key.end_mark
            line = self.lines[min(end.line, len(self.lines) - 1)]
            trap = comment_trap(line, (end.line, end.column))
            if trap is None and frame.flow and not line[end.column :].lstrip().startswith(":"):
                trap = self._key_alone(frame, key)
        if trap is not None:
            self._complain(trap)

    def _key_alone(self, frame: _Frame, key: Event) -> Trap | None:
        if not key.style:
            slipped = _KEY_WITHOUT_SPACE.match(key.value)
            if slipped:
                return missing_space_trap(*_at(key), slipped[1])
        shown = key.value if len(key.value) <= 40 else key.value[:40] + "…"  # noqa: PLR2004 - fits beside the sentence
        if frame.data:
            message = f"{shown!r} has no value: the comma before it ended the one before"
            hint = "quote the whole value, or write it in block style: one key a line"
            return Trap(*_at(key), message, "yaml-flow-comma", hint, len(key.value))
        # Braces around a matcher are PromQL's habit.
        hint = f"write {shown} without the braces" if "=" in shown else f"write {{ {shown}: … }}"
        return Trap(*_at(key), f"{shown!r} has no value", "yaml-flow", hint, len(key.value))

    def _comma(self, event: Event) -> None:
        """A plain value inside a flow with half a pair of quotes or brackets: a comma cut it."""
        end = event.end_mark
        line = self.lines[min(end.line, len(self.lines) - 1)]
        comma = len(line) - len(line[end.column :].lstrip())
        if line[comma : comma + 1] == ",":
            message = f"this comma ends the value {event.value[:60]!r}"
            hint = "quote the whole value, or write it in block style: one key a line"
            self._complain(Trap(end.line, comma, message, "yaml-flow-comma", hint))

    def _refuse_complex_key(self, frame: _Frame, event: Event) -> None:
        outer = frame.place.value
        if self._line(outer).startswith("{{", outer.start_mark.column):
            in_flow = any(other.flow for other in self._stack[:-1])
            raise Stop(template_trap(self._line(outer), _at(outer), flow=in_flow))
        raise Stop(Trap(*_at(event), "a key must be a word, not a list or a mapping", "yaml-complex-key"))

    def _refuse_signs(self, event: Event) -> None:
        sign, rule = ("&", "yaml-anchor") if event.anchor is not None else ("!", "yaml-tag")
        self._complain(sign_trap(_at(event), self._line(event), sign, rule))

    def _alias(self, event: Event) -> None:
        raise Stop(sign_trap(_at(event), self._line(event), "*", "yaml-alias"))

    def _count(self, event: Event) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Stop(
                Trap(*_at(event), f"this file holds more than {MAX_NODES:,} values", "yaml-too-many", "split it")
            )

    def _line(self, event: Event) -> str:
        number: int = event.start_mark.line
        return self.lines[min(number, len(self.lines) - 1)]

    def _complain(self, trap: Trap) -> None:
        if len(self.traps) >= _MAX_TRAPS:
            raise Stop(trap)
        self.traps.append(trap)


def _at(event: Event) -> tuple[int, int]:
    """Line and column, from 0."""
    return event.start_mark.line, event.start_mark.column
