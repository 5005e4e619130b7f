"""The statements of runs' turns, built once: putting one together costs more than executing it.

Each serves any number of runs at once. What differs from one call to the next are parameters: a relation that
``Database.given`` names, packed by ``Database.give``.
"""

from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    union,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.selectable import CompoundSelect

from responder.domain.episodes import EpisodeState
from responder.domain.runs import FORMAT, RunState
from responder.stores.core import rows
from responder.stores.core.accounts import AccountStatements
from responder.stores.core.claims import HOLDER, NOW, claim_of
from responder.stores.core.database import Database, Insert
from responder.stores.core.incident_statements import IncidentStatements
from responder.stores.core.overlap import near
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

READABLE = runs.c.format <= literal_column(str(FORMAT), Integer)
"""Runs that no newer program has written."""
END_OTHER, END_WELL, END_BADLY = range(3)
"""How a run ended that acted: as a rollback, so that it helped, or so that it did not."""
WRITE_AUDIT = insert(audit)
_WORD: ColumnElement[str] = literal_column("''", Text)
_NUMBER: ColumnElement[int] = literal_column("0", BigInteger)


def _seen(
    what: str,
    *words: ColumnElement[Any],
    number: ColumnElement[Any] = _NUMBER,
    at: ColumnElement[Any] | None = None,
    at2: ColumnElement[Any] | None = None,
) -> Select[Any]:
    """Return rows of one shape for all kinds of facts, so that one statement reads them all."""
    none = cast(null(), Instant())
    every = [*words, *[_WORD] * (len(_NAMES) - len(words))]
    return select(
        literal_column(f"'{what}'", Text).label("what"),
        *(word.label(name) for name, word in zip(_NAMES, every, strict=True)),
        number.label("number"),
        (none if at is None else at).label("at"),
        (none if at2 is None else at2).label("at2"),
    )


_NAMES = "abcde"
_PAUSES = _seen(
    "pause", pauses.c.id, pauses.c.kind, pauses.c.scope, pauses.c.reason, pauses.c.actor,
    at=pauses.c.created_at, at2=pauses.c.until,
).where(pauses.c.lifted_at.is_(None), pauses.c.until.is_(None) | (pauses.c.until > NOW))  # fmt: skip
_DOUBTS = _seen("doubt", quarantines.c.target, quarantines.c.reason)

SIGNS = union_all(_PAUSES, _DOUBTS)
"""The pauses in force and the targets in doubt; both are few."""


def due_when_marked(now: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return when an outbox row that is marked is due: never before the time it has, a gap, a pace or a back-off."""
    return case(((outbox.c.want_rev > outbox.c.told_rev) | (outbox.c.due_at > now), outbox.c.due_at), else_=now)


class Prepared:
    """The statements over one kind of database.

    Most read their runs from ``runs_given(key)``. Those that lock do it in the order of keys, so that two transactions
    never wait for each other in a circle.
    """

    def __init__(self, db: Database) -> None:
        """Build each statement when it is first needed."""
        self._db = db
        self.accounts = AccountStatements(db)
        self.incidents = IncidentStatements(db)

    def _of(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return self._db.among(column, "runs_given")

    def _incidents(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return self._db.among(column, "incidents_given")

    def _records(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return self._db.among(column, "records_given")

    @cached_property
    def claim_runs(self) -> ReturningUpdate[Any]:
        """Lease due runs, but not those at or below ``skipped(target, low, high)``, nor what newer programs wrote."""
        skipped = self._db.given("skipped", target=Path, low=Path, high=Path)
        left = (runs.c.target == skipped.c.target) | (runs.c.target > skipped.c.low) & (runs.c.target < skipped.c.high)
        due = runs.c.finished_at.is_(None) & (runs.c.due_at <= NOW) & (runs.c.rank_at <= NOW) & READABLE
        wanted = due & ~exists(select(skipped.c.target).where(left))
        return claim_of(runs, wanted, [runs.c.rank_at], nudged=False, holder=HOLDER)

    @cached_property
    def claim_outbox(self) -> ReturningUpdate[Any]:
        """Lease what is behind, but not the destinations ``skipped(name)``, nor what only newer programs can tell."""
        skipped = self._db.given("skipped", name=Text())
        behind = (outbox.c.told_rev < outbox.c.want_rev) & ~outbox.c.dead & (outbox.c.due_at <= NOW)
        foreign = exists(select(runs.c.id).where(runs.c.incident_id == outbox.c.incident_id, ~READABLE))
        due = behind & outbox.c.destination.not_in(select(skipped.c.name)) & ~foreign
        return claim_of(outbox, due, [outbox.c.urgency, outbox.c.due_at])

    @cached_property
    def held(self) -> Select[Any]:
        """The runs' rows, locked."""
        columns = (
            runs.c.id, runs.c.state, runs.c.epoch, runs.c.stop_by, runs.c.nudged, runs.c.started_at, runs.c.finished_at,
            runs.c.acted, runs.c.reason,
        )  # fmt: skip
        return select(*columns).where(self._of(runs.c.id)).order_by(runs.c.id).with_for_update()

    def _joined(self) -> Select[Any]:
        """For each run how many episodes that it serves are open, and their last evidence and closing."""
        is_open = case((episodes.c.state == EpisodeState.OPEN.value, 1), else_=0)
        # A closed episode's evidence says nothing about now.
        evidence = case((episodes.c.state == EpisodeState.OPEN.value, episodes.c.evidence_at), else_=None)
        return (
            _seen(
                "joined",
                run_episodes.c.run_id,
                number=func.sum(is_open),
                at=func.max(evidence, type_=Instant),
                at2=func.max(episodes.c.closed_at, type_=Instant),
            )
            .select_from(run_episodes.join(episodes, episodes.c.id == run_episodes.c.episode_id))
            .where(self._of(run_episodes.c.run_id))
            .group_by(run_episodes.c.run_id)
        )

    def _usage(self) -> list[Select[Any]]:
        """What limits go by.

        Effects, reserved ones as if made now for as long as they are reserved, and the latest slot of
        ``used_given(playbook, since)``, ends on ``ended_given(target, since)``, and for each of ``counted_given(run,
        playbook)`` how many of the playbook's slots were there before the run's own, if it has one: of two runs that
        hold slots the earlier one goes, or each would refuse because of the other.
        """
        used = self._db.given("used_given", playbook=Text(), since=Instant())
        ended = self._db.given("ended_given", target=Path, since=Instant())
        counted = self._db.given("counted_given", run=Text(), playbook=Text())
        effect = ledger.c.playbook, ledger.c.target, ledger.c.run_id
        effects = _seen("effect", *effect, at=ledger.c.at).where(
            ledger.c.playbook == used.c.playbook, ledger.c.at > used.c.since, ledger.c.record_id != _WORD
        )
        # By the partial index of reservations: they are few, and count however long ago they were made.
        reserved = _seen("effect", *effect, at=NOW).where(
            ledger.c.playbook == used.c.playbook, ledger.c.record_id == _WORD
        )
        latest = (
            select(func.max(slots.c.seq)).where(slots.c.playbook == used.c.playbook).correlate(used).scalar_subquery()
        )
        own = slots.alias("own")
        own_seq = select(own.c.seq).where(own.c.run_id == counted.c.run).correlate(counted).scalar_subquery()
        before = (
            select(func.count())
            .where(
                slots.c.playbook == counted.c.playbook,
                slots.c.run_id != counted.c.run,
                or_(own_seq.is_(None), slots.c.seq < own_seq),
            )
            .correlate(counted)
            .scalar_subquery()
        )
        how = case(
            (runs.c.kind != "forward", END_OTHER), (runs.c.state == RunState.VERIFIED.value, END_WELL), else_=END_BADLY
        )
        ends = _seen("end", runs.c.playbook, runs.c.target, runs.c.id, number=how, at=runs.c.finished_at).where(
            runs.c.target == ended.c.target, runs.c.acted, runs.c.finished_at > ended.c.since
        )
        # What is kept for a time has helped already: to a limit its fix is over.
        kept = _seen(
            "end", runs.c.playbook, runs.c.target, runs.c.id, number=literal_column(str(END_WELL), BigInteger),
            at=runs.c.kept_at,
        ).where(
            runs.c.target == ended.c.target, runs.c.finished_at.is_(None), runs.c.kept_at > ended.c.since
        )  # fmt: skip
        return [
            effects,
            reserved,
            _seen("latest", used.c.playbook, number=func.coalesce(latest, 0)),
            _seen("running", counted.c.run, counted.c.playbook, number=before),
            ends,
            kept,
        ]

    def _capped(self) -> Select[Any]:
        """Who holds a target under one of the caps ``capped_given(key)``: runs that have entries under its key."""
        holders = select(slots.c.run_id)
        under = self._db.among(ledger.c.playbook, "capped_given")
        return (
            _seen("held", ledger.c.playbook, ledger.c.run_id, ledger.c.target)
            .where(self._db.within(ledger.c.run_id, holders), under)
            .distinct()
        )

    def _booked(self) -> list[Select[Any]]:
        """The runs' entries in the ledger, and the states of ``records_given(key)``."""
        return [
            _seen("entry", ledger.c.id, ledger.c.run_id, ledger.c.record_id, ledger.c.playbook).where(
                self._of(ledger.c.run_id)
            ),
            _seen("record", records.c.id, records.c.state).where(self._records(records.c.id)),
        ]

    @cached_property
    def usage(self) -> CompoundSelect[Any]:
        """What the limits of some playbooks on some targets go by, and the brakes and doubts with it."""
        return union_all(*self._usage(), _PAUSES, _DOUBTS)

    @cached_property
    def capped_usage(self) -> CompoundSelect[Any]:
        """As ``usage``, with what the caps ``capped_given`` go by; it costs more."""
        return union_all(*self._usage(), _PAUSES, _DOUBTS, self._capped())

    @cached_property
    def sight(self) -> CompoundSelect[Any]:
        """Everything that decides whether the runs may go on, in one statement; ``near_given`` says around what."""
        return union_all(*self._sight())

    @cached_property
    def capped_sight(self) -> CompoundSelect[Any]:
        """As ``sight``, with what the caps ``capped_given`` go by; it costs more."""
        return union_all(*self._sight(), self._capped())

    def _sight(self) -> list[Select[Any]]:
        slot = _seen("slot", slots.c.target, slots.c.run_id, number=slots.c.seq)
        in_the_way = near(self._db, slots, *slot.selected_columns, where=true())
        return [self._joined(), *in_the_way, _PAUSES, _DOUBTS, *self._usage(), *self._booked()]

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
    def lock_episodes(self) -> Select[Any]:
        """The episodes that the runs serve, locked."""
        served = select(run_episodes.c.episode_id).where(self._of(run_episodes.c.run_id))
        return (
            select(episodes.c.id, episodes.c.state, episodes.c.after)
            .where(self._db.within(episodes.c.id, served))
            .order_by(episodes.c.id)
            .with_for_update()
        )

    @cached_property
    def served(self) -> Select[Any]:
        """Which episodes the runs serve."""
        return select(run_episodes.c.run_id, run_episodes.c.episode_id).where(self._of(run_episodes.c.run_id))

    @cached_property
    def alerts(self) -> Select[Any]:
        """The alerts of the open episodes that the runs serve."""
        return (
            select(run_episodes.c.run_id, episodes.c.source, episodes.c.fingerprint)
            .select_from(run_episodes.join(episodes, episodes.c.id == run_episodes.c.episode_id))
            .where(self._of(run_episodes.c.run_id), episodes.c.state == EpisodeState.OPEN.value)
            .order_by(episodes.c.id)
        )

    @cached_property
    def unbook(self) -> Update:
        """Make the entries of ``records_given(key)`` reservations again."""
        return update(ledger).where(self._records(ledger.c.record_id)).values(record_id="")

    @cached_property
    def void_approvals(self) -> Update:
        """Take back the runs' questions that are open, and their answers that are unspent."""
        return (
            update(approvals)
            .where(self._of(approvals.c.run_id), approvals.c.state.in_(["pending", "approved"]))
            .values(state="void")
        )

    @cached_property
    def tell(self) -> Insert:
        """Mark the outbox rows of incidents dirty and make what is missing; ``destinations_given`` says which."""
        given = self._db.given("told", incident=outbox.c.incident_id.type, destination=outbox.c.destination.type)
        marked = self._db.among(outbox.c.incident_id, "marked")
        every = union(
            select(given.c.incident, given.c.destination),
            select(outbox.c.incident_id, outbox.c.destination).where(marked),
        ).subquery()
        insert = self._db.insert(outbox).from_select(
            ["incident_id", "destination", "want_rev", "told_rev", "attempt", "urgency", "dead", "error",
             "changed_at", "due_at", "attempts", "epoch"],
            select(
                incidents.c.id, every.c.destination, literal(1), literal(0), literal(""),
                rows.urgency(incidents.c.severity), literal(value=False), literal(""), NOW,
                bindparam("first_told", type_=Instant()), literal(0), literal(0),
            )
            .where(incidents.c.id == every.c.incident)
            .order_by(incidents.c.id, every.c.destination),
            include_defaults=False,
        )  # fmt: skip
        return insert.on_conflict_do_update(
            index_elements=["incident_id", "destination"],
            set_={
                "want_rev": outbox.c.want_rev + 1,
                "urgency": insert.excluded.urgency,
                "changed_at": NOW,
                "due_at": due_when_marked(NOW),
            },
        )

    @cached_property
    def mark_dirty(self) -> Update:
        """Raise what is wanted of every destination of ``incidents_given(key)``."""
        locked = (
            select(outbox.c.incident_id, outbox.c.destination)
            .where(self._incidents(outbox.c.incident_id))
            .order_by(outbox.c.incident_id, outbox.c.destination)
            .with_for_update()
            .subquery("locked")
        )
        return (
            update(outbox)
            .where(and_(outbox.c.incident_id == locked.c.incident_id, outbox.c.destination == locked.c.destination))
            .values(want_rev=outbox.c.want_rev + 1, changed_at=NOW, due_at=due_when_marked(NOW))
        )
