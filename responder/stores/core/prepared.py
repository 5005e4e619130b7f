"""The statements of runs' turns, built once: putting one together costs more than executing it.

Each serves any number of runs at once. What differs from one call to the next are parameters: a relation that
``Database.given`` names, packed by ``Database.packed``.
"""

from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Delete,
    FromClause,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    union,
    union_all,
    update,
)
from sqlalchemy.sql.selectable import CompoundSelect

from responder.domain.episodes import HOLDS_OPEN, EpisodeState
from responder.domain.runs import RunState
from responder.stores.core.database import Database
from responder.stores.core.types import Instant, Path
from responder.stores.schema import (
    approvals,
    audit,
    episodes,
    incidents,
    ledger,
    outbox,
    pauses,
    quarantines,
    records,
    run_episodes,
    runs,
    slots,
)

NOW = bindparam("now", type_=Instant())
WRITE_AUDIT = insert(audit)
_NONE = literal("", Text)

SIGNS = union_all(
    select(
        literal("pause", Text).label("sign"), pauses.c.id, pauses.c.kind, pauses.c.scope, pauses.c.reason,
        pauses.c.actor, pauses.c.created_at, pauses.c.until,
    ).where(pauses.c.lifted_at.is_(None), pauses.c.until.is_(None) | (pauses.c.until > NOW)),
    select(
        literal("quarantine", Text), quarantines.c.target, _NONE, _NONE, quarantines.c.reason, _NONE,
        quarantines.c.at, null(),
    ),
)  # fmt: skip
"""The pauses in force and the targets in doubt; both are few."""


def due_when_marked(now: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return when an outbox row that is marked is due: never before the time it has, a gap, a pace or a back-off."""
    return case(((outbox.c.want_rev > outbox.c.told_rev) | (outbox.c.due_at > now), outbox.c.due_at), else_=now)


class Prepared:
    """The statements over one kind of database.

    Most read their runs from ``runs_given(id)``. Those that lock do it in the order of keys, so that two transactions
    never wait for each other in a circle.
    """

    def __init__(self, db: Database) -> None:
        """Build each statement when it is first needed."""
        self._db = db
        self._runs: FromClause = db.given("runs_given", id=Text())

    def _of(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return column.in_(select(self._runs.c.id))

    @cached_property
    def held(self) -> Select[Any]:
        """The runs' rows, locked."""
        columns = (
            runs.c.id, runs.c.state, runs.c.epoch, runs.c.stop_by, runs.c.nudged, runs.c.started_at, runs.c.finished_at
        )  # fmt: skip
        return select(*columns).where(self._of(runs.c.id)).order_by(runs.c.id).with_for_update()

    @cached_property
    def joined(self) -> Select[Any]:
        """For each run whether an episode that it serves is open, and its last evidence and closing."""
        is_open = case((episodes.c.state == EpisodeState.OPEN.value, 1), else_=0)
        # A closed episode's evidence says nothing about now.
        evidence = case((episodes.c.state == EpisodeState.OPEN.value, episodes.c.evidence_at), else_=None)
        return (
            select(
                run_episodes.c.run_id,
                func.sum(is_open).label("open"),
                func.max(evidence, type_=Instant).label("evidence_at"),
                func.max(episodes.c.closed_at, type_=Instant).label("closed_at"),
            )
            .select_from(run_episodes.join(episodes, episodes.c.id == run_episodes.c.episode_id))
            .where(self._of(run_episodes.c.run_id))
            .group_by(run_episodes.c.run_id)
        )

    @cached_property
    def slots_near(self) -> CompoundSelect[Any]:
        """The slots at and above ``names_given(name)`` and in ``ranges_given(low, high)``."""
        names = self._db.given("names_given", name=Path)
        ranges = self._db.given("ranges_given", low=Path, high=Path)
        columns = (slots.c.target, slots.c.run_id, slots.c.seq)
        return union(
            select(*columns).where(slots.c.target == names.c.name),
            select(*columns).where(slots.c.target > ranges.c.low, slots.c.target < ranges.c.high),
        )

    @cached_property
    def latest_slots(self) -> Select[Any]:
        """The latest number of a slot of each of ``playbooks_given(name)``."""
        names = self._db.given("playbooks_given", name=Text())
        return (
            select(slots.c.playbook, func.max(slots.c.seq).label("seq"))
            .where(slots.c.playbook.in_(select(names.c.name)))
            .group_by(slots.c.playbook)
        )

    @cached_property
    def records(self) -> Select[Any]:
        """The runs' records, in the order in which they were made."""
        return (
            select(records)
            .where(self._of(records.c.run_id))
            .order_by(records.c.created_at, records.c.place, records.c.id)
        )

    @cached_property
    def asked(self) -> Select[Any]:
        """The runs' questions that were not taken back, the latest first."""
        return (
            select(approvals)
            .where(self._of(approvals.c.run_id), approvals.c.state != "void")
            .order_by(approvals.c.asked_at.desc(), approvals.c.id.desc())
        )

    @cached_property
    def booked(self) -> CompoundSelect[Any]:
        """The runs' entries in the ledger, and the states of ``records_given(id)``."""
        given = self._db.given("records_given", id=Text())
        return union_all(
            select(literal("entry", Text).label("what"), ledger.c.id, ledger.c.run_id, ledger.c.record_id).where(
                self._of(ledger.c.run_id)
            ),
            select(literal("record", Text), records.c.id, records.c.run_id, records.c.state).where(
                records.c.id.in_(select(given.c.id))
            ),
        )

    @cached_property
    def usage(self) -> CompoundSelect[Any]:
        """Effects and slots of ``used_given(playbook, since)``, and ends on ``ended_given(target, since)``."""
        used = self._db.given("used_given", playbook=Text(), since=Instant())
        ended = self._db.given("ended_given", target=Path, since=Instant())
        none = literal(0, BigInteger)
        effects = select(
            literal("effect", Text).label("what"), ledger.c.playbook, ledger.c.target, ledger.c.at,
            ledger.c.run_id.label("run"), none.label("seq"),
        ).where(ledger.c.playbook == used.c.playbook, ledger.c.at > used.c.since)  # fmt: skip
        held = select(
            literal("slot", Text), slots.c.playbook, slots.c.target, slots.c.taken_at, slots.c.run_id, slots.c.seq
        ).where(slots.c.playbook == used.c.playbook)
        well = (runs.c.state == RunState.VERIFIED.value) | (runs.c.kind != "forward")
        what = case((well, literal("end", Text)), else_=literal("failure", Text))
        ends = select(what, runs.c.playbook, runs.c.target, runs.c.finished_at, runs.c.id, none).where(
            runs.c.target == ended.c.target, runs.c.acted, runs.c.finished_at > ended.c.since
        )
        return union_all(effects, held, ends)

    @cached_property
    def lock_episodes(self) -> Select[Any]:
        """The episodes that the runs serve, locked."""
        served = select(run_episodes.c.episode_id).where(self._of(run_episodes.c.run_id))
        return (
            select(episodes.c.id, episodes.c.state, episodes.c.after)
            .where(episodes.c.id.in_(served))
            .order_by(episodes.c.id)
            .with_for_update()
        )

    @cached_property
    def served(self) -> Select[Any]:
        """Which episodes the runs serve."""
        return select(run_episodes.c.run_id, run_episodes.c.episode_id).where(self._of(run_episodes.c.run_id))

    @cached_property
    def lock_incidents(self) -> Select[Any]:
        """The incidents ``incidents_given(id)``, locked."""
        given = self._db.given("incidents_given", id=Text())
        return (
            select(incidents.c.id, incidents.c.needs_person, incidents.c.needs_person_run)
            .where(incidents.c.id.in_(select(given.c.id)))
            .order_by(incidents.c.id)
            .with_for_update()
        )

    @cached_property
    def free_slots(self) -> Delete:
        """Give back the runs' slots."""
        return delete(slots).where(self._of(slots.c.run_id))

    @cached_property
    def free_budgets(self) -> Delete:
        """Give back what the runs reserved and did not use."""
        return delete(ledger).where(self._of(ledger.c.run_id), ledger.c.record_id == "")

    @cached_property
    def unbook(self) -> Update:
        """Make the entries of ``records_given(id)`` reservations again."""
        given = self._db.given("records_given", id=Text())
        return update(ledger).where(ledger.c.record_id.in_(select(given.c.id))).values(record_id="")

    @cached_property
    def void_approvals(self) -> Update:
        """Take back the runs' questions that are open, and their answers that are unspent."""
        return (
            update(approvals)
            .where(self._of(approvals.c.run_id), approvals.c.state.in_(["pending", "approved"]))
            .values(state="void")
        )

    @cached_property
    def close_if_over(self) -> Update:
        """Close those of ``incidents_given(id)`` without an open episode, an unfinished run or a need for a person.

        Their rows are locked before, so that of two last runs that end at once the second one sees the first.
        """
        given = self._db.given("incidents_given", id=Text())
        an_episode = select(episodes.c.id).where(
            episodes.c.incident_id == incidents.c.id, episodes.c.state.in_(sorted(one.value for one in HOLDS_OPEN))
        )
        a_run = select(runs.c.id).where(runs.c.incident_id == incidents.c.id, runs.c.finished_at.is_(None))
        return (
            update(incidents)
            .where(
                incidents.c.id.in_(select(given.c.id)),
                incidents.c.resolved_at.is_(None),
                incidents.c.needs_person == "",
                ~exists(an_episode),
                ~exists(a_run),
            )
            .values(resolved_at=NOW, closed_reason="resolved")
            .returning(incidents.c.id)
        )

    @cached_property
    def mark_dirty(self) -> Update:
        """Raise what is wanted of every destination of ``incidents_given(id)``."""
        given = self._db.given("incidents_given", id=Text())
        locked = (
            select(outbox.c.incident_id, outbox.c.destination)
            .where(outbox.c.incident_id.in_(select(given.c.id)))
            .order_by(outbox.c.incident_id, outbox.c.destination)
            .with_for_update()
            .subquery("locked")
        )
        return (
            update(outbox)
            .where(and_(outbox.c.incident_id == locked.c.incident_id, outbox.c.destination == locked.c.destination))
            .values(want_rev=outbox.c.want_rev + 1, changed_at=NOW, due_at=due_when_marked(NOW))
        )
