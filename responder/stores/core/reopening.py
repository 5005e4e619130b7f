"""What is asked of people behind an incident that is over: it is open again, or they would not see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.ports.store import Audit
from responder.stores.schema import incidents

Values = dict[str, Any]
_OPEN = {"resolved_at": None, "closed_reason": ""}


@dataclass(frozen=True, slots=True)
class Asking:
    """The latches to be set, with whether their incidents are open, and the other incidents of whom there is news.

    One row of values has it all: a statement of PostgreSQL changes a row only once.
    """

    latches: Sequence[Values]
    about: Sequence[str] = ()
    audit: Sequence[Audit] = ()


async def put_to_people(tx: AsyncConnection, latched: Sequence[Values], known: Mapping[str, Row[Any]]) -> Asking:
    """Return what becomes of ``latched``: there is one open incident of a group at a time.

    Where the group of one that is closed has another one by now, that one asks instead, unless it asks already.
    """
    kept = {one["id"]: {**one, **_as_it_is(known[one["id"]])} for one in latched}
    late = [key for key, one in kept.items() if one["needs_person"] and one["resolved_at"] is not None]
    if not late:
        return Asking(list(kept.values()))
    open_ = await _open(tx, [known[key].group_hash for key in late])
    about: list[str] = []
    audit: list[Audit] = []
    for key in late:
        group = (known[key].group_hash, known[key].team)
        other, asks = open_.get(group, ("", False))
        details = {"reason": kept[key]["needs_person"]}
        if not other:
            kept[key] |= _OPEN
            open_[group] = (key, True)
            audit.append(Audit("incident.reopened", key, details=details))
        elif not asks and other not in kept:
            kept[other] = {**kept.pop(key), **_OPEN, "id": other}
            open_[group] = (other, True)
            about.append(other)
            audit.append(Audit("incident.needs_person", other, details=details))
    return Asking([kept[key] for key in sorted(kept)], about, audit)


def _as_it_is(row: Row[Any]) -> Values:
    return {"resolved_at": row.resolved_at, "closed_reason": row.closed_reason}


async def _open(tx: AsyncConnection, hashes: Sequence[str]) -> dict[tuple[str, str], tuple[str, bool]]:
    """Return the open incident of each group, by its hash and team, and whether it asks for a person already."""
    query = (
        select(incidents.c.id, incidents.c.group_hash, incidents.c.team, incidents.c.needs_person)
        .where(incidents.c.group_hash.in_(sorted(set(hashes))), incidents.c.resolved_at.is_(None))
        .order_by(incidents.c.id)
        .with_for_update()
    )
    return {(row.group_hash, row.team): (row.id, bool(row.needs_person)) for row in await tx.execute(query)}
