"""What the ledger, the slots and the runs say about a playbook and a target, read in one statement."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Row, Text, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.limits import ATTEMPTS_WINDOW, Usage
from responder.domain.runs import RunState
from responder.stores.core.database import Database
from responder.stores.core.types import Path
from responder.stores.schema import ledger, runs, slots

Pair = tuple[str, str]


async def read_usage(
    db: Database, tx: AsyncConnection, pairs: Collection[Pair], since: datetime, *, now: datetime, own: str = ""
) -> dict[Pair, Usage]:
    """Return the usage of each (playbook, target); the reservations, slot and end of the run ``own`` do not count."""
    if not pairs:
        return {}
    names = db.keys([(name,) for name in sorted({playbook for playbook, _ in pairs})])
    targets = db.keys([(name,) for name in sorted({target for _, target in pairs})], (Path,))
    none = literal(0, BigInteger)
    effects = select(
        literal("effect", Text).label("what"), ledger.c.playbook, ledger.c.target, ledger.c.at,
        ledger.c.run_id.label("run"), none.label("seq"),
    ).where(ledger.c.playbook.in_(select(names.c.k0)), ledger.c.at > since)  # fmt: skip
    held = select(
        literal("slot", Text), slots.c.playbook, slots.c.target, slots.c.taken_at, slots.c.run_id, slots.c.seq
    ).where(slots.c.playbook.in_(select(names.c.k0)))
    verified = runs.c.state == RunState.VERIFIED.value
    ends = select(literal("end", Text), runs.c.playbook, runs.c.target, runs.c.finished_at, runs.c.id, none).where(
        runs.c.target.in_(select(targets.c.k0)), runs.c.acted, runs.c.finished_at > min(since, now - ATTEMPTS_WINDOW)
    )
    ended_well = ends.where(verified | (runs.c.kind != "forward"))
    ended_badly = select(
        literal("failure", Text), runs.c.playbook, runs.c.target, runs.c.finished_at, runs.c.id, none
    ).where(
        runs.c.target.in_(select(targets.c.k0)),
        runs.c.acted,
        runs.c.kind == "forward",
        ~verified,
        runs.c.finished_at > min(since, now - ATTEMPTS_WINDOW),
    )
    facts = _Facts(own)
    for row in await tx.execute(union_all(effects, held, ended_well, ended_badly)):
        facts.add(row)
    return {pair: facts.usage(pair, now) for pair in pairs}


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
