"""The words of brakes: scopes as people write them, and what a file or a variable says that puts one on.

Whoever writes such a file is in a hurry. Whatever cannot be understood makes the brake wider or stricter, never the
other way round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
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
    """Read what puts a brake on: ``pause`` or ``halt``, scopes and a reason, one a line, each of them optional.

    Without a scope it is everything, without ``halt`` a pause. A line that is neither is taken for the reason, so a
    scope with a slip in it covers everything.
    """
    kind, scopes, reason = "pause", [], []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        first = word.rstrip(":,.!").casefold()
        if first == "halt":
            kind = "halt"
        said = (rest if first in KINDS else line).strip()
        if is_scope(said):
            scopes.append(said)
        elif said:
            reason.append(said)
    return _brakes(kind, scopes, "; ".join(reason), origin)


def unreadable(why: str, origin: Origin) -> tuple[Pause, ...]:
    """Return the brake of what is there and cannot be read: who is unsure does not act."""
    return _brakes("halt", (), f"it cannot be read ({why}), so nothing is changed", origin)


def _brakes(kind: str, scopes: Sequence[str], reason: str, origin: Origin) -> tuple[Pause, ...]:
    each = ("all",) if "all" in scopes or not scopes else tuple(dict.fromkeys(scopes))
    return tuple(
        Pause(f"{origin.source}-{number}", kind, scope, reason[:2000], origin.actor, origin.since, source=origin.source)
        for number, scope in enumerate(each, 1)
    )
