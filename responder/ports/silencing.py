"""Alertmanagers as targets: what they show, and silences that begin and end."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from responder.language.matchers import Matcher


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence as Alertmanager shows it; ``alive`` until it has expired."""

    id: str
    matchers: frozenset[tuple[str, str, str]]
    comment: str
    created_by: str
    ends_at: datetime
    alive: bool


def written(matchers: Sequence[Matcher]) -> frozenset[tuple[str, str, str]]:
    """Return matchers as they can be compared: name, operator and value."""
    return frozenset((one.name, one.op, one.value) for one in matchers)


class Silencing(Protocol):
    """One configured Alertmanager. Reads raise Temporary, or Permanent for what it refuses."""

    def behind(self, gate: Callable[[], Awaitable[None]]) -> "Silencing":
        """Return it with a gate that each change passes."""
        ...

    async def counts(self, filters: Sequence[str]) -> Mapping[str, int]:
        """Return how many alerts there are by what it shows of them; ``filters`` are matchers."""
        ...

    async def peers(self) -> int:
        """Return how many members its cluster has, itself included; 0 for one that is in none."""
        ...

    async def silences(self) -> tuple[Silence, ...]:
        """Return every silence that it remembers, those that are over too."""
        ...

    async def silence(self, matchers: Sequence[Matcher], ends_at: datetime, comment: str) -> None:
        """Begin a silence, once.

        Raises Permanent when it refuses, Temporary when it cannot be reached, Uncertain when there is no answer.
        """
        ...

    async def expire(self, silence: str) -> None:
        """End a silence; raises as ``silence`` does."""
        ...
