"""The statements of a decide transaction, built once: putting one together costs more than executing it.

What differs from slice to slice are parameters. Keys are looked up in a list (``Database.among``) and not joined with
a relation: by the statistics of a table that has just grown, a join may read all of it once for each key.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    union,
    update,
)

from responder.domain.episodes import HOLDS_OPEN, EpisodeState
from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from responder.stores.core import rows
from responder.stores.core.database import Database
from responder.stores.core.overlap import near
from responder.stores.core.types import Instant
from responder.stores.schema import HOLDS_INCIDENT, deliveries, episodes, incidents, run_episodes, runs

TOUCHED = ("starts_at", "evidence_at", "reconsider_at", "after", "severity", "generator_url")
"""What an alert that is merely heard of again changes of its episode."""
_NOW = bindparam("now", type_=Instant())
_ABOUT_TO_ASK = ("awaiting_approval", "checking", "ready", "resolving")


class SliceStatements:
    """Every statement of a slice but those that only insert rows; the names of their parameters are in each."""

    def __init__(self, db: Database) -> None:
        """Spell them for ``db``."""
        self.episodes_by_key = _episodes_by_key(db)
        self.due_episodes = (
            select(episodes)
            .where(episodes.c.state != EpisodeState.CLOSED.value, episodes.c.reconsider_at <= _NOW)
            .order_by(episodes.c.reconsider_at)
            .limit(bindparam("most", type_=Integer()))
            .with_for_update(skip_locked=True)
        )
        self.incidents = _incidents(db)
        self.others = _others(db)
        self.unfinished = (
            select(runs.c.incident_id, func.count())
            .where(db.among(runs.c.incident_id, "incidents"), HOLDS_INCIDENT)
            .group_by(runs.c.incident_id)
        )
        served = select(run_episodes.c.run_id).where(db.among(run_episodes.c.episode_id, "episodes"))
        ended_lately = runs.c.acted & (runs.c.finished_at > bindparam("touched_since", type_=Instant()))
        of_interest = [runs.c.finished_at.is_(None), ended_lately]  # an index for each: not one condition with "or"
        self.runs_of_episodes = _run_facts(db, served)
        around = [one for which in of_interest for one in near(db, runs, runs.c.id, where=which)]
        self.runs_near = _run_facts(db, union(*around, served))
        self.joined_runs = (
            select(runs.c.id, runs.c.state)
            .where(db.among(runs.c.id, "joined"))
            .order_by(runs.c.id)
            .with_for_update()
        )  # fmt: skip
        self.about_to_ask = select(runs.c.id).where(
            runs.c.id.in_(select(run_episodes.c.run_id).where(db.among(run_episodes.c.episode_id, "ended"))),
            or_(runs.c.state.in_(_ABOUT_TO_ASK), _waits_between()),
        )
        self.progress = _progress(db)


def _waits_between() -> ColumnElement[bool]:
    """Say whether a run waits or asks between two steps: with its alert that is over."""
    asks = runs.c.progress["asking"].as_string() != literal_column("''")
    waits = runs.c.progress["pausing"]["until"].as_string().is_not(None)
    return and_(runs.c.state == literal_column(f"'{RunState.ACTING.value}'"), or_(asks, waits))


def _episodes_by_key(db: Database) -> Select[Any]:
    wanted = db.given("keys", source=Text(), fingerprint=Text())
    other = episodes.alias()
    latest = (
        select(other.c.id)
        .where(other.c.source == wanted.c.source, other.c.fingerprint == wanted.c.fingerprint)
        .order_by(other.c.closed_at.desc().nulls_first())
        .limit(1)
        .correlate(wanted)
        .scalar_subquery()
    )
    return (
        select(episodes)
        .select_from(wanted.join(episodes, episodes.c.id == latest))
        .order_by(episodes.c.id)
        .with_for_update(of=episodes)
    )


def _incidents(db: Database) -> Select[Any]:
    of_groups = select(incidents.c.id).where(
        db.among(incidents.c.group_hash, "hashes"), incidents.c.resolved_at.is_(None)
    )
    return (
        select(incidents)
        .where(db.within(incidents.c.id, union(of_groups, select(db.given("ids", key=Text()).c.key))))
        .order_by(incidents.c.id)
        .with_for_update(of=incidents)
    )


def _others(db: Database) -> Select[Any]:
    """For each of ``incidents(key)`` the worst rank of its open episodes but ``known(key)``, and its unfinished runs.

    An incident may have tens of thousands of alerts: none of them is returned, nor locked; whoever changes one holds
    its incident. The counts must not be older than the hold on the incidents: a run that ended while they were waited
    for would count as unfinished, and nobody would close the incident.
    """
    given = db.given("incidents", key=Text())
    worst = (
        select(func.min(rows.urgency(episodes.c.severity)))
        .where(
            episodes.c.incident_id == given.c.key,
            episodes.c.state.in_(sorted(one.value for one in HOLDS_OPEN)),
            episodes.c.id.not_in(select(db.given("known", key=Text()).c.key)),
        )
        .correlate(given)
        .scalar_subquery()
    )
    working = (
        select(func.count()).where(runs.c.incident_id == given.c.key, HOLDS_INCIDENT).correlate(given).scalar_subquery()
    )
    return select(given.c.key.label("about"), working.label("working"), worst.label("rank"))


def _run_facts(db: Database, wanted: Select[Any] | CompoundSelect[Any]) -> Select[Any]:
    back = runs.alias("back")
    taken_back = exists(select(back.c.id).where(back.c.of_run == runs.c.id, back.c.of_run != ""))
    # A question behind a change that nobody answers is a no as well: each try changes the target while it is asked.
    unanswered = and_(runs.c.verdict == Verdict.APPROVAL_EXPIRED.value, runs.c.acted)
    stopped = and_(runs.c.stop_by != "", runs.c.kept_at.is_(None))  # what is kept a stop lets stay
    no = or_(stopped, runs.c.verdict == Verdict.REJECTED.value, unanswered, taken_back)
    return (
        select(
            runs.c.id, runs.c.playbook, runs.c.target, runs.c.state, runs.c.created_at, runs.c.finished_at,
            runs.c.kept_at, runs.c.effects, runs.c.acted, runs.c.started_at, runs.c.depth, run_episodes.c.episode_id,
            runs.c.progress["left_alone_until"].as_string().label("left_alone_until"),
            no.label("declined"),
        )
        .select_from(runs.outerjoin(run_episodes, run_episodes.c.run_id == runs.c.id))
        .where(db.within(runs.c.id, wanted))
        .order_by(runs.c.created_at, runs.c.id)
    )  # fmt: skip


def _progress(db: Database) -> Any:  # noqa: ANN401 - SQLAlchemy's type of an UPDATE that returns says no more
    given = db.given("progress", id=Text(), epoch=Integer(), cursor=Integer(), state=Text(), error=Text())
    return (
        update(deliveries)
        .where(deliveries.c.id == given.c.id, deliveries.c.epoch == given.c.epoch)
        .values(
            cursor=given.c.cursor,
            state=given.c.state,
            error=given.c.error,
            attempts=0,
            lease_until=case((given.c.state == "waiting", bindparam("leased_until", type_=Instant())), else_=None),
        )
        .returning(deliveries.c.id)
    )
