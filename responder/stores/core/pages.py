"""Lists for people: plain JSON rows, newest first, with a cursor that survives inserts."""

import base64
import binascii
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json, to_json
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    RowMapping,
    Select,
    Table,
    case,
    exists,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.notification import ASKED_TO_LOOK
from responder.domain.runs import HELPED
from responder.ports.store import Page
from responder.stores import schema
from responder.stores.core.accounts import latest_acknowledgement
from responder.stores.core.rows import OVERDUE
from responder.stores.core.types import Instant

_Item = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class _List:
    """One list: its table, what orders it, its columns by their public names, and which may be filtered by."""

    table: Table
    order: tuple[Any, ...]
    columns: Mapping[str, ColumnElement[Any]]
    filters: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)


def _list(
    table: Table,
    order: Sequence[str],
    names: str,
    renamed: Mapping[str, ColumnElement[Any]],
    **filters: ColumnElement[Any],
) -> _List:
    own: dict[str, ColumnElement[Any]] = {name: table.c[name] for name in names.split()}
    columns = {**own, **renamed}
    simple = {name: one for name, one in columns.items() if not isinstance(one.type, JSON)}
    return _List(table, tuple(table.c[name] for name in order), columns, {**simple, **filters})


_i, _e, _d, _r, _c, _p, _o = (
    schema.incidents.c, schema.episodes.c, schema.decisions.c, schema.runs.c, schema.records.c, schema.pauses.c,
    schema.outbox.c,
)  # fmt: skip
_STATUS = case(
    (_i.resolved_at.is_(None), "open"), else_=case((_i.closed_reason == "", "resolved"), else_=_i.closed_reason)
)
_PAGE_OUT = exists().where(schema.holds.c.incident_id == _i.id, schema.holds.c.state == OVERDUE)
_NEEDS_PERSON = case(
    (_i.needs_person != "", _i.needs_person), (_i.resolved_at.is_(None) & _PAGE_OUT, ASKED_TO_LOOK), else_=""
)
_TOLD = case((exists().where(_o.incident_id == _i.id), "yes"), else_="no")
_BEHIND = case((_o.dead, "dead"), (_o.told_rev < _o.want_rev, "waiting"), else_="told")

LISTS: Mapping[str, _List] = {
    "incidents": _list(
        schema.incidents,
        ("opened_at", "id"),
        "id source receiver group_key group_labels external_url severity team opened_at resolved_at",
        {
            "needs_person": _NEEDS_PERSON.label("needs_person"),
            "status": _STATUS.label("status"),
            "acknowledged_by": latest_acknowledgement(schema.audit.c.actor),
            "acknowledged_at": latest_acknowledgement(schema.audit.c.at),
            "told": _TOLD.label("told"),
        },
    ),
    "episodes": _list(
        schema.episodes,
        ("opened_at", "id"),
        "id source fingerprint state labels annotations generator_url severity starts_at opened_at evidence_at "
        "closed_at closed_reason reconsider_at suppressed missing_since",
        {"incident": _e.incident_id},
    ),
    "deliveries": _list(
        schema.deliveries, ("received_at", "id"), "id source received_at state alerts cursor attempts error due_at", {}
    ),
    "decisions": _list(
        schema.decisions,
        ("at", "id"),
        "id playbook verdict reason target first_at retry_at",
        {"episode": _d.episode_id, "last_at": _d.at, "count": _d.times, "run": _d.run_id},
        incident=select(schema.episodes.c.incident_id)
        .where(schema.episodes.c.id == _d.episode_id)
        .correlate(schema.decisions)
        .scalar_subquery(),
    ),
    "runs": _list(
        schema.runs,
        ("created_at", "id"),
        "id playbook revision target kind state mode severity created_at started_at finished_at deadline due_at "
        "verdict reason of_run stop_by effects caused_by depth",
        {"incident": _r.incident_id, "context": _r.context, "progress": _r.progress},
    ),
    "records": _list(
        schema.records,
        ("created_at", "id"),
        "id step action target arguments before planned observed state evidence message created_at settled_at "
        "undone_at",
        {"run": _c.run_id, "index": _c.place},
    ),
    "pauses": _list(
        schema.pauses, ("created_at", "id"), "id kind scope reason actor created_at until lifted_at lifted_by", {}
    ),
    "approvals": _list(
        schema.approvals,
        ("asked_at", "id"),
        "id plan_hash plan state asked_at expires_at decided_by decided_at comment four_eyes first_by first_at "
        "first_comment",
        {"run": schema.approvals.c.run_id},
    ),
    "audit": _list(schema.audit, ("seq",), "seq at actor action subject details", {}),
    "outbox": _list(
        schema.outbox,
        ("changed_at", "incident_id", "destination"),
        "destination want_rev told_rev attempts error changed_at told_at due_at",
        {"incident": _o.incident_id, "state": _BEHIND.label("state")},
    ),
}


_LABELLED: Mapping[str, tuple[str, Column[Any], Column[Any]]] = {
    "records": ("run", _r.id, _r.context),
    "approvals": ("run", _r.id, _r.context),
    "decisions": ("episode", _e.id, _e.labels),
}
"""Lists whose rows are given labels: by which of their fields, and from where."""
_SERVING: Mapping[tuple[str, str], tuple[Column[Any], Column[Any], Column[Any]]] = {
    ("runs", "episode"): (_r.id, schema.run_episodes.c.run_id, schema.run_episodes.c.episode_id),
}
"""Filters by what belongs to many rows of a list: whose key is in which table, by what."""
_HELPED = frozenset(state.value for state in HELPED)


async def read_page(tx: AsyncConnection, kind: str, filters: Mapping[str, str], limit: int, cursor: str) -> Page:
    """Return one page of ``kind``; raises ValueError for an unknown kind, filter or cursor."""
    if kind not in LISTS:
        msg = f"there is no list {kind!r}; there are {', '.join(LISTS)}"
        raise ValueError(msg)
    spec = LISTS[kind]
    query = select(
        *(one.label(name) for name, one in spec.columns.items()),
        *(one.label(f"_k{place}") for place, one in enumerate(spec.order)),
    ).where(*(_condition(kind, spec, name, value) for name, value in filters.items()))
    if cursor:
        query = query.where(_before(spec, cursor))
    found = (await tx.execute(query.order_by(*(one.desc() for one in spec.order)).limit(limit + 1))).mappings().all()
    items = [{name: _plain(row[name]) for name in spec.columns} for row in found[:limit]]
    await _complete(tx, kind, items)
    following = _cursor(spec, found[limit - 1]) if len(found) > limit else ""
    return Page(items, following)


def _condition(kind: str, spec: _List, name: str, value: str) -> ColumnElement[bool]:
    if (kind, name) in _SERVING:
        own, theirs, by = _SERVING[kind, name]
        return own.in_(select(theirs).where(by == value))
    if name not in spec.filters:
        known = sorted({*spec.filters, *(one for of, one in _SERVING if of == kind)})
        msg = f"{kind} cannot be filtered by {name!r}; there are {', '.join(known)}"
        raise ValueError(msg)
    one = spec.filters[name]
    try:
        typed = _typed(one, value)
    except ValueError as error:
        msg = f"{name}={value!r} is not a value of {kind}.{name}"
        raise ValueError(msg) from error
    return one == typed


def _typed(one: ColumnElement[Any], value: str) -> str | int | bool | datetime:
    if isinstance(one.type, Boolean):
        return value == "true"
    if isinstance(one.type, Integer | BigInteger):
        return int(value)
    if isinstance(one.type, Instant):
        return _instant(value)
    return value


def _instant(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _cursor(spec: _List, row: RowMapping) -> str:
    return base64.urlsafe_b64encode(to_json([_plain(row[f"_k{place}"]) for place in range(len(spec.order))])).decode()


def _before(spec: _List, cursor: str) -> ColumnElement[bool]:
    try:
        values = from_json(base64.urlsafe_b64decode(cursor))
        typed = [_typed(one, str(value)) for one, value in zip(spec.order, values, strict=True)]
    except (ValueError, TypeError, binascii.Error) as error:
        msg = "this cursor is not one that a list gave out"
        raise ValueError(msg) from error
    before: ColumnElement[bool] = tuple_(*spec.order) < tuple_(*typed, types=[one.type for one in spec.order])
    return before


def _plain(value: JsonValue | datetime) -> JsonValue:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


async def _complete(tx: AsyncConnection, kind: str, items: Sequence[_Item]) -> None:
    ids = [str(item["id"]) for item in items if "id" in item]
    if kind == "incidents":
        await _attach(tx, items, "episodes", select(_e.incident_id, _e.id).where(_e.incident_id.in_(ids)))
        await _attach(tx, items, "runs", select(_r.incident_id, _r.id).where(_r.incident_id.in_(ids)))
    elif kind == "runs":
        await _attach_steps(tx, items)
        joined = schema.run_episodes.c
        await _attach(tx, items, "episodes", select(joined.run_id, joined.episode_id).where(joined.run_id.in_(ids)))
    elif kind in _LABELLED:
        await _attach_labels(tx, items, *_LABELLED[kind])


async def _attach_labels(
    tx: AsyncConnection, items: Sequence[_Item], of: str, key: Column[Any], holds: Column[Any]
) -> None:
    """Give what came of an alert its labels, those that templates had: by them it is known what is to be hidden."""
    owners = sorted({str(item[of]) for item in items})
    found = {row[0]: row[1] for row in await tx.execute(select(key, holds).where(key.in_(owners)))}
    for item in items:
        known = found.get(str(item[of]), {})
        item["labels"] = _labels(known) if of == "run" else known


def _labels(context: JsonValue) -> JsonValue:
    return context.get("labels", {}) if isinstance(context, dict) else {}


async def _attach(tx: AsyncConnection, items: Sequence[_Item], name: str, query: Select[Any]) -> None:
    grouped: dict[str, list[JsonValue]] = defaultdict(list)
    for owner, one in await tx.execute(query):
        grouped[owner].append(one)
    for item in items:
        item[name] = sorted(grouped[str(item["id"])], key=str)


async def _attach_steps(tx: AsyncConnection, items: Sequence[_Item]) -> None:
    """Give each run its steps: what was recorded, and what is only planned yet or leaves no record."""
    owners = {str(item["id"]): str(item["of_run"] or item["id"]) for item in items}
    found = await tx.execute(
        select(schema.records)
        .where(_c.run_id.in_(sorted(set(owners.values()))))
        .order_by(_c.place, _c.created_at, _c.id)
    )
    recorded: dict[str, list[Any]] = defaultdict(list)
    for row in found:
        recorded[row.run_id].append(row)
    for item in items:
        item["steps"] = _steps(recorded[owners[str(item["id"])]], item)
        context = item.pop("context")
        item["labels"] = _labels(context)
        item["requested_by"] = context.get("requested_by", "") if isinstance(context, dict) else ""


def _steps(recorded: Sequence[Any], item: _Item) -> list[JsonValue]:
    """Return the steps in the playbook's order, each with the times of its own that are known."""
    progress = item.pop("progress")
    tried = _tried(progress)
    placed: list[tuple[int, JsonValue]] = [
        (
            row.place,
            {
                "id": row.step,
                "action": row.action,
                "state": row.state,
                "before": row.before,
                "after": row.planned if row.observed is None else row.observed,
                "record": row.id,
                "message": row.message or tried.get(row.step, ""),
                "at": _plain(row.created_at),
                "settled_at": _plain(row.settled_at),
                "undone_at": _plain(row.undone_at),
            },
        )
        for row in recorded
    ]
    left = "not_needed" if item["state"] in _HELPED else "planned"
    done = {row.step for row in recorded}
    unchanged, passed = _listed(progress, "unchanged"), _listed(progress, "passed")
    said = {str(one["step"]): one["at"] for one in _listed(progress, "said") if isinstance(one, dict)}
    for place, step in enumerate(_listed(progress, "plan")):
        if isinstance(step, dict) and step["id"] not in done:
            state = "unchanged" if step["id"] in unchanged else left
            state = "done" if step["id"] in passed else state
            own = {"state": state, "at": said.get(str(step["id"]))}
            placed.append((place, {name: step[name] for name in ("id", "action", "before", "after")} | own))
    return [step for _, step in sorted(placed, key=itemgetter(0))]


def _listed(progress: JsonValue, name: str) -> list[JsonValue]:
    found = progress.get(name) if isinstance(progress, dict) else None
    return found if isinstance(found, list) else []


def _tried(progress: JsonValue) -> dict[str, str]:
    """Return what was measured after each step that did not help."""
    each = [one for one in _listed(progress, "tried") if isinstance(one, dict)]
    return {str(one["step"]): f"did not help: {one['reason']}" for one in each}
