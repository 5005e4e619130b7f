"""What reconciling needs of the store: what it holds of a source, to be compared with what the source shows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from responder.domain.episodes import Episode, EpisodeState, Group


@dataclass(frozen=True, slots=True)
class Held:
    """An episode that is not closed, as far as it is compared with what its source shows."""

    id: str
    fingerprint: str
    state: EpisodeState
    evidence_at: datetime
    suppressed: str
    missing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Cut:
    """A group that a delivery cut short ``at`` an instant."""

    group: Group
    at: datetime


class Reconciling(Protocol):
    """Reads only; what comes of it goes through the inbox, as everything that a source says."""

    async def its_turn(self, chore: str, every: timedelta) -> bool:
        """Say whether ``chore`` is due, and take it: of all replicas one hears yes, once in ``every``."""
        ...

    async def held_of(self, source: str, after: str, limit: int) -> Sequence[Held]:
        """Return open and late episodes of a source in the order of fingerprints, from behind the one ``after``."""
        ...

    async def in_groups(self, ids: Collection[str]) -> Sequence[tuple[Episode, Group]]:
        """Return those of these episodes that are not closed, each with the group of its incident."""
        ...

    async def cut_groups(self, source: str, limit: int) -> Sequence[Cut]:
        """Return the groups of a source that were cut short, the oldest first."""
        ...

    async def completed(self, cuts: Collection[Cut]) -> None:
        """Forget that these groups were cut short, unless that has happened again since."""
        ...
