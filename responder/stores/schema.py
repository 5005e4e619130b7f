"""The schema, one for both databases; migrations/ holds the way to it, and a test asserts that they agree."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
)

from responder.stores.core.types import Instant, Json, JsonOrNull, Path, Words

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"},
)

_Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows itself only for INTEGER keys

_ROOM = {"fillfactor": 50}
"""For rows that change often: the new version fits into its page, and no index needs to be told (measured: half the
cost of hearing of an alert again). The old versions would leave as much room behind sooner or later."""


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("cursor", Integer, nullable=False, server_default="0"),
    Column("error", Words, nullable=False, server_default=""),
    Column("due_at", Instant, nullable=False),
    Column("lease_until", Instant),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("holder", Text, nullable=False, server_default=""),
    Index("ix_deliveries_received_at", "received_at", "id"),
    _partial("ix_deliveries_due", "due_at", where="state = 'waiting'"),
    _partial("ix_deliveries_dead", "received_at", where="state = 'dead'"),
    postgresql_with=_ROOM,
)
"""The inbox. ``state``: waiting, done, dead. ``holder``: the life that claimed it last (``stores.core.lives``)."""

episodes = Table(
    "episodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("labels", Json, nullable=False),
    Column("annotations", Json, nullable=False),
    Column("generator_url", Words, nullable=False),
    Column("severity", Text, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("evidence_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("closed_reason", Words, nullable=False),
    Column("incident_id", Text, nullable=False),
    Column("reconsider_at", Instant),
    Column("after", Text, nullable=False),
    Column("flaps", Json, nullable=False),
    Column("suppressed", Text, nullable=False, server_default=""),
    Column("missing_since", Instant),
    Index("ix_episodes_key", "source", "fingerprint", "closed_at"),
    Index("ix_episodes_opened_at", "opened_at", "id"),
    Index("ix_episodes_incident_id", "incident_id"),
    _partial("uq_episodes_current", "source", "fingerprint", where="state <> 'closed'", unique=True),
    _partial("ix_episodes_due", "reconsider_at", where="state <> 'closed' AND reconsider_at IS NOT NULL"),
    _partial("ix_episodes_closed_at", "closed_at", where="closed_at IS NOT NULL"),
    postgresql_with=_ROOM,
)

truncated = Table(
    "truncated",
    metadata,
    Column("group_hash", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("receiver", Words, nullable=False),
    Column("group_key", Words, nullable=False),
    Column("group_labels", Json, nullable=False),
    Column("external_url", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_truncated_source", "source", "at"),
)
"""Groups of which a sender left alerts out: its API is to be asked for the rest."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("receiver", Words, nullable=False),
    Column("group_key", Words, nullable=False),
    # A group key may be longer than an index entry can be.
    Column("group_hash", Text, nullable=False),
    Column("group_labels", Json, nullable=False),
    Column("external_url", Words, nullable=False),
    Column("severity", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("team", Text, nullable=False),
    Column("needs_person", Words, nullable=False),
    Column("needs_person_run", Text, nullable=False),
    Column("resolved_at", Instant),
    Column("closed_reason", Words, nullable=False),
    Index("ix_incidents_opened_at", "opened_at", "id"),
    _partial("uq_incidents_open", "group_hash", "team", where="resolved_at IS NULL", unique=True),
    _partial("ix_incidents_resolved_at", "resolved_at", where="resolved_at IS NOT NULL"),
    _partial("ix_incidents_needs_person", "id", where="needs_person <> ''"),
    _partial("ix_incidents_needs_person_run", "needs_person_run", where="needs_person_run <> ''"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("episode_id", Text, nullable=False),
    Column("playbook", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("retry_at", Instant),
    Column("first_at", Instant, nullable=False),
    Column("at", Instant, nullable=False),
    Column("times", Integer, nullable=False),
    Index("uq_decisions_episode_playbook_verdict", "episode_id", "playbook", "verdict", unique=True),
    Index("ix_decisions_at", "at", "id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("playbook", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("target", Path, nullable=False),
    Column("state", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("incident_id", Text, nullable=False),
    Column("context", Json, nullable=False),
    Column("progress", Json, nullable=False),
    Column("of_run", Text, nullable=False),
    Column("stop_by", Text, nullable=False),
    Column("verdict", Text),
    Column("reason", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("deadline", Instant, nullable=False),
    Column("effects", Integer, nullable=False),
    Column("acted", Boolean, nullable=False),
    Column("nudged", Boolean, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("rank_at", Instant, nullable=False),
    Column("lease_until", Instant),
    Column("attempts", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("caused_by", Text, nullable=False, server_default=""),
    Column("depth", Integer, nullable=False, server_default="1"),
    Column("holder", Text, nullable=False, server_default=""),
    Column("format", Integer, nullable=False, server_default="1"),
    Column("kept_at", Instant),
    Index("ix_runs_created_at", "created_at", "id"),
    Index("ix_runs_incident_id", "incident_id"),
    _partial("ix_runs_due", "rank_at", where="finished_at IS NULL"),
    _partial("ix_runs_open_target", "target", where="finished_at IS NULL"),
    _partial("ix_runs_finished_at", "finished_at", where="finished_at IS NOT NULL"),
    _partial("ix_runs_acted", "target", "finished_at", where="acted AND finished_at IS NOT NULL"),
    _partial("ix_runs_acted_playbook", "playbook", "finished_at", where="acted AND finished_at IS NOT NULL"),
    _partial("ix_runs_kept_playbook", "playbook", "kept_at", where="kept_at IS NOT NULL"),
    _partial("ix_runs_of_run", "of_run", where="of_run <> ''"),
)
"""``rank_at`` is ``due_at`` less the severity's bonus. ``nudged``: something happened while a turn was under way.
``format``: ``domain.runs.FORMAT`` of the newest program that has written the row."""
HOLDS_INCIDENT = runs.c.finished_at.is_(None) & (runs.c.state != "kept")
"""Runs that keep their incident open: one that has helped, and is only kept for a time, does not."""

run_episodes = Table(
    "run_episodes",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("episode_id", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "episode_id"),
    Index("ix_run_episodes_episode_id", "episode_id"),
)

records = Table(
    "records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("step", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Path, nullable=False),
    Column("arguments", Json, nullable=False),
    Column("before", Json, nullable=False),
    Column("planned", Json, nullable=False),
    Column("observed", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("fence", Words, nullable=False),
    Column("evidence", Words, nullable=False),
    Column("message", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("settled_at", Instant),
    Column("undone_at", Instant),
    Index("ix_records_run_id", "run_id"),
    Index("ix_records_created_at", "created_at", "id"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("playbook", Text, nullable=False),
    Column("target", Path, nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_ledger_playbook", "playbook", "at"),
    Index("ix_ledger_run_id", "run_id"),
    Index("ix_ledger_at", "at"),
)
"""Forward effects, counted. An empty ``record_id`` is a reservation."""

slots = Table(
    "slots",
    metadata,
    Column("target", Path, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("playbook", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("taken_at", Instant, nullable=False),
    Index("uq_slots_run_id", "run_id", unique=True),
    Index("ix_slots_playbook", "playbook", "seq"),
)
"""``seq`` orders the slots of a playbook, so that of two runs over a limit exactly one gives way."""

quarantines = Table(
    "quarantines",
    metadata,
    Column("target", Path, primary_key=True),
    Column("reason", Words, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("plan_hash", Text, nullable=False),
    Column("plan", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("decided_by", Words, nullable=False),
    Column("decided_at", Instant),
    Column("comment", Words, nullable=False),
    Column("four_eyes", Boolean, nullable=False, server_default=false()),
    Column("first_by", Words, nullable=False, server_default=""),
    Column("first_at", Instant),
    Column("first_comment", Words, nullable=False, server_default=""),
    Index("ix_approvals_asked_at", "asked_at", "id"),
    Index("ix_approvals_run_id", "run_id"),
    _partial("uq_approvals_pending", "run_id", where="state = 'pending'", unique=True),
)
"""``state``: pending, approved, rejected, spent, void. ``first_by`` is the first of two who must say yes."""

pauses = Table(
    "pauses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("reason", Words, nullable=False),
    Column("actor", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("until", Instant),
    Column("lifted_at", Instant),
    Column("lifted_by", Words, nullable=False),
    Index("ix_pauses_created_at", "created_at", "id"),
    _partial("ix_pauses_in_force", "created_at", where="lifted_at IS NULL"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("incident_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("want_rev", BigInteger, nullable=False),
    Column("told_rev", BigInteger, nullable=False),
    Column("attempt", Text, nullable=False),
    Column("receipt", JsonOrNull),
    Column("urgency", Integer, nullable=False),
    Column("dead", Boolean, nullable=False),
    Column("error", Words, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("told_at", Instant),
    Column("due_at", Instant, nullable=False),
    Column("lease_until", Instant),
    Column("attempts", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("digest", Text),
    PrimaryKeyConstraint("incident_id", "destination"),
    Index("ix_outbox_changed_at", "changed_at", "incident_id", "destination"),
    _partial("ix_outbox_due", "urgency", "due_at", where="told_rev < want_rev AND NOT dead"),
    _partial("ix_outbox_dead", "changed_at", where="dead"),
    _partial("ix_outbox_digest", "digest", where="digest IS NOT NULL"),
)
"""Behind while ``told_rev < want_rev``. ``urgency`` is the rank of the incident's severity, 0 first.

In a storm ``digest`` is the row, at the same destination, whose message tells of the incident (``ports.queues``)."""

holds = Table(
    "holds",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    _partial("ix_holds_due", "due_at", where="state <> 'taken'"),
)
"""Pages that are held back. ``state``: held, overdue (it is out), or taken by a person; ``due_at`` is the next look."""

findings = Table(
    "findings",
    metadata,
    Column("incident_id", Text, nullable=False),
    Column("name", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("text", Words, nullable=False),
    Column("body", Words, nullable=False),
    Column("data", Json, nullable=False),
    PrimaryKeyConstraint("incident_id", "name"),
)
"""What was found out about incidents: see ``domain.findings``."""

looks = Table(
    "looks",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("due_at", Instant),
    Column("times", Integer, nullable=False),
    _partial("ix_looks_due", "due_at", where="due_at IS NOT NULL"),
)
"""Incidents that were looked at; ``due_at`` is when to look again, or when a look under way has failed."""

audit = Table(
    "audit",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", Words, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Words, nullable=False),
    Column("details", Json, nullable=False),
    Index("ix_audit_at", "at"),
    Index("ix_audit_subject", "subject", "seq"),
)

audit_segments = Table(
    "audit_segments",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("prev", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("after", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("spans", Json, nullable=False),
    Column("gaps", Json, nullable=False),
    Column("sealed_at", Instant, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_audit_segments_first", "first"),
)
"""The audit log as it was sealed: see ``domain.seals``."""

playbooks = Table(
    "playbooks",
    metadata,
    Column("revision", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("file", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("kept_at", Instant, nullable=False),
)

last_good = Table(
    "last_good",
    metadata,
    Column("file", Words, primary_key=True),
    Column("revision", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Odds and ends of the store itself: the clock's high water, what ``ping`` writes."""
