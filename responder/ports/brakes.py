"""Brakes that are not in the store: what a process is told by a file beside it or by its environment."""

from collections.abc import Sequence
from typing import Protocol

from responder.domain.limits import Pause


class Brakes(Protocol):
    """This process's own brakes, as they are now."""

    async def in_force(self) -> Sequence[Pause]:
        """Look, and return them; what cannot be looked at is a halt of everything. Never raises."""
        ...


class BrakeLog(Protocol):
    """Where it is kept that a process's own brakes came and went."""

    async def brakes_changed(self, begun: Sequence[Pause], lifted: Sequence[Pause]) -> None:
        """Write both to the audit log, and make due what they affect."""
        ...


class NoBrakes:
    """A process that is told nothing."""

    async def in_force(self) -> Sequence[Pause]:
        """Return none."""
        return ()


NO_BRAKES = NoBrakes()
