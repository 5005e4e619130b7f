"""How long it takes until what a replica had claimed is in other hands, and whether a limit held: what a soak measures.

Read from outside: from the rows of the store while it is hurt, and from the target's ledger at the end.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
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
STORE_AWAY = "PostgreSQL restart"
"""Takes what everybody holds, which may be nothing: the turns that it cuts short end by themselves."""
_LOOK = 0.25
_LIFE = "life/"
_CLAIMED = (
    "SELECT id, holder, epoch FROM runs"
    " WHERE finished_at IS NULL AND lease_until > clock_timestamp() AND ($1 = '' OR holder <> $1)"
)
# A claim names its holder and raises the epoch, as taking a claim away does; whoever is done sets its attempts to 0.
_STILL = (
    "SELECT id FROM runs JOIN unnest($1::text[], $2::text[], $3::int[]) AS was(run, life, taken) ON id = run"
    " WHERE finished_at IS NULL AND holder = life AND attempts > 0 AND epoch < taken + 2"
)


@dataclass(frozen=True, slots=True)
class Hurt:
    """What was done to whom: a replica died or was frozen, or everybody's store was away."""

    what: str
    held: int
    longest: float

    def __str__(self) -> str:
        """Tell it for the line to quote."""
        return f"{self.what} with {self.held} runs held: {self.longest:.1f} s"


@dataclass(slots=True)
class Takeovers:
    """Watches what was claimed when a replica was hurt, until somebody else has taken it up or its turn has ended.

    ``lasting`` is the life of the replica that is never hurt, as the store has it.
    """

    store: str
    lasting: str = ""
    seen: list[Hurt] = field(default_factory=list)
    _under_way: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def longest(self) -> float:
        """The seconds from a death, or a freeze, to the first action of a successor on a run that was held."""
        return max((one.longest for one in self.seen), default=0.0)

    async def know(self) -> None:
        """Learn the life of the only replica that runs."""
        [[key]] = await self._ask("SELECT key FROM meta WHERE key LIKE $1 || '%'", _LIFE)
        self.lasting = str(key).removeprefix(_LIFE)

    async def held(self) -> int:
        """Return how many runs the other replica has under way."""
        return len(await self._ask(_CLAIMED, self.lasting))

    async def begin(self, what: str, since: float, *, by_all: bool = False) -> None:
        """Watch what the replica that was hurt at ``since`` (monotonic) has claimed, or ``by_all`` of them."""
        claimed = await self._ask(_CLAIMED, "" if by_all else self.lasting)
        task = asyncio.create_task(self._watch(what, since, claimed))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Wait until everything that is watched is in other hands."""
        await asyncio.gather(*self._under_way)

    async def _watch(self, what: str, since: float, claimed: Sequence[Sequence[Any]]) -> None:
        held, longest = {str(run): (run, life, epoch) for run, life, epoch in claimed}, 0.0
        while held and time.monotonic() - since < 4 * BOUND:
            await asyncio.sleep(_LOOK)
            with contextlib.suppress(asyncpg.PostgresError, OSError):  # the store may be what was hurt
                still = await self._ask(_STILL, *map(list, zip(*held.values(), strict=True)))
                longest = time.monotonic() - since
                held = {run: held[run] for (run,) in still}
        self.seen.append(Hurt(what, len(claimed), time.monotonic() - since if held else longest))

    async def _ask(self, query: str, *given: object) -> Sequence[Sequence[Any]]:
        connection = await asyncpg.connect(self.store)
        try:
            return [list(row.values()) for row in await connection.fetch(query, *given)]
        finally:
            await connection.close()


def too_late(seen: Iterable[Hurt]) -> Iterator[str]:
    """Go through what waited longer than it may, and the deaths that show nothing since nothing was held."""
    for one in seen:
        if one.longest > BOUND:
            yield f"{one}, and {BOUND:.0f} s are allowed"
        if not one.held and one.what != STORE_AWAY:
            yield f"{one.what}: nothing was held, so that nothing was shown"


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
