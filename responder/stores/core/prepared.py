"""The statements of a run's turn, built once: putting one together costs more than executing it.

A run's way from its claim to its end is some sixty statements; what differs from one to the next are parameters.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.selectable import CompoundSelect

from responder.domain.episodes import HOLDS_OPEN, EpisodeState
from responder.domain.runs import RunState
from responder.domain.targets import SEPARATOR, ancestors
from responder.stores.core.overlap import NEXT
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

Among = Callable[[ColumnElement[str]], ColumnElement[bool]]
"""Makes the condition that a column is one of those that are meant."""

_RUN = bindparam("this_run", type_=Text())
_EPOCH = bindparam("run_epoch", type_=Integer())
_NOW = bindparam("now", type_=Instant())
_SINCE = bindparam("since", type_=Instant())
_ENDED_SINCE = bindparam("ended_since", type_=Instant())
_INCIDENT = bindparam("incident", type_=Text())


def _near(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Say whether the target in ``column`` conflicts with the one that ``near`` describes."""
    low, high = bindparam("below_from", type_=Path), bindparam("below_to", type_=Path)
    return or_(column.in_(bindparam("at_or_above", expanding=True, type_=Path)), and_(column > low, column < high))


def near(target: str) -> dict[str, Any]:
    """Return the parameters of a statement that looks at, above and below ``target``."""
    at_or_above = [target, *ancestors(target)]
    return {"at_or_above": at_or_above, "below_from": target + SEPARATOR, "below_to": target + NEXT}


def _joined() -> Select[Any]:
    is_open = case((episodes.c.state == EpisodeState.OPEN.value, 1), else_=0)
    # A closed episode's evidence says nothing about now.
    evidence = case((episodes.c.state == EpisodeState.OPEN.value, episodes.c.evidence_at), else_=None)
    return (
        select(
            func.coalesce(func.sum(is_open), 0).label("open"),
            func.max(evidence, type_=Instant).label("evidence_at"),
            func.max(episodes.c.closed_at, type_=Instant).label("closed_at"),
            select(slots.c.run_id)
            .where(_near(slots.c.target), slots.c.run_id != _RUN)
            .limit(1)
            .scalar_subquery()
            .label("busy"),
            select(slots.c.run_id)
            .where(slots.c.target == bindparam("target", type_=Path))
            .scalar_subquery()
            .label("holder"),
            select(quarantines.c.reason).where(_near(quarantines.c.target)).limit(1).scalar_subquery().label("doubt"),
        )
        .select_from(run_episodes.join(episodes, episodes.c.id == run_episodes.c.episode_id))
        .where(run_episodes.c.run_id == _RUN)
    )


SITUATION = _joined()
"""Whether a joined episode is open, the last evidence and closing; who is near the target, who holds it, and doubt."""
HELD: Select[Any] = select(runs.c.state, runs.c.epoch, runs.c.stop_by).where(runs.c.id == _RUN).with_for_update()
"""The run's row, locked."""
PAUSES = (
    select(pauses)
    .where(pauses.c.lifted_at.is_(None), pauses.c.until.is_(None) | (pauses.c.until > _NOW))
    .order_by(pauses.c.created_at, pauses.c.id)
)
ASKED = (
    select(approvals)
    .where(approvals.c.run_id == _RUN, approvals.c.state != "void")
    .order_by(approvals.c.asked_at.desc(), approvals.c.id.desc())
    .limit(1)
)
RECORDS = select(records).where(records.c.run_id == _RUN).order_by(records.c.created_at, records.c.place, records.c.id)
SLOTS_NEAR = select(slots).where(_near(slots.c.target))
DOUBT_NEAR = select(quarantines.c.reason).where(_near(quarantines.c.target)).limit(1)
LATEST_SLOT = select(func.max(slots.c.seq)).where(slots.c.playbook == bindparam("playbook", type_=Text()))
OWN_LEDGER = select(ledger.c.id, ledger.c.record_id).where(ledger.c.run_id == _RUN)
USE_LEDGER = (
    update(ledger)
    .where(ledger.c.id == bindparam("ledger_id", type_=Text()))
    .values(record_id=bindparam("record", type_=Text()), at=_NOW)
)
FREE_LEDGER = update(ledger).where(ledger.c.record_id == bindparam("record", type_=Text())).values(record_id="")
DEBIT = insert(ledger)
WRITE_AUDIT = insert(audit)
ACTED = update(runs).where(runs.c.id == _RUN).values(acted=True)
WRITE_RECORD = update(records).where(
    records.c.id == bindparam("of_record", type_=Text()), records.c.run_id == bindparam("of_run_id", type_=Text())
)
"""Its columns are the other parameters."""
_OURS = (runs.c.id == _RUN) & (runs.c.epoch == _EPOCH)
START_RUN = update(runs).where(_OURS).values(started_at=func.coalesce(runs.c.started_at, _NOW))
"""Its further columns are the other parameters."""
FINISH_RUN = update(runs).where(_OURS, runs.c.finished_at.is_(None)).values(lease_until=None, attempts=0)
"""Its further columns are the other parameters."""
LOCK_EPISODES = (
    select(episodes.c.id)
    .where(episodes.c.id.in_(select(run_episodes.c.episode_id).where(run_episodes.c.run_id == _RUN)))
    .order_by(episodes.c.id)
    .with_for_update()
)
FREE_SLOT = delete(slots).where(slots.c.run_id == _RUN)
FREE_BUDGET = delete(ledger).where(ledger.c.run_id == _RUN, ledger.c.record_id == "")
VOID_APPROVALS = (
    update(approvals)
    .where(approvals.c.run_id == _RUN, approvals.c.state.in_(["pending", "approved"]))
    .values(state="void")
)
UNLATCH = (
    update(incidents)
    .where(
        incidents.c.id == _INCIDENT,
        incidents.c.needs_person_run.in_(bindparam("set_by", expanding=True, type_=Text())),
    )
    .values(needs_person="", needs_person_run="")
)
CLOSE_IF_OVER = (
    update(incidents)
    .where(
        incidents.c.id == _INCIDENT,
        incidents.c.resolved_at.is_(None),
        incidents.c.needs_person == "",
        ~exists(
            select(episodes.c.id).where(
                episodes.c.incident_id == _INCIDENT, episodes.c.state.in_(sorted(state.value for state in HOLDS_OPEN))
            )
        ),
        ~exists(select(runs.c.id).where(runs.c.incident_id == _INCIDENT, runs.c.finished_at.is_(None))),
    )
    .values(resolved_at=_NOW, closed_reason="resolved")
)


def due_when_marked(now: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return when an outbox row that is marked is due: what is behind already keeps its time, a pace or back-off."""
    return case((outbox.c.want_rev > outbox.c.told_rev, outbox.c.due_at), else_=now)


MARK_DIRTY = (
    update(outbox)
    .where(outbox.c.incident_id.in_(bindparam("incidents", expanding=True, type_=Text())))
    .values(want_rev=outbox.c.want_rev + 1, changed_at=_NOW, due_at=due_when_marked(_NOW))
)


def usage_facts(playbooks: Among, targets: Among) -> CompoundSelect[Any]:
    """Return effects, slots and ends among ``playbooks`` and ``targets``."""
    none = literal(0, BigInteger)
    effects = select(
        literal("effect", Text).label("what"), ledger.c.playbook, ledger.c.target, ledger.c.at,
        ledger.c.run_id.label("run"), none.label("seq"),
    ).where(playbooks(ledger.c.playbook), ledger.c.at > _SINCE)  # fmt: skip
    held = select(
        literal("slot", Text), slots.c.playbook, slots.c.target, slots.c.taken_at, slots.c.run_id, slots.c.seq
    ).where(playbooks(slots.c.playbook))
    verified = runs.c.state == RunState.VERIFIED.value
    well = verified | (runs.c.kind != "forward")
    what = case((well, literal("end", Text)), else_=literal("failure", Text))
    ends = select(what, runs.c.playbook, runs.c.target, runs.c.finished_at, runs.c.id, none).where(
        targets(runs.c.target), runs.c.acted, runs.c.finished_at > _ENDED_SINCE
    )
    return union_all(effects, held, ends)


USAGE = usage_facts(
    lambda column: column == bindparam("playbook", type_=Text()),
    lambda column: column == bindparam("target", type_=Path),
)
"""The same for one playbook and one target."""
