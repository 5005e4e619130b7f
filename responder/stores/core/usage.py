"""What the ledger, the slots and the runs say about a playbook and a target, read in one statement."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.limits import ATTEMPTS_WINDOW, Usage
from responder.stores.core.database import Database
from responder.stores.core.prepared import USAGE, usage_facts
from responder.stores.core.types import Path

Pair = tuple[str, str]


async def read_usage(
    db: Database, tx: AsyncConnection, pairs: Collection[Pair], since: datetime, *, now: datetime, own: str = ""
) -> dict[Pair, Usage]:
    """Return the usage of each (playbook, target); the reservations, slot and end of the run ``own`` do not count."""
    if not pairs:
        return {}
    since_when = {"since": since, "ended_since": min(since, now - ATTEMPTS_WINDOW)}
    facts = _Facts(own)
    for row in await _rows(db, tx, pairs, since_when):
        facts.add(row)
    return {pair: facts.usage(pair, now) for pair in pairs}


async def _rows(
    db: Database, tx: AsyncConnection, pairs: Collection[Pair], since: Mapping[str, datetime]
) -> Sequence[Row[Any]]:
    if len(pairs) == 1:
        ((playbook, target),) = pairs
        one: Sequence[Row[Any]] = (await tx.execute(USAGE, {**since, "playbook": playbook, "target": target})).all()
        return one
    names = db.keys([(name,) for name in sorted({playbook for playbook, _ in pairs})])
    targets = db.keys([(name,) for name in sorted({target for _, target in pairs})], (Path,))
    statement = usage_facts(
        lambda column: column.in_(select(names.c.k0)), lambda column: column.in_(select(targets.c.k0))
    )
    several: Sequence[Row[Any]] = (await tx.execute(statement, since)).all()
    return several


class _Facts:
    """The rows, sorted into what each usage needs; those of the run ``own`` only say when it took its slot."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._own_seq: int | None = None
        self._effects: dict[str, list[Any]] = defaultdict(list)
        self._slots: dict[str, list[Any]] = defaultdict(list)
        self._ends: dict[str, list[Any]] = defaultdict(list)

    def add(self, row: Row[Any]) -> None:
        if row.run == self._own:
            self._own_seq = row.seq if row.what == "slot" else self._own_seq
        elif row.what == "effect":
            self._effects[row.playbook].append(row)
        elif row.what == "slot":
            self._slots[row.playbook].append(row)
        else:
            self._ends[row.target].append(row)

    def usage(self, pair: Pair, now: datetime) -> Usage:
        playbook, target = pair
        effects = self._effects[playbook]
        ends = self._ends[target]
        # Of two runs that hold slots the earlier one goes: otherwise each would refuse because of the other.
        before = [row for row in self._slots[playbook] if self._own_seq is None or row.seq < self._own_seq]
        failures = [
            row for row in ends if row.what == "failure" and row.playbook == playbook and row.at > now - ATTEMPTS_WINDOW
        ]
        return Usage(
            on_target=tuple(row.at for row in effects if row.target == target),
            by_playbook=tuple(row.at for row in effects),
            running=len(before),
            last_end=max((row.at for row in ends), default=None),
            unsuccessful=len(failures),
        )
