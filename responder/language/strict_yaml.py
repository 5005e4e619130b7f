"""YAML, read strictly: core schema of YAML 1.2, no aliases, anchors, tags, merge keys or duplicate keys, bounded.

One pass over libyaml's events builds plain data and remembers where each value and key stands. Nothing recurses, and
whatever the bytes are, the outcome is a :class:`Document` or a :class:`~responder.domain.errors.PlaybookError`.
"""

import re
from dataclasses import dataclass

import yaml
from yaml.events import ScalarEvent

from responder.domain.errors import Complaint, PlaybookError
from responder.language.yaml_builder import MAX_BYTES, Builder, Event, Place, Stop
from responder.language.yaml_discreet import discreet
from responder.language.yaml_traps import Trap, diagnose, split_lines

Path = tuple[str | int, ...]

# What YAML forbids in a stream (1.2.2, chapter 5.1), besides lone surrogates.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something stands: line and column from 1, and how many characters of that line it covers."""

    line: int
    column: int
    width: int = 1


class Document:
    """The data of one YAML file, and where each part of it stands."""

    def __init__(self, file: str, text: str, data: object, root: Place | None, *, secret: bool = False) -> None:
        self.file = file
        self._secret = secret
        self.data = data
        self._text = text
        self._root = root
        self._lines: list[str] | None = None

    @property
    def lines(self) -> list[str]:
        """The source, line by line."""
        if self._lines is None:
            self._lines = split_lines(self._text)
        return self._lines

    def mark(self, path: Path) -> Mark:
        """Where the value at ``path`` stands, or that of its nearest known ancestor."""
        return self._mark_of(self._nearest(path))

    def key_mark(self, path: Path) -> Mark:
        """Where the key at ``path`` stands (an item of a list: its value), or that of its nearest known ancestor."""
        place = self._nearest(path)
        if place is None or place.key is None:
            return self._mark_of(place)
        return self._between(place.key.start_mark, place.key.end_mark)

    def complain(self, path: Path, message: str, rule: str, hint: str = "", key: bool = False) -> Complaint:  # noqa: FBT001, FBT002 - part of the agreed signature
        """A complaint about the value (or the key) at ``path``, with its line unless the file holds secrets."""
        mark = self.key_mark(path) if key else self.mark(path)
        line = "" if self._secret else self.lines[mark.line - 1]
        return Complaint(self.file, mark.line, mark.column, message, rule, hint, line, width=mark.width)

    def written(self, path: Path) -> str:
        """How the value at ``path`` stands in the source, when it is a plain scalar on one line; empty otherwise."""
        place = self._nearest(path)
        if place is None:
            return ""
        start, end = place.value.start_mark, place.value.end_mark
        plain = isinstance(place.value, ScalarEvent) and not place.value.style
        return self.lines[start.line][start.column : end.column] if plain and start.line == end.line else ""

    def _nearest(self, path: Path) -> Place | None:
        place = self._root
        for step in path:
            inner = place.child(step) if place is not None else None
            if inner is None:
                break
            place = inner
        return place

    def _mark_of(self, place: Place | None) -> Mark:
        return Mark(1, 1) if place is None else self._between(place.value.start_mark, place.end)

    def _between(self, start: Event, end: Event) -> Mark:
        line = min(start.line, len(self.lines) - 1)
        if end is None:
            return Mark(line + 1, start.column + 1)
        last = end.column if end.line == line else len(self.lines[line].rstrip())
        return Mark(line + 1, start.column + 1, max(last - start.column, 1))


def load(text: str, file: str, *, secret: bool = False) -> Document:
    """Read one YAML document; ``file`` is the name to complain with. Raises PlaybookError with every complaint found.

    At most 256 KiB, 32 levels deep, 20,000 values. Keys are always text, as written. ``secret`` says that the file may
    hold secrets: no complaint repeats anything of it.
    """
    text = text.removeprefix("\ufeff")
    _check_characters(text, file, secret=secret)
    builder = Builder(text)
    stopped: Trap | None = None
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except Stop as stop:
        stopped = stop.trap
    except yaml.YAMLError as error:
        stopped = diagnose(builder.lines, error)
    traps = [*builder.traps, stopped] if stopped else builder.traps
    if traps:
        ordered = sorted(traps, key=lambda trap: (trap.line, trap.column))
        raise PlaybookError(tuple(_complaint(trap, builder.lines, file, secret=secret) for trap in ordered))
    return Document(file, text, builder.data, builder.root, secret=secret)


def load_bytes(data: bytes, file: str, *, secret: bool = False) -> Document:
    """Read the bytes of a file as :func:`load` does; anything but UTF-8 raises PlaybookError."""
    if len(data) > MAX_BYTES:
        raise PlaybookError((_too_large(file),))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        lines = split_lines(data[: error.start].decode("utf-8", "replace"))
        trap = Trap(
            len(lines) - 1,
            len(lines[-1]),
            f"this file is not UTF-8: byte 0x{data[error.start]:02x} cannot stand here",
            "yaml-encoding",
            "save it as UTF-8",
        )
        raise PlaybookError((_complaint(trap, lines, file, secret=secret),)) from error
    return load(text, file, secret=secret)


def _check_characters(text: str, file: str, *, secret: bool) -> None:
    """Refuse what is too large or holds characters that YAML forbids, before libyaml sees it."""
    # A character takes at most four bytes, so most files need not be encoded to be measured.
    if len(text) > MAX_BYTES or (len(text) * 4 > MAX_BYTES and len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES):
        raise PlaybookError((_too_large(file),))
    found = _FORBIDDEN.search(text)
    if found is None:
        return
    before = split_lines(text[: found.start()])
    message = f"the character U+{ord(found[0]):04X} cannot stand in YAML"
    trap = Trap(len(before) - 1, len(before[-1]), message, "yaml-control-character", "remove it")
    raise PlaybookError((_complaint(trap, [*before[:-1], before[-1] + "…"], file, secret=secret),))


def _too_large(file: str) -> Complaint:
    return Complaint(file, 1, 1, f"this file is larger than {MAX_BYTES // 1024} KiB", "yaml-too-large", "split it")


def _complaint(trap: Trap, lines: list[str], file: str, *, secret: bool) -> Complaint:
    line = min(trap.line, len(lines) - 1)
    said = discreet(trap) if secret else trap
    source = "" if secret else lines[line]
    return Complaint(
        file, line + 1, said.column + 1, said.message, said.rule, said.hint, source, width=max(said.width, 1)
    )
