"""Requests that are no HTTP: every one is counted, a few a minute are logged, so that a port scanner fills no log."""

import time
from collections.abc import Callable

from responder.web.parts import OnFact

LINES, SECONDS = 5, 60.0
"""How many lines are logged in how long."""


class Malformed:
    """Tells of malformed requests; what they hold is never shown, for it may be somebody's password."""

    def __init__(self, on_fact: OnFact, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self._on_fact = on_fact
        self._clock = clock
        self._since = clock()
        self._lines = 0
        self._left_out = 0

    def note(self, remote: str, error: Exception) -> None:
        """Tell of a request from ``remote`` that ``error`` made unreadable."""
        now = self._clock()
        if now - self._since >= SECONDS:
            self._since, self._lines = now, 0
        reason = type(error).__name__
        if self._lines >= LINES:
            self._left_out += 1
            self._on_fact("malformed_request", remote=remote, reason=reason, logged=False)
            return
        self._lines += 1
        left_out, self._left_out = self._left_out, 0
        before = {"left_out": left_out} if left_out else {}
        self._on_fact("malformed_request", remote=remote, reason=reason, **before)
