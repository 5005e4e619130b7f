"""The store's clock: an anchor and this machine's monotonic clock, so that steps of the wall clock do not reach it."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class AnchoredClock:
    """Reads ``anchor + monotonic time since``; anchoring again corrects drift without ever reading backwards.

    ``disagreement`` is how far the last anchor was from what the clock expected: what a jump of the store's clock
    looks like. ``on_anchor`` hears of each.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read ``monotonic`` (seconds); the clock must be anchored before it is read."""
        self._monotonic = monotonic
        self._anchor: tuple[datetime, float] | None = None
        self._latest: datetime | None = None
        self.disagreement = timedelta()
        self.on_anchor: Callable[[timedelta], None] | None = None

    @property
    def anchored(self) -> bool:
        """Whether the clock can be read."""
        return self._anchor is not None

    def anchor(self, instant: datetime, at: float | None = None) -> None:
        """Take ``instant`` as what it was at the monotonic reading ``at`` (None: now)."""
        at = self._monotonic() if at is None else at
        if self._anchor is not None:
            base, since = self._anchor
            self.disagreement = instant - (base + timedelta(seconds=at - since))
        self._anchor = (instant, at)
        if self.on_anchor is not None:
            self.on_anchor(self.disagreement)

    def now(self) -> datetime:
        """Return the instant; raises RuntimeError before the first anchor."""
        if self._anchor is None:
            msg = "the store is not open"
            raise RuntimeError(msg)
        base, since = self._anchor
        reading = base + timedelta(seconds=self._monotonic() - since)
        if self._latest is not None and reading < self._latest < reading + timedelta(seconds=1):
            return self._latest  # the slack of anchoring, not a jump
        self._latest = reading
        return reading
