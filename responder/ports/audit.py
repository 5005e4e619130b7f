"""The audit log's entries: each is written in the transaction of what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

CHANGE, CHANGES = "change.announced", "changes"
"""The action and the subject of the entries that hold what others have changed."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One transition, for the audit log. ``actor`` is ``responder`` or a person's name."""

    action: str
    subject: str
    actor: str = "responder"
    details: Mapping[str, JsonValue] = field(default_factory=dict)
