"""Episodes whose time has come: each is decided again, as it stands now."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from operator import eq
from typing import Protocol

from responder.decide.slices import CONFLICTS, SLICE, TURN, Decided, Desk, decide_due
from responder.decide.suspects import Suspects
from responder.domain.errors import Conflict, Unavailable
from responder.ports.store import DecideStore, SliceChanges

POISON_BACK_OFF = timedelta(minutes=5)
"""How long an episode is left alone that a fault of ours keeps from being decided."""


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


class DueEpisodes:
    """Decides due episodes; what it cannot decide keeps the others from nothing."""

    def __init__(
        self,
        store: DecideStore,
        desk: Callable[[], Desk],
        emit: Callable[[Decided], None],
        suspects: Suspects,
        on_fact: OnFact,
    ) -> None:
        """``desk`` returns what is in force now; ``emit`` takes what was decided."""
        self._store = store
        self._desk = desk
        self._emit = emit
        self._suspects = suspects
        self._on_fact = on_fact
        self._resting: dict[str, datetime] = {}
        """Until when an episode is left alone of which the store failed."""

    async def turn(self) -> int:
        """Decide what is due, slice by slice; returns how many episodes that were."""
        until = asyncio.get_running_loop().time() + TURN.total_seconds()
        total = 0
        while asyncio.get_running_loop().time() < until:
            done = await self._slice()
            total += done
            if done < SLICE:
                break
            await asyncio.sleep(0)
        return total

    async def _slice(self) -> int:
        for _ in range(CONFLICTS):
            try:
                done = await self._decide(lambda one: one not in self._suspects)
            except Conflict:
                await asyncio.sleep(0.01)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one bad episode must not keep the others from their turn
                self._on_fact("due_slice_failed", error=f"{type(error).__name__}: {error}")
                break
            else:
                return done + (await self._one_by_one(lambda one: one in self._suspects) if self._suspects else 0)
        return await self._one_by_one(lambda _: True)

    async def _decide(self, which: Callable[[str], bool]) -> int:
        ids: list[str] = []
        try:
            async with self._store.slice() as tx:
                episodes = [one for one in await tx.due_episodes(SLICE) if which(one.id)]
                if not episodes:
                    return 0
                ids, now = [one.id for one in episodes], tx.now
                decided = await decide_due(tx, episodes, self._desk())
        except Unavailable:
            self._suspects.strike(ids)
            self._resting |= {one: now + self._suspects.wait(one) for one in ids}
            raise
        self._suspects.clear(ids)
        self._emit(decided)
        return len(episodes)

    async def _one_by_one(self, which: Callable[[str], bool]) -> int:
        async with self._store.slice() as tx:
            due = [one.id for one in await tx.due_episodes(SLICE) if which(one.id)]
            self._resting = {one: until for one, until in self._resting.items() if until > tx.now}
        done = 0
        for one in due:
            if one in self._resting:
                continue
            try:
                done += await self._decide(partial(eq, one))
            except Conflict:
                continue
            except Unavailable as error:
                self._on_fact("episode_failed", episode=one, error=f"{type(error).__name__}: {error}")
                raise
            except Exception as error:  # noqa: BLE001 - put off and reported; the rest goes on
                self._on_fact("episode_failed", episode=one, error=f"{type(error).__name__}: {error}")
                await self._put_off(one)
        return done

    async def _put_off(self, episode_id: str) -> None:
        with contextlib.suppress(Conflict):
            async with self._store.slice() as tx:
                found = [one for one in await tx.due_episodes(SLICE) if one.id == episode_id]
                later = [replace(one, reconsider_at=tx.now + POISON_BACK_OFF) for one in found]
                await tx.write(SliceChanges(episodes=later))
