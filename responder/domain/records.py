"""Rollback records: how to undo each change, written down before it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

Direction = Literal["do", "undo"]


class RecordState(StrEnum):
    """``intended`` is committed before the effect, the next state after it."""

    INTENDED = "intended"
    NOT_APPLIED = "not_applied"
    APPLIED = "applied"
    UNCERTAIN = "uncertain"
    UNDO_INTENDED = "undo_intended"
    UNDONE = "undone"
    DRIFTED = "drifted"
    UNDO_UNCERTAIN = "undo_uncertain"
    UNDO_FAILED = "undo_failed"


_R = RecordState
RECORD_TRANSITIONS: Mapping[RecordState, frozenset[RecordState]] = {
    _R.INTENDED: frozenset({_R.APPLIED, _R.NOT_APPLIED, _R.UNCERTAIN}),
    # A person's rollback may go on where an automatic one gave up.
    _R.APPLIED: frozenset({_R.UNDO_INTENDED, _R.DRIFTED, _R.UNDO_FAILED}),
    _R.UNCERTAIN: frozenset({_R.APPLIED, _R.NOT_APPLIED}),
    _R.UNDO_INTENDED: frozenset({_R.UNDONE, _R.DRIFTED, _R.UNDO_UNCERTAIN, _R.UNDO_FAILED, _R.APPLIED}),
    _R.UNDO_FAILED: frozenset({_R.UNDO_INTENDED, _R.DRIFTED, _R.UNDONE}),
    _R.UNDO_UNCERTAIN: frozenset({_R.UNDONE, _R.UNDO_INTENDED, _R.UNDO_FAILED, _R.DRIFTED}),
    _R.DRIFTED: frozenset({_R.UNDO_INTENDED}),
    _R.NOT_APPLIED: frozenset(),
    _R.UNDONE: frozenset(),
}
"""From each state to those that may follow it."""


OVER = frozenset({_R.NOT_APPLIED, _R.UNDONE, _R.DRIFTED})
"""States of a record of whose change nothing of ours is left."""

IN_DOUBT = frozenset({_R.INTENDED, _R.UNCERTAIN, _R.UNDO_UNCERTAIN})
"""States of a record of an ended run of which nobody knows whether what was sent last has landed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One step's rollback record.

    ``arguments`` are the action's rendered arguments; the images hold only what the action owns. ``observed`` is what
    the target really showed after the effect. ``fence`` is what the send carries to be refused when stale or repeated
    (an ETag, a resource version), as the snapshot gave it. ``index`` is the step's place in the run.
    """

    id: str
    run_id: str
    index: int
    step: str
    action: str
    target: str
    arguments: Mapping[str, JsonValue]
    before: JsonValue
    planned: JsonValue
    state: RecordState
    created_at: datetime
    fence: str = ""
    observed: JsonValue = None
    evidence: str = ""
    message: str = ""
    settled_at: datetime | None = None
    undone_at: datetime | None = None

    def key(self, direction: Direction) -> str:
        """Return the idempotency key of the effect in ``direction``."""
        return f"{self.id}:{direction}"


def lies_upon(later: Record, earlier: Record) -> bool:
    """Say whether a later change is of what an earlier one has changed: of the same fields of the same target.

    What nobody can tell counts as the same.
    """
    if (later.action, later.target) != (earlier.action, earlier.target):
        return False
    one, other = later.observed or later.planned, earlier.observed or earlier.planned
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return True
    return bool(one.keys() & other.keys())
