"""``wait``: let time pass between two steps."""

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.action import Between
from responder.ports.inputs import DurationText, seconds


class Wait(Between):
    """Wait before the next step; the target stays locked. It is a row with a later time: a restart forgets nothing."""

    name: ClassVar[str] = "wait"
    does: ClassVar[Literal["wait", "ask", "page", "note"]] = "wait"
    example: ClassVar[str] = "wait: { for: 2m }\n"

    duration: DurationText = Field(alias="for", description="how long")

    @property
    def text(self) -> str:
        """What people read of it."""
        return f"wait {self.duration}"

    def lasts(self) -> timedelta:
        """Return how long it takes."""
        return timedelta(seconds=seconds(self.duration))
