"""What was found out about an incident beside its alert: shown in its message, added when it is there."""

from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from responder.domain.images import short

LINE, BODY, KEPT = 400, 4000, 40
"""Characters of a finding's line and of its body, and how many findings an incident keeps."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: ``name`` is its own within the incident, its first word says of which kind it is.

    ``text`` is the line for the message, ``body`` what is too long for a line, ``data`` what a picture is drawn from.
    """

    name: str
    at: datetime
    text: str
    body: str = ""
    data: JsonValue = field(default=None)

    @property
    def kind(self) -> str:
        """What sort of thing it is, such as ``diagnose``."""
        return self.name.partition(":")[0]


def bounded(one: Finding) -> Finding:
    """Return it cut to what a message and the store have room for."""
    body = one.body if len(one.body) <= BODY else f"{one.body[: BODY - 1]}…"
    return Finding(one.name[:200], one.at, short(one.text, LINE), body, one.data)
