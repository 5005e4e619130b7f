"""How many targets there are, as far as the store has heard of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, bindparam, func, literal_column, select

from responder.domain.episodes import EpisodeState
from responder.domain.limits import Scope
from responder.domain.targets import SEPARATOR
from responder.stores.core.database import Database
from responder.stores.core.part import Part
from responder.stores.core.types import Instant
from responder.stores.schema import decisions, episodes, incidents

KNOWN_FOR = timedelta(days=30)
"""A target that no alert was about for longer may be gone: what is gone must not widen what may be changed."""
COUNTED_FOR = timedelta(seconds=30)
"""How long a count of what is known serves. It grows slowly, and one that is too small allows less."""

SICK_FOR = timedelta(seconds=0.2)
"""How long a count of what is sick serves: one statement counts for every run that begins meanwhile."""

SHARE = 10
"""A count that takes long, in a storm, serves for so many times longer."""

_SINCE = bindparam("since", type_=Instant())
_NAME = bindparam("name", type_=Text())
# Counting what is distinct sorts every row, on disk where there are many; making it distinct first does not.
# Measured on PostgreSQL: of 900,000 decisions about 20,000 targets, 0.6 s instead of 2.2 s.
_KNOWN = select(decisions.c.target).distinct().where(decisions.c.target != "", decisions.c.at > _SINCE)
_SICK_TARGETS = (
    select(decisions.c.playbook, decisions.c.target)
    .distinct()
    .select_from(episodes.join(decisions, decisions.c.episode_id == episodes.c.id))
    .where(
        # As the partial index has it, so that closed episodes are not read.
        episodes.c.state != literal_column(f"'{EpisodeState.CLOSED.value}'"),
        episodes.c.state == EpisodeState.OPEN.value,
        episodes.c.suppressed == "",
        decisions.c.target != "",
    )
    .subquery()
)
_SICK = select(_SICK_TARGETS.c.playbook, func.count().label("sick")).group_by(_SICK_TARGETS.c.playbook)


@dataclass(frozen=True, slots=True)
class _Sick:
    """How many targets of each playbook were sick ``at``; it serves ``until``."""

    at: datetime
    until: datetime
    counts: Mapping[str, int]


class PopulationsPart(Part):
    """Counts targets."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        super().__init__(db)
        self._counted: dict[tuple[Scope, str], tuple[datetime, int]] = {}
        self._sick: _Sick | None = None
        self._counting = asyncio.Lock()

    async def known_targets(self, of: Scope, name: str) -> int:
        """Count the targets that decisions of the last 30 days were about, in this scope."""
        now = self.now()
        at, count = self._counted.get((of, name), (now, -1))
        if count >= 0 and at <= now < at + COUNTED_FOR:
            return count
        async with self.db.reading() as tx:
            every = select(func.count()).select_from(_known(of, name).subquery())
            count = await tx.scalar(every, {"name": name, "since": now - KNOWN_FOR}) or 0
        self._counted = {key: one for key, one in self._counted.items() if one[0] > now - COUNTED_FOR}
        self._counted[of, name] = now, count
        return count

    async def sick_targets(self, playbook: str) -> int:
        """Count the targets of a playbook that open alerts are about which nobody has silenced."""
        async with self._counting:  # one counts for all
            began = self.now()
            if self._sick is None or not self._sick.at <= began < self._sick.until:
                async with self.db.reading() as tx:
                    counts = {row.playbook: row.sick for row in await self.db.fetch(tx, _SICK, {})}
                took = max(self.now() - began, timedelta())
                self._sick = _Sick(began, began + max(SICK_FOR, took * SHARE), counts)
            return self._sick.counts.get(playbook, 0)


def _known(of: Scope, name: str) -> Select[Any]:
    match of:
        case "playbook":
            return _KNOWN.where(decisions.c.playbook == _NAME)
        case "team":
            about = decisions.join(episodes, episodes.c.id == decisions.c.episode_id).join(
                incidents, incidents.c.id == episodes.c.incident_id
            )
            return _KNOWN.select_from(about).where(incidents.c.team == _NAME)
        case "owner" | "cluster":
            return _KNOWN.where(_below(decisions.c.target, name))


def _below(column: ColumnElement[str], path: str) -> ColumnElement[bool]:
    """Compare the beginning, not the order: this column is ordered as the database is, which may ignore separators."""
    above = path + SEPARATOR
    return func.substr(column, 1, len(above)) == above
