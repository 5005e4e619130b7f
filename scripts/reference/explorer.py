"""Walks the reader of ``responder.yml`` as if every key were there, and notes what it asks for.

The reader is plain code, so its keys stand nowhere as data. Read by an :class:`Explorer` it tells them itself: each key
with its kind, its default and whether it is required. Both ways of an ``if`` are taken by walking four times: with and
without each optional key seen, and with a mapping and a text for what may be either.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from responder.language.matchers import Matcher
from responder.language.strict_yaml import load
from responder.settings.load import KEYS, RESERVED, _settings
from responder.settings.reader import Fields, Node, Reading

T = TypeVar("T")
NAME = "NAME"
"""Stands for a name that people choose."""
LONG = timedelta(days=365)
"""A duration that no rule finds too short."""


@dataclass(slots=True)
class Entry:
    """What the reader asks of one key."""

    kinds: list[str] = field(default_factory=list)
    choices: tuple[str, ...] = ()
    default: object = None
    required: str = ""
    children: tuple[str, ...] = ()

    def is_a(self, kind: str) -> None:
        """Note a kind once."""
        if kind not in self.kinds:
            self.kinds.append(kind)


class Findings(dict[str, Entry]):
    """Every key by its dotted path, in the order of the reader."""

    def at(self, path: Iterable[str | int]) -> Entry:
        """Return the entry of a path, made when there is none yet."""
        return self.setdefault(".".join(str(part) for part in path), Entry())


class Explorer(Node):
    """A value that is whatever it is asked for, and notes what that was."""

    __slots__ = ("_findings", "_optional")

    def __init__(
        self,
        reading: Reading,
        path: tuple[str | int, ...],
        value: object,
        findings: Findings,
        optional: bool,  # noqa: FBT001 - one of the two ways to walk, handed down
    ) -> None:
        """``optional`` says whether keys are there when the reader asks."""
        super().__init__(reading, path, value)
        self._findings = findings
        self._optional = optional

    @property
    def entry(self) -> Entry:
        """What is noted of this value."""
        return self._findings.at(self.path)

    def child(self, name: str) -> "Explorer":
        """Return the value below this one."""
        return Explorer(self.reading, (*self.path, name), self.value, self._findings, self._optional)

    def complain(self, message: str, rule: str = "value", hint: str = "", *, at_key: bool = False) -> None:
        """Say nothing: what is explored was never written."""

    def keys(self, known: Iterable[str], reserved: Mapping[str, str] | None = None) -> "ExplorerFields":
        """Note a mapping with these keys."""
        names = tuple(known)
        if self.path:
            self.entry.is_a("mapping")
            self.entry.children = names
        for name in names:
            self._findings.at((*self.path, name))
        return ExplorerFields(self, {name: self.child(name) for name in names}, there=self._optional)

    def named(self) -> dict[str, Node]:
        """Note a mapping of chosen names."""
        self.entry.is_a("names")
        return {NAME: self.child(NAME)}

    def items(self) -> list[Node]:
        """Note a list."""
        self.entry.is_a("list")
        return [self.child("[]")]

    def one_or_many(self) -> list[Node]:
        """Note a value or a list of them."""
        self.entry.is_a("one or a list")
        return [self.child("[]")]

    def text(self) -> str:
        """Note a text."""
        self.entry.is_a("text")
        return "text"

    def flag(self) -> bool:
        """Note a yes or no."""
        self.entry.is_a("true or false")
        return not self._optional

    def count(self, most: int) -> int:
        """Note a whole number."""
        self.entry.is_a("whole number")
        return min(1, most)

    def choice(self, choices: Iterable[str]) -> str:
        """Note a few words."""
        self.entry.choices = tuple(choices)
        return self.entry.choices[0]

    def is_word(self, word: str, meaning: str) -> bool:
        """Go on with what else may stand here."""
        return False

    def parsed(self, parse: Callable[[str], T], otherwise: T, rule: str, hint: str = "") -> T:
        """Note a value of one of the languages."""
        self.entry.is_a(rule)
        return otherwise

    def duration(self, most: timedelta | None = None) -> timedelta:
        """Note a duration."""
        self.entry.is_a("duration" if most is None else f"duration of at most {most.total_seconds():g}s")
        return LONG

    def matchers(self) -> tuple[Matcher, ...]:
        """Note a list of matchers."""
        self.entry.is_a("list of matchers")
        return ()

    def file_path(self) -> Path:
        """Note a path."""
        self.entry.is_a("path")
        return Path("file")

    def url(self, schemes: Iterable[str] = ("http", "https")) -> str:
        """Note a URL."""
        self.entry.is_a("URL")
        return "http://unknown.invalid"

    def secret_text(self) -> str:
        """Note a secret."""
        self.entry.is_a("secret")
        return "secret"

    def secret_from_file(self) -> str:
        """Note the file of a secret."""
        self.entry.is_a("path")
        return ""  # so that what stands beside a file is asked for as well


class ExplorerFields(Fields):
    """Keys that are all there, or all not, and note with what default they are read."""

    def __init__(self, owner: Explorer, found: Mapping[str, Explorer], *, there: bool) -> None:
        """``there`` is what ``in`` answers."""
        super().__init__(owner, found)
        self._explorers = found
        self._there = there

    def __contains__(self, name: str) -> bool:
        return self._there and name in self.found

    def read(self, name: str, read: Callable[[Node], T], otherwise: T) -> T:
        """Note the default, and read."""
        explorer = self._explorers[name]
        explorer.entry.default = otherwise
        owner, _, method = getattr(read, "__qualname__", "").partition(".")
        if owner == "Node":  # a method asked for by its class would pass the explorer by
            found: T = getattr(explorer, method)()
            return found
        return read(explorer)

    def required(self, name: str, read: Callable[[Node], T], otherwise: T, why: str) -> T:
        """Note why the key is required, and read."""
        found = self.read(name, read, otherwise)
        self._explorers[name].entry.required = why
        self._explorers[name].entry.default = None
        return found

    def secret(self, name: str) -> str | None:
        """Note a secret and its twin for a file."""
        self._explorers[f"{name}_file"].secret_from_file()
        return self._explorers[name].secret_text()

    def required_secret(self, name: str, why: str) -> str:
        """Note why the secret is required."""
        self._explorers[name].entry.required = why
        return self.secret(name) or ""


def explore() -> Findings:
    """Return every key that the reader of ``responder.yml`` asks for."""
    findings = Findings()
    for optional, value in itertools.product((True, False), ({}, "text")):
        reading = Reading(load("", "(explored)"), Path(), lambda _: "secret")
        _settings(Explorer(reading, (), value, findings, optional).keys(KEYS, RESERVED), {})
    return findings
