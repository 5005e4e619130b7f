"""``wait``: let time pass between two steps."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from responder.ports.action import Between
from responder.ports.inputs import DurationText, at_most, seconds

LONGEST = "24h"


class Wait(Between):
    """Wait before the next step; the target stays locked. It is a row with a later time: a restart forgets nothing."""

    name: ClassVar[str] = "wait"
    does: ClassVar[Literal["wait", "ask", "page", "note"]] = "wait"
    example: ClassVar[str] = "wait: { for: 2m }\n"

    duration: Annotated[DurationText, at_most(LONGEST, "the target stays locked meanwhile")] = Field(
        alias="for", description=f"how long, at most {LONGEST}"
    )

    @property
    def text(self) -> str:
        """What people read of it."""
        return f"wait {self.duration}"

    def lasts(self) -> timedelta:
        """Return how long it takes."""
        return timedelta(seconds=seconds(self.duration))
