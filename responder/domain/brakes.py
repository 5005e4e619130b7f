"""The words of brakes: scopes as people write them, and what a file or a variable says that puts one on.

Whoever writes such a file is in a hurry. Whatever cannot be understood makes the brake wider or stricter, never the
other way round.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Literal

from responder.domain.limits import Pause

SCOPES = "all, team:NAME, playbook:NAME, action:KIND, incident:ID or target:PATTERN"
"""The forms of a scope; each name may hold ``*``."""
KINDS = ("pause", "halt")
PAUSE_VARIABLE = "RESPONDER_PAUSE"
"""The environment variable that puts a brake on for as long as the process lives."""
NOT_SAID = frozenset({"", "0", "no", "off", "false"})
"""Values of a variable that say nothing."""
SAID = frozenset({"1", "yes", "on", "true"})
"""Values of a variable that say no more than that everything is paused."""
_SUBJECTS = frozenset({"team", "playbook", "action", "incident", "target"})
_LONGEST_SCOPE = 300
_BETWEEN = re.compile("[,;]")
_ALIKE = 0.75
"""How alike a word before a colon must be to a subject to be a slip of it: ``teams:`` is one, ``see:`` is not."""


def is_scope(text: str) -> bool:
    """Say whether ``text`` is one of ``SCOPES``."""
    subject, _, pattern = text.partition(":")
    known = text == "all" or (subject in _SUBJECTS and bool(pattern.strip()))
    return known and len(text) <= _LONGEST_SCOPE and text.isprintable()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a process's own brake comes from, since when, and who is named for it."""

    source: Literal["file", "environment"]
    actor: str
    since: datetime


def read_brakes(text: str, origin: Origin) -> tuple[Pause, ...]:
    """Read what puts a brake on: ``pause`` or ``halt``, scopes and a reason, in any order, on one line or on several.

    Without a scope it is everything, without ``halt`` a pause. What is neither is taken for the reason; what looks like
    a scope and is none, because of a slip in it, makes the brake cover everything.
    """
    lines = [_read(line) for line in text.splitlines()]
    kind = "halt" if any(line.halts for line in lines) else "pause"
    scopes = [scope for line in lines for scope in line.scopes]
    return _brakes(kind, scopes, "; ".join(line.reason for line in lines if line.reason), origin)


@dataclass(frozen=True, slots=True)
class _Line:
    """What one line says."""

    halts: bool
    scopes: tuple[str, ...]
    reason: str


def _read(line: str) -> _Line:
    words = line.split()
    halts = any(_bare(word) == "halt" for word in words)
    said = _without_kinds(words)
    scopes = [scope for word in said for scope in _scopes_of(word)]
    subject, _, rest = " ".join(said).partition(":")
    name = f"{subject.casefold()}:{rest}"
    if len(said) > 1 and is_scope(name) and not any(_scopes_of(word) for word in said[1:]):
        # A name may hold spaces: nobody can tell it from a scope and a reason, so it is both.
        scopes.append(name)
    addressed = len(said) < len(words) or bool(scopes) or len(said) == 1
    everything = addressed and bool(said) and "all" in {_bare(said[0]), _bare(said[-1])}
    reason = " ".join(word for word in said if not _is_understood(word) and not (everything and _bare(word) == "all"))
    return _Line(halts, ("all",) if everything else tuple(scopes), reason)


def _without_kinds(words: Sequence[str]) -> list[str]:
    """Return the words of a line without ``pause`` and ``halt`` at its beginning and its end."""
    left = list(words)
    while left and _bare(left[0]) in KINDS:
        del left[0]
    while left and _bare(left[-1]) in KINDS:
        del left[-1]
    return left


def _bare(word: str) -> str:
    return word.strip(":,;.!()\"'").casefold()


def _is_understood(word: str) -> bool:
    found = _scopes_of(word)
    return bool(found) and "all" not in found


def _scopes_of(word: str) -> tuple[str, ...]:
    """Return the scopes in one word: ``all`` for one with a slip in it, none when it is no scope at all."""
    found: list[str] = []
    for part in (word.rstrip(",;"), *_BETWEEN.split(word)):
        subject, colon, pattern = part.partition(":")
        scope = f"{subject.casefold()}:{pattern}"
        if subject.casefold() in _SUBJECTS and is_scope(scope):
            found += [scope, scope.rstrip(".!")]
        elif colon and get_close_matches(subject.casefold(), _SUBJECTS, n=1, cutoff=_ALIKE):
            found.append("all")
    return tuple(dict.fromkeys(found))


def unreadable(why: str, origin: Origin) -> tuple[Pause, ...]:
    """Return the brake of what is there and cannot be read: who is unsure does not act."""
    return _brakes("halt", (), f"it cannot be read ({why}), so nothing is changed", origin)


def _brakes(kind: str, scopes: Sequence[str], reason: str, origin: Origin) -> tuple[Pause, ...]:
    each = ("all",) if "all" in scopes or not scopes else tuple(dict.fromkeys(scopes))
    return tuple(
        Pause(f"{origin.source}-{number}", kind, scope, reason[:2000], origin.actor, origin.since, source=origin.source)
        for number, scope in enumerate(each, 1)
    )
