"""Pace: how often a channel may be called, by everybody who calls it.

What is counted is a key, such as one Slack channel's posts. Losing the count costs a refused call, never a message.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Beat:
    """A call every ``every`` seconds; after a time without any, ``burst`` of them may come at once."""

    every: float
    burst: int = 1


class Pace(Protocol):
    """Gives out turns."""

    async def turn(self, key: str, beat: Beat, patience: float) -> float:
        """Take the next turn and return the seconds until it; when those are more than ``patience``, take none."""
        ...

    async def rest(self, key: str, seconds: float) -> None:
        """Let nobody have a turn before ``seconds`` from now: the channel asked for it."""
        ...
