"""How many targets there are, as far as the store has heard of them."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, bindparam, func, select

from responder.domain.limits import Scope
from responder.domain.targets import SEPARATOR
from responder.stores.core.database import Database
from responder.stores.core.overlap import NEXT
from responder.stores.core.part import Part
from responder.stores.core.types import Instant
from responder.stores.schema import decisions, episodes, incidents

KNOWN_FOR = timedelta(days=30)
"""A target that no alert was about for longer may be gone: what is gone must not widen what may be changed."""
COUNTED_FOR = timedelta(seconds=30)
"""How long a count of what is known serves. It grows slowly, and one that is too small allows less."""

_SINCE = bindparam("since", type_=Instant())
_NAME = bindparam("name", type_=Text())
_KNOWN = select(func.count(decisions.c.target.distinct())).where(decisions.c.target != "", decisions.c.at > _SINCE)


class PopulationsPart(Part):
    """Counts targets."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        super().__init__(db)
        self._counted: dict[tuple[Scope, str], tuple[datetime, int]] = {}

    async def known_targets(self, of: Scope, name: str) -> int:
        """Count the targets that decisions of the last 30 days were about, in this scope."""
        now = self.now()
        at, count = self._counted.get((of, name), (now, -1))
        if count >= 0 and at <= now < at + COUNTED_FOR:
            return count
        async with self.db.reading() as tx:
            count = await tx.scalar(_known(of, name), {"name": name, "since": now - KNOWN_FOR}) or 0
        self._counted = {key: one for key, one in self._counted.items() if one[0] > now - COUNTED_FOR}
        self._counted[of, name] = now, count
        return count


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
    return (column > path + SEPARATOR) & (column < path + NEXT)
