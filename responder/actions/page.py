"""``page``: call a person, and go on."""

from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.action import Between


class Page(Between):
    """Call a person, where the configuration's `page` goes, and go on with the next step.

    The incident needs a person from then on, until somebody takes it over or the run verifies.
    """

    name: ClassVar[str] = "page"
    does: ClassVar[Literal["wait", "ask", "page", "note"]] = "page"
    example: ClassVar[str] = 'page: { reason: "{{ labels.instance }} is about to be replaced" }\n'

    reason: str = Field(min_length=1, max_length=500, description="why, for whoever is called")

    @property
    def text(self) -> str:
        """What people read of it."""
        return f"page: {self.reason}"
