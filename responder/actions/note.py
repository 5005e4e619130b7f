"""``note``: write something down for people, and go on."""

from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.action import Between


class Note(Between):
    """Write a line into the incident's thread and the audit log."""

    name: ClassVar[str] = "note"
    does: ClassVar[Literal["wait", "ask", "page", "note"]] = "note"
    example: ClassVar[str] = 'note: { text: "{{ labels.service }} goes through the old pool from here on" }\n'

    text_: str = Field(alias="text", min_length=1, max_length=500, description="what is written")

    @property
    def text(self) -> str:
        """What people read of it."""
        return self.text_
