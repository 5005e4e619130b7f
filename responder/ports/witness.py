"""What the senders show when they are asked: an Alertmanager knows what is silenced, inhibited or gone by now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from responder.domain.alerts import Alert
from responder.domain.episodes import Group
from responder.domain.errors import Permanent

FRESH_SECONDS = 5.0
"""Older evidence starts no effect (engine.md, ``checking``); so long one answer serves everybody who asks."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The alerts that a source shows, by fingerprint.

    ``read_at`` is when it was asked, in monotonic seconds: what it shows may have changed since then.
    """

    alerts: Mapping[str, Alert]
    read_at: float


class Witness(Protocol):
    """The sources that can be asked. Every method raises StepError when there is no answer that can be understood."""

    @property
    def sources(self) -> Collection[str]:
        """The names of the sources that can be asked."""
        ...

    async def picture(self, source: str, within: float | None = None) -> Picture:
        """Return what the source shows, asked within the last so many seconds (None: ``FRESH_SECONDS``)."""
        ...

    async def group(self, group: Group) -> Sequence[Alert]:
        """Return the alerts of one group as its source shows them now."""
        ...

    async def silences_of(self, source: str, run_id: str) -> Collection[str]:
        """Return the ids of the silences that a run has made there."""
        ...

    async def uptime(self, source: str) -> timedelta:
        """Return how long the source has been up, by its own clock."""
        ...


class NoWitness:
    """Stands in where no source can be asked."""

    sources: Collection[str] = ()

    async def picture(self, source: str, within: float | None = None) -> Picture:
        """Refuse: there is nobody to ask."""
        raise Permanent(f"the source {source} has no api_url")

    async def group(self, group: Group) -> Sequence[Alert]:
        """Refuse: there is nobody to ask."""
        raise Permanent(f"the source {group.source} has no api_url")

    async def silences_of(self, source: str, run_id: str) -> Collection[str]:
        """Refuse: there is nobody to ask."""
        raise Permanent(f"the source {source} has no api_url")

    async def uptime(self, source: str) -> timedelta:
        """Refuse: there is nobody to ask."""
        raise Permanent(f"the source {source} has no api_url")


NOBODY = NoWitness()
"""No source can be asked: what they say by themselves is all there is."""
