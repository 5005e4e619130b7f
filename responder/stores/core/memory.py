"""What this process has committed about effects lately: a server that takes over may have lost the last moments."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from responder.domain.records import Record, RecordState
from responder.domain.runs import Run

SECONDS = 120.0
"""Longer than any standby worth promoting is behind."""

_AFTER = {RecordState.INTENDED: 0, RecordState.APPLIED: 1, RecordState.NOT_APPLIED: 1, RecordState.UNCERTAIN: 1}
_UNDONE = 3


def later(one: RecordState, other: RecordState) -> bool:
    """Say whether a record in state ``one`` is further on its way than in state ``other``."""
    return _place(one) > _place(other)


def _place(state: RecordState) -> int:
    return 2 if state is RecordState.UNDO_INTENDED else _AFTER.get(state, _UNDONE)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A record as it was last committed, by which run as it stood then."""

    run: Run
    record: Record
    seconds: float


class Memory:
    """The records that this process committed in the last ``SECONDS``."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Remember nothing yet."""
        self._monotonic = monotonic
        self._of: dict[str, Remembered] = {}

    def keep(self, committed: Iterable[tuple[Run, Record]]) -> None:
        """Remember what was committed just now."""
        now = self._monotonic()
        for run, record in committed:
            self._of.pop(record.id, None)
            self._of[record.id] = Remembered(run, record, now)
        self._forget(now)

    def recent(self) -> Sequence[Remembered]:
        """Return what is remembered, oldest first."""
        self._forget(self._monotonic())
        return list(self._of.values())

    def _forget(self, now: float) -> None:
        while self._of:
            oldest = next(iter(self._of.values()))
            if oldest.seconds > now - SECONDS:
                return
            del self._of[oldest.record.id]
