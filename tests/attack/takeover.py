"""How long it takes until what a replica had claimed is in other hands, and whether a limit held: what a soak measures.

Read from outside: from the rows of the store while it is hurt, and from the target's ledger at the end.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.bed.ledger import Entry
from tests.bed.playbooks import change_item

LIMITED = "limited"
MOST, WINDOW = 10, 60.0
"""Effects that the limited playbook may make within so many seconds."""
SLACK = 10.0
"""The limit counts an effect when it is permitted, the ledger when it lands: at most so many seconds later."""
PLAYBOOK = change_item(LIMITED, limits=f"  per_playbook: {MOST} per 1m\n  cooldown: 0s\n")
BOUND = 35.0
"""Seconds within which everything must be in other hands: a lease, and five more."""
_LOOK = 0.25
_CLAIMED = "SELECT id, attempts, lease_until FROM runs WHERE finished_at IS NULL AND lease_until > clock_timestamp()"
# A claim counts an attempt, and whoever is done sets them to 0. A lease that was ended early is free or shorter.
_STILL = (
    "SELECT id FROM runs JOIN unnest($1::text[], $2::int[], $3::timestamptz[]) AS was(run, attempt, until)"
    " ON id = run AND attempts = attempt"
    " WHERE finished_at IS NULL AND (lease_until IS NULL OR lease_until <= until)"
)


@dataclass(slots=True)
class Takeovers:
    """Watches what was claimed when a replica was hurt, until somebody else has it or its turn has ended."""

    store: str
    longest: float = 0.0
    watched: int = 0
    _under_way: set["asyncio.Task[None]"] = field(default_factory=set)

    def begin(self) -> None:
        """Watch what is claimed at this moment."""
        task = asyncio.create_task(self._watch())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Wait until everything that is watched is in other hands."""
        await asyncio.gather(*self._under_way)

    async def _watch(self) -> None:
        began = time.monotonic()
        held = {str(one): (attempts, until) for one, attempts, until in await self._ask(_CLAIMED)}
        self.watched += len(held)
        while held and time.monotonic() - began < 4 * BOUND:
            self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(_LOOK)
            with contextlib.suppress(asyncpg.PostgresError, OSError):  # the store may be what was hurt
                attempts, until = zip(*held.values(), strict=True)
                still = await self._ask(_STILL, list(held), list(attempts), list(until))
                held = {one: held[one] for (one,) in still}

    async def _ask(self, query: str, *given: object) -> Sequence[Sequence[Any]]:
        connection = await asyncpg.connect(self.store)
        try:
            return [list(row.values()) for row in await connection.fetch(query, *given)]
        finally:
            await connection.close()


def most_at_once(entries: Iterable[Entry], items: Iterable[str], window: float = WINDOW - SLACK) -> int:
    """Return how many forward effects on ``items`` landed within one ``window`` at the most, by the target's ledger."""
    ours = set(items)
    at = sorted(one.ended for one in entries if one.applied and one.key.endswith(":do") and one.name in ours)
    most = first = 0
    for last, ended in enumerate(at):
        while at[first] <= ended - window:
            first += 1
        most = max(most, last - first + 1)
    return most
