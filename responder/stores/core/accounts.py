"""What is to be told about incidents, in one go; of a large one, what matters most, and how much more there is."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    Table,
    Text,
    case,
    exists,
    func,
    literal_column,
    select,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.episodes import Episode, EpisodeState
from responder.domain.notification import PRESS_REFUSED, PRESSED, Account, Acknowledgement, Beyond, Click
from responder.domain.runs import FORMAT, Run, RunState
from responder.domain.verdicts import Verdict
from responder.stores.core import rows
from responder.stores.core.database import Database
from responder.stores.schema import (
    approvals,
    audit,
    decisions,
    episodes,
    findings,
    holds,
    incidents,
    records,
    run_episodes,
    runs,
)

T = TypeVar("T")
EPISODES, RUNS = 200, 50
"""So many alerts and runs of an incident are read whole: a message shows a few of them, its thread some dozens."""
ACKNOWLEDGED = "incident.acknowledged"
_OPEN: ColumnElement[str] = literal_column(f"'{EpisodeState.OPEN.value}'")
_TELLS: ColumnElement[bool] = runs.c.verdict.is_(None) | (runs.c.verdict != Verdict.JOINED.value)
"""A run whose alerts went to another one before it began has nothing to tell."""
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

    def _first(self, table: Table, most: int, *order: ColumnElement[Any]) -> Select[Any]:
        """Return the ids of the first rows of each incident in an order, and how many it has in all."""
        of_incident = table.c.incident_id
        place = func.row_number().over(partition_by=of_incident, order_by=(*order, table.c.id)).label("place")
        every = select(table.c.id, place).where(self._of(of_incident)).subquery()
        return select(every.c.id).where(every.c.place <= most)

    @cached_property
    def incidents(self) -> Select[Any]:
        """The incidents, how much belongs to them, whether their page is overdue, and who took them over."""
        overdue = exists().where(holds.c.incident_id == incidents.c.id, holds.c.state == rows.OVERDUE)
        its = episodes.c.incident_id == incidents.c.id
        readable = (runs.c.incident_id == incidents.c.id) & (runs.c.format <= FORMAT) & _TELLS
        return select(
            incidents,
            _count(episodes, its).label("episodes"),
            _count(episodes, its & (episodes.c.state == _OPEN)).label("firing"),
            _count(runs, readable).label("runs"),
            overdue.label("overdue"),
            # Each by the index on the subject: joined, the whole log might be read for them.
            latest_acknowledgement(audit.c.actor).label("acknowledged_by"),
            latest_acknowledgement(audit.c.at).label("acknowledged_at"),
            exists()
            .where(audit.c.subject == incidents.c.id, audit.c.action.in_(_CLICKED))
            .correlate(incidents)
            .label("clicked"),
            exists().where(findings.c.incident_id == incidents.c.id).correlate(incidents).label("looked"),
        ).where(self._of(incidents.c.id))

    @cached_property
    def episodes(self) -> Select[Any]:
        """Their first episodes: what fires and nobody has silenced, the most severe, the oldest."""
        open_first = case((episodes.c.state == _OPEN, 0), else_=1)
        known = case((episodes.c.suppressed == literal_column("''"), 0), else_=1)
        first = self._first(
            episodes, EPISODES, open_first, known, rows.urgency(episodes.c.severity), episodes.c.opened_at
        )
        return (
            select(episodes).where(self._db.within(episodes.c.id, first)).order_by(episodes.c.opened_at, episodes.c.id)
        )

    @cached_property
    def ends(self) -> Select[Any]:
        """In which states the latest runs are that served the open episodes of an incident, the ``known`` left out."""
        serving = runs.alias("serving")
        last = (
            select(serving.c.state)
            .select_from(run_episodes.join(serving, serving.c.id == run_episodes.c.run_id))
            .where(
                run_episodes.c.episode_id == episodes.c.id,
                serving.c.incident_id == episodes.c.incident_id,
                serving.c.kind == "forward",
                serving.c.state != RunState.SKIPPED.value,
            )
            .order_by(serving.c.created_at.desc(), serving.c.id.desc())
            .limit(1)
            .correlate(episodes)
            .scalar_subquery()
        )
        known = select(self._db.given("known", key=Text()).c.key)
        return (
            select(episodes.c.incident_id, last.label("state"))
            .where(self._of(episodes.c.incident_id), episodes.c.state == _OPEN, episodes.c.id.not_in(known))
            .distinct()
        )

    @cached_property
    def runs(self) -> Select[Any]:
        """Their latest runs, as far as this program can read them: those that are not over, and the one that asks."""
        asks = select(incidents.c.needs_person_run).where(self._of(incidents.c.id))
        over = case((runs.c.finished_at.is_(None), 0), else_=1)
        joined = case((runs.c.verdict == Verdict.JOINED.value, 1), else_=0)
        first = self._first(runs, RUNS, joined, over, runs.c.created_at.desc())
        its = self._db.within(runs.c.id, union(first, asks)) & self._of(runs.c.incident_id)
        return select(runs).where(its, runs.c.format <= FORMAT, _TELLS).order_by(runs.c.created_at, runs.c.id)

    @cached_property
    def records(self) -> Select[Any]:
        """The records of the runs ``runs_read(key)``."""
        in_order = (records.c.created_at, records.c.place, records.c.id)
        return select(records).where(self._db.among(records.c.run_id, "runs_read")).order_by(*in_order)

    @cached_property
    def decisions(self) -> Select[Any]:
        """The decisions about the episodes ``episodes_read(key)``."""
        its = self._db.among(decisions.c.episode_id, "episodes_read")
        return select(decisions).where(its).order_by(decisions.c.first_at, decisions.c.id)

    @cached_property
    def clicks(self) -> Select[Any]:
        """What was pressed on their messages."""
        wanted = self._of(audit.c.subject) & audit.c.action.in_(_CLICKED)
        return select(audit).where(wanted).order_by(audit.c.seq)

    @cached_property
    def findings(self) -> Select[Any]:
        """What was found out about them."""
        return select(findings).where(self._of(findings.c.incident_id)).order_by(findings.c.name)

    @cached_property
    def approvals(self) -> Select[Any]:
        """The questions that the runs ``runs_read(key)`` asked."""
        its = self._db.among(approvals.c.run_id, "runs_read")
        return select(approvals).where(its).order_by(approvals.c.asked_at, approvals.c.id)


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
    known = db.give("runs_read", key=sorted(home))
    made = [rows.record(one) for one in await db.fetch(tx, statements.records, known)] if every else []
    asked = any(run.progress.asked for run in every)
    questions = [rows.approval(one) for one in await db.fetch(tx, statements.approvals, known)] if asked else []
    about = {one.id: one.incident_id for its in of_episode.values() for one in its}
    home |= about
    known = db.give("episodes_read", key=sorted(about))
    taken = [rows.decision(one) for one in await db.fetch(tx, statements.decisions, known)] if about else []
    clicked = any(head.clicked for head in heads)
    of_click = _grouped(await db.fetch(tx, statements.clicks, given) if clicked else [], lambda one: str(one.subject))
    looked = any(head.looked for head in heads)
    of_finding = _grouped(await db.fetch(tx, statements.findings, given) if looked else [], lambda one: one.incident_id)
    # Each statement sees what was committed before it: what belongs to a later run or episode comes with the next look.
    beyond = await _beyond(db, statements, tx, [(row, of_episode[row.id], of_run[row.id]) for row in heads])
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
            beyond=beyond[row.id],
            acknowledged=row.acknowledged_at and Acknowledgement(row.acknowledged_by, row.acknowledged_at),
            findings=tuple(rows.finding(one) for one in of_finding[row.id]),
            clicks=tuple(_click(one) for one in of_click[row.id][-CLICKS:]),
        )
        for row in heads
    }


def _click(row: Any) -> Click:  # noqa: ANN401 - a row
    why = str(row.details.get("why") or "") if row.action == PRESS_REFUSED else ""
    return Click(str(row.seq), row.actor, row.at, str(row.details.get("button", "")), why)


async def _beyond(
    db: Database,
    statements: AccountStatements,
    tx: AsyncConnection,
    heads: Sequence[tuple[Row[Any], Sequence[Episode], Sequence[Run]]],
) -> Mapping[str, Beyond]:
    """Return what was not read of each incident: nothing of most."""
    found: dict[str, Beyond] = {}
    for row, read, its in heads:
        firing = sum(one.state is EpisodeState.OPEN for one in read)
        left = Beyond(
            episodes=max(0, row.episodes - len(read)),
            firing=max(0, row.firing - firing) if len(read) >= EPISODES else 0,
            runs=max(0, row.runs - len(its)),
        )
        if left.firing:
            given = db.give("incidents_given", key=[row.id]) | db.give("known", key=sorted(one.id for one in read))
            ends = {end.state for end in await db.fetch(tx, statements.ends, given)}
            left = replace(left, ends=frozenset(rows.state(end, over=False) if end else None for end in ends))
        found[row.id] = left
    return found


def _count(table: Table, which: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(which).correlate(incidents).scalar_subquery()


def _grouped(every: Iterable[T], key: Callable[[T], str]) -> Mapping[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for one in every:
        found[key(one)].append(one)
    return found
