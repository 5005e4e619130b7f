"""Named commands: an argv with places for values. A value stays inside its own argument; no shell ever reads it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from responder.language.matchers import searcher

USUAL_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ")
"""What a command sees of our own environment unless it says otherwise."""
PLACE = re.compile(r"\{\{ *([a-z][a-z0-9_]*) *\}\}")
LONGEST_VALUE = 1000
"""Characters: a label that is longer names nothing that a command is for."""


@dataclass(frozen=True, slots=True)
class Codes:
    """What exit codes mean. Any other one, and an end by a signal or by its timeout, is unknown.

    ``nothing``: there was nothing to do. ``failed``: it did certainly nothing.
    """

    success: frozenset[int] = frozenset({0})
    nothing: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Job:
    """Something to run: exactly this argv, in a folder, with some of our own environment, as a user, for so long.

    ``landed`` is run to ask whether it is done: 0 is yes, 1 is no, all else is unknown. ``output`` bytes are kept of
    what it says.
    """

    argv: tuple[str, ...]
    folder: str = "/"
    environment: tuple[str, ...] = USUAL_ENVIRONMENT
    user: str = ""
    seconds: float = 30
    output: int = 16_384
    codes: Codes = Codes()
    landed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A configured command. ``parameters`` are its values by name, each with the regular expression that it must fit.

    ``hosts`` are those that it may run on; none: every one.
    """

    name: str
    argv: tuple[str, ...]
    undo: tuple[str, ...] = ()
    landed: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()
    usual: Job = Job(())

    def job(self, values: Mapping[str, str], direction: str = "do") -> Job:
        """Return what is to be run, or what undoes it. Raises ValueError when a value is missing or does not fit."""
        self._check(values)
        argv = self.argv if direction == "do" else self.undo
        if not argv:
            raise ValueError(f"the command {self.name} has no undo")
        return replace(self.usual, argv=_filled(argv, values), landed=_filled(self.landed, values))

    def _check(self, values: Mapping[str, str]) -> None:
        if unknown := sorted(values.keys() - self.parameters.keys()):
            known = ", ".join(self.parameters) or "none"
            raise ValueError(f"the command {self.name} has no parameter {unknown[0]} (it has: {known})")
        for name, pattern in self.parameters.items():
            if name not in values:
                raise ValueError(f"the command {self.name} needs the parameter {name}")
            value = values[name]
            if len(value) > LONGEST_VALUE or not value.isprintable() or not searcher(pattern)(value):
                raise ValueError(f"{name} is {value[:60]!r}, which does not fit {pattern}")


def places(argv: Sequence[str]) -> frozenset[str]:
    """Return the names of the values that an argv has places for."""
    return frozenset(name for part in argv for name in PLACE.findall(part))


def _filled(argv: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Put the values in; raises ValueError when one would make an option of what is an operand."""
    filled = []
    for part in argv:
        text = PLACE.sub(lambda found: values[found[1]], part)
        if text.startswith("-") and not part.startswith("-"):
            raise ValueError(f"{text[:60]!r} would be read as an option")
        filled.append(text)
    return tuple(filled)
