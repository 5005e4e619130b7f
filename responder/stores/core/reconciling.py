"""Reconciling: what the store holds of a source, and whose turn it is to compare it with what the source shows."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, Row, Select, Text, bindparam, literal_column, select

from responder.domain.episodes import Episode, EpisodeState, Group
from responder.ports.reconciling import Cut, Held
from responder.stores.core import rows
from responder.stores.core.database import Database, Gone, Order
from responder.stores.core.part import Part
from responder.stores.schema import episodes, incidents, meta, truncated

_CURRENT = episodes.c.state != literal_column(f"'{EpisodeState.CLOSED.value}'")
"""Spelt out, as in the index that has only these."""
_HELD_OF: Select[Any] = (
    select(
        episodes.c.id, episodes.c.fingerprint, episodes.c.state, episodes.c.evidence_at,
        episodes.c.suppressed, episodes.c.missing_since,
    )
    .where(
        episodes.c.source == bindparam("of", type_=Text()),
        _CURRENT,
        episodes.c.fingerprint > bindparam("behind", type_=Text()),
    )
    .order_by(episodes.c.fingerprint)
    .limit(bindparam("most", type_=Integer()))
)  # fmt: skip
_CUT_GROUPS = (
    select(truncated)
    .where(truncated.c.source == bindparam("of", type_=Text()))
    .order_by(truncated.c.at)
    .limit(bindparam("most", type_=Integer()))
)


class ReconcilingPart(Part):
    """Reads what reconciling compares; only marks are written here."""

    def __init__(self, db: Database) -> None:
        """Build the statements."""
        super().__init__(db)
        group = (incidents.c.receiver, incidents.c.group_key, incidents.c.group_labels, incidents.c.external_url)
        self._in_groups = (
            select(episodes, *group)
            .select_from(episodes.join(incidents, incidents.c.id == episodes.c.incident_id))
            .where(db.among(episodes.c.id, "wanted"), _CURRENT)
            .order_by(episodes.c.id)
        )

    async def its_turn(self, chore: str, every: timedelta) -> bool:
        """Take a chore's turn; of all replicas one hears yes, once in ``every``."""
        now = self.now()
        # ISO 8601 in UTC: texts compare as the instants do.
        taken = self.db.insert(meta).values(key=f"turn/{chore}", value=now.isoformat())
        taken = taken.on_conflict_do_update(
            index_elements=["key"],
            set_={"value": taken.excluded.value},
            where=meta.c.value <= (now - every).isoformat(),
        )
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            return (await tx.execute(taken.returning(meta.c.key))).first() is not None

    async def held_of(self, source: str, after: str, limit: int) -> Sequence[Held]:
        """Return the open and late episodes of a source, from behind the fingerprint ``after``."""
        given = {"of": source, "behind": after, "most": limit}
        async with self.db.reading() as tx:
            return [_held(row) for row in await tx.execute(_HELD_OF, given)]

    async def in_groups(self, ids: Collection[str]) -> Sequence[tuple[Episode, Group]]:
        """Return those of these episodes that are not closed, each with the group of its incident."""
        wanted = self.db.give("wanted", key=sorted(ids))
        async with self.db.reading() as tx:
            return [
                (
                    rows.episode(row),
                    Group(row.source, row.receiver, row.group_key, row.group_labels, row.external_url),
                )
                for row in await tx.execute(self._in_groups, wanted)
            ]

    async def cut_groups(self, source: str, limit: int) -> Sequence[Cut]:
        """Return the groups of a source that were cut short, the oldest first."""
        async with self.db.reading() as tx:
            return [
                Cut(Group(row.source, row.receiver, row.group_key, row.group_labels, row.external_url), row.at)
                for row in await tx.execute(_CUT_GROUPS, {"of": source, "most": limit})
            ]

    async def completed(self, cuts: Collection[Cut]) -> None:
        """Forget that these groups were cut short, unless that has happened again since."""
        async with self.db.writing(Order.HOUSEKEEPING) as tx:
            await self.db.write_rows(tx, [Gone(truncated, [_key(cut) for cut in cuts])])


def _held(row: Row[Any]) -> Held:
    state = EpisodeState(row.state)
    return Held(row.id, row.fingerprint, state, row.evidence_at, row.suppressed, row.missing_since)


def _key(cut: Cut) -> dict[str, Any]:
    group = cut.group
    return {"group_hash": rows.group_hash(group.source, group.receiver, group.group_key), "at": cut.at}
