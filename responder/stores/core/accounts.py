"""Everything about incidents, in one go."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, ScalarSelect, Select, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.notification import PRESS_REFUSED, PRESSED, Account, Acknowledgement, Click
from responder.domain.runs import FORMAT
from responder.stores.core import rows
from responder.stores.core.database import Database
from responder.stores.schema import approvals, audit, decisions, episodes, holds, incidents, records, runs

T = TypeVar("T")
ACKNOWLEDGED = "incident.acknowledged"
CLICKS = 20
"""So many of the latest clicks are told."""
_CLICKED = (PRESSED, PRESS_REFUSED)


def latest_acknowledgement(column: ColumnElement[T]) -> ScalarSelect[T]:
    """Return a column of the latest entry in the audit log by which a person took the incident over."""
    entry = audit.alias()
    return (
        select(entry.c[str(column.key)])
        .where(entry.c.subject == incidents.c.id, entry.c.action == ACKNOWLEDGED)
        .order_by(entry.c.seq.desc())
        .limit(1)
        .correlate(incidents)
        .scalar_subquery()
    )


class AccountStatements:
    """The statements over one kind of database; each is about the incidents ``incidents_given(key)``."""

    def __init__(self, db: Database) -> None:
        """Build each statement when it is first needed."""
        self._db = db

    def _of(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return self._db.among(column, "incidents_given")

    def _runs(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return self._db.within(column, select(runs.c.id).where(self._of(runs.c.incident_id)))

    @cached_property
    def incidents(self) -> Select[Any]:
        """The incidents, whether their page is overdue, and who took them over."""
        overdue = exists().where(holds.c.incident_id == incidents.c.id, holds.c.state == rows.OVERDUE)
        return select(
            incidents,
            overdue.label("overdue"),
            # Each by the index on the subject: joined, the whole log might be read for them.
            latest_acknowledgement(audit.c.actor).label("acknowledged_by"),
            latest_acknowledgement(audit.c.at).label("acknowledged_at"),
            exists()
            .where(audit.c.subject == incidents.c.id, audit.c.action.in_(_CLICKED))
            .correlate(incidents)
            .label("clicked"),
        ).where(self._of(incidents.c.id))

    @cached_property
    def episodes(self) -> Select[Any]:
        """Their episodes."""
        return select(episodes).where(self._of(episodes.c.incident_id)).order_by(episodes.c.opened_at, episodes.c.id)

    @cached_property
    def runs(self) -> Select[Any]:
        """Their runs, as far as this program can read them."""
        its = self._of(runs.c.incident_id) & (runs.c.format <= FORMAT)
        return select(runs).where(its).order_by(runs.c.created_at, runs.c.id)

    @cached_property
    def records(self) -> Select[Any]:
        """The records of their runs."""
        in_order = (records.c.created_at, records.c.place, records.c.id)
        return select(records).where(self._runs(records.c.run_id)).order_by(*in_order)

    @cached_property
    def decisions(self) -> Select[Any]:
        """The decisions about their episodes, with the incident of each."""
        its = self._db.within(decisions.c.episode_id, select(episodes.c.id).where(self._of(episodes.c.incident_id)))
        return select(decisions).where(its).order_by(decisions.c.first_at, decisions.c.id)

    @cached_property
    def clicks(self) -> Select[Any]:
        """What was pressed on their messages."""
        wanted = self._of(audit.c.subject) & audit.c.action.in_(_CLICKED)
        return select(audit).where(wanted).order_by(audit.c.seq)

    @cached_property
    def approvals(self) -> Select[Any]:
        """The questions that their runs asked."""
        return select(approvals).where(self._runs(approvals.c.run_id)).order_by(approvals.c.asked_at, approvals.c.id)


async def read_accounts(
    db: Database, statements: AccountStatements, tx: AsyncConnection, ids: Collection[str]
) -> Mapping[str, Account]:
    """Return incidents with all that belongs to them; those that are no longer there are left out."""
    given = db.give("incidents_given", key=sorted(set(ids)))
    heads = await db.fetch(tx, statements.incidents, given)
    of_run = _grouped(
        [rows.run(one) for one in await db.fetch(tx, statements.runs, given)], lambda run: run.incident_id
    )
    every = [run for its in of_run.values() for run in its]
    of_episode = _grouped(
        [rows.episode(one) for one in await db.fetch(tx, statements.episodes, given)], lambda one: one.incident_id
    )
    home = {run.id: run.incident_id for run in every}
    home |= {one.id: one.incident_id for its in of_episode.values() for one in its}
    made = [rows.record(one) for one in await db.fetch(tx, statements.records, given)] if every else []
    made = [one for one in made if one.run_id in home]
    asked = any(run.progress.asked for run in every)
    questions = [rows.approval(one) for one in await db.fetch(tx, statements.approvals, given)] if asked else []
    questions = [one for one in questions if one.run_id in home]
    clicked = any(head.clicked for head in heads)
    of_click = _grouped(await db.fetch(tx, statements.clicks, given) if clicked else [], lambda one: str(one.subject))
    taken = [rows.decision(one) for one in await db.fetch(tx, statements.decisions, given)]
    # Each statement sees what was committed before it: what belongs to a later run or episode comes with the next look.
    taken = [one for one in taken if one.episode_id in home]
    of_record = _grouped(made, lambda one: home[one.run_id])
    of_question = _grouped(questions, lambda one: home[one.run_id])
    of_decision = _grouped(taken, lambda one: home[one.episode_id])
    return {
        row.id: Account(
            incident=rows.incident(row),
            episodes=tuple(of_episode[row.id]),
            runs=tuple(of_run[row.id]),
            records=tuple(of_record[row.id]),
            decisions=tuple(of_decision[row.id]),
            approvals=tuple(of_question[row.id]),
            overdue=row.overdue,
            acknowledged=row.acknowledged_at and Acknowledgement(row.acknowledged_by, row.acknowledged_at),
            clicks=tuple(_click(one) for one in of_click[row.id][-CLICKS:]),
        )
        for row in heads
    }


def _click(row: Any) -> Click:  # noqa: ANN401 - a row
    why = str(row.details.get("why") or "") if row.action == PRESS_REFUSED else ""
    return Click(str(row.seq), row.actor, row.at, str(row.details.get("button", "")), why)


def _grouped(every: Iterable[T], key: Callable[[T], str]) -> Mapping[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for one in every:
        found[key(one)].append(one)
    return found
