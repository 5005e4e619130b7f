"""What the ledger, the slots and the runs say about playbooks and targets, read in one statement."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.limits import ATTEMPTS_WINDOW, Usage
from responder.stores.core.database import Database
from responder.stores.core.prepared import Prepared

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Effect:
    """One forward effect, made or reserved."""

    target: str
    at: datetime
    run: str


class Facts:
    """The rows, sorted into what each usage needs; ``book`` adds what a transaction is about to write."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._effects: dict[str, list[Effect]] = defaultdict(list)
        self._slots: dict[str, list[Row[Any]]] = defaultdict(list)
        self._ends: dict[str, list[Row[Any]]] = defaultdict(list)

    def add(self, row: Row[Any]) -> None:
        """Take one row of the statement ``Prepared.usage``."""
        if row.what == "effect":
            self.book(row.playbook, Effect(row.target, row.at, row.run))
        elif row.what == "slot":
            self._slots[row.playbook].append(row)
        else:
            self._ends[row.target].append(row)

    def book(self, playbook: str, effect: Effect) -> None:
        """Count an effect."""
        self._effects[playbook].append(effect)

    def usage(self, pair: Pair, now: datetime, own: str = "") -> Usage:
        """Return the usage of one (playbook, target); what the run ``own`` reserved, holds or ended does not count."""
        playbook, target = pair
        effects = [one for one in self._effects[playbook] if one.run != own]
        ends = [row for row in self._ends[target] if row.run != own]
        held = self._slots[playbook]
        own_seq = next((row.seq for row in held if row.run == own), None)
        # Of two runs that hold slots the earlier one goes: otherwise each would refuse because of the other.
        before = [row for row in held if row.run != own and (own_seq is None or row.seq < own_seq)]
        failures = [
            row for row in ends if row.what == "failure" and row.playbook == playbook and row.at > now - ATTEMPTS_WINDOW
        ]
        return Usage(
            on_target=tuple(one.at for one in effects if one.target == target),
            by_playbook=tuple(one.at for one in effects),
            running=len(before),
            last_end=max((row.at for row in ends), default=None),
            unsuccessful=len(failures),
        )


async def read_facts(
    db: Database,
    prepared: Prepared,
    tx: AsyncConnection,
    used: Mapping[str, datetime],
    ended: Mapping[str, datetime],
) -> Facts:
    """Read the effects of the playbooks ``used`` and the ends on the targets ``ended``, each since its instant."""
    facts = Facts()
    if used:
        given = {
            "used_given": db.packed({"playbook": name, "since": since} for name, since in sorted(used.items())),
            "ended_given": db.packed({"target": name, "since": since} for name, since in sorted(ended.items())),
        }
        for row in await tx.execute(prepared.usage, given):
            facts.add(row)
    return facts
