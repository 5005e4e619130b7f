"""The pace of one process (``ports.pace``), and how a client keeps to it."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from responder.domain.errors import NotYet
from responder.ports.pace import Beat, Pace

REMEMBERED = 10_000
PATIENCE_SECONDS = 5.0
"""How long a call waits for its turn; a longer wait is for the outbox: what is told then is how it stands then."""


class LocalPace:
    """Turns in this process: nobody else is asked."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with every key free."""
        self._monotonic = monotonic
        self._free_at: dict[str, float] = {}

    async def turn(self, key: str, beat: Beat, patience: float) -> float:
        """Take the next turn of ``key``, if it comes soon enough."""
        return self.take(key, beat, patience)

    async def rest(self, key: str, seconds: float) -> None:
        """Let nobody here have a turn before ``seconds`` from now."""
        self.hold(key, seconds)

    def take(self, key: str, beat: Beat, patience: float) -> float:
        """Do what ``turn`` does, without waiting for anybody."""
        now = self._monotonic()
        at = max(self._free_at.get(key, 0.0), now - (beat.burst - 1) * beat.every)
        wait = max(0.0, at - now)
        if wait <= patience:
            self._keep(key, at + beat.every)
        return wait

    def hold(self, key: str, seconds: float) -> None:
        """Do what ``rest`` does, without waiting for anybody."""
        self._keep(key, max(self._free_at.get(key, 0.0), self._monotonic() + seconds))

    def _keep(self, key: str, free_at: float) -> None:
        self._free_at.pop(key, None)
        self._free_at[key] = free_at
        if len(self._free_at) > REMEMBERED:
            del self._free_at[next(iter(self._free_at))]


async def await_turn(pace: Pace, key: str, beat: Beat, patience: float = PATIENCE_SECONDS) -> None:
    """Wait for the next turn of ``key``; raises NotYet, and takes none, when it comes later than ``patience``."""
    wait = await pace.turn(key, beat, patience)
    if wait > patience:
        raise NotYet("it is paced: its turn comes later", retry_after=timedelta(seconds=wait))
    if wait > 0:
        await asyncio.sleep(wait)
