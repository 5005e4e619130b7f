"""``ask``: a person must say yes before the next step."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from responder.ports.action import Between
from responder.ports.inputs import DurationText, at_most, seconds

LONGEST = "7d"


class Ask(Between):
    """Ask a person whether to go on. They answer as for an approval: on the command line, over the API, in Slack.

    Who may answer is what the playbook's `approval.from` says, and `four_eyes` counts as well. On a no, or without an
    answer in time, nothing further is done and what was done is undone; without an answer a person is called, too.
    """

    name: ClassVar[str] = "ask"
    does: ClassVar[Literal["wait", "ask", "page", "note"]] = "ask"
    example: ClassVar[str] = """\
ask:
  question: The cache is off. Do the graphs look right?
  timeout: 15m
"""

    question: str = Field(min_length=1, max_length=500, description="what is asked")
    timeout: Annotated[DurationText, at_most(LONGEST, "the target stays locked meanwhile")] = Field(
        default="30m", description=f"how long an answer is waited for, at most {LONGEST}"
    )

    @property
    def text(self) -> str:
        """What people read of it."""
        return f"ask: {self.question}"

    def lasts(self) -> timedelta:
        """Return how long an answer is waited for."""
        return timedelta(seconds=seconds(self.timeout))
