"""Notices that this process's own brakes come and go: told, written to the audit log, and what waited goes on."""

import asyncio
import contextlib
from collections.abc import Sequence

from responder.domain.errors import StoreError
from responder.domain.limits import Pause
from responder.ports.brakes import BrakeLog, Brakes
from responder.worker import OnFact

LOOK_SECONDS = 0.4
"""More than twice a second. It only says what is so: each transaction looks for itself (stores/core/sight.py)."""
_SOURCES = ("file", "environment")


class BrakeWatch:
    """Looks again and again; what could not be written down is written next time."""

    def __init__(self, brakes: Brakes, log: BrakeLog, on_fact: OnFact) -> None:
        """Nothing was seen yet."""
        self._brakes = brakes
        self._log = log
        self._on_fact = on_fact
        self._seen: tuple[Pause, ...] = ()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._watch(), name="watch brakes")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Tell what has changed since the last look; raises StoreError where that could not be written down."""
        now = tuple(await self._brakes.in_force())
        begun, lifted = _without(now, self._seen), _without(self._seen, now)
        if not begun and not lifted:
            return
        await self._log.brakes_changed(begun, lifted)
        self._seen = now
        for source in _SOURCES:
            changed = [one for one in (*begun, *lifted) if one.source == source]
            if changed:
                there = [one for one in now if one.source == source]
                self._on_fact("brake", source=source, in_force=len(there), told=[one.told for one in there])


def _without(these: Sequence[Pause], others: Sequence[Pause]) -> list[Pause]:
    """Return those that are not among ``others``; that a file was touched makes it no other brake."""
    known = {_what(one) for one in others}
    return [one for one in these if _what(one) not in known]


def _what(pause: Pause) -> tuple[str, str, str, str]:
    return pause.kind, pause.scope, pause.reason, pause.actor
