"""Modes: how far a playbook may go by itself."""

from collections.abc import Iterable
from enum import StrEnum


class Mode(StrEnum):
    """From doing nothing to acting alone; the strictest of playbook, policies and ``max_mode`` wins."""

    DISABLED = "disabled"
    OBSERVE = "observe"
    APPROVE = "approve"
    AUTO = "auto"

    @property
    def reach(self) -> int:
        """0 for disabled to 3 for auto."""
        return list(Mode).index(self)


def strictest(modes: Iterable[Mode]) -> Mode:
    """Return the mode that allows the least."""
    return min(modes, key=lambda mode: mode.reach)
