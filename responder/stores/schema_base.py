"""How tables are made, and those beside alerts and runs: what is told, what is remembered, the store itself."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from responder.stores.core.types import Instant, Json, JsonOrNull, Words

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"},
)

_Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows itself only for INTEGER keys

ROOM = {"fillfactor": 50}
"""For rows that change often: the new version fits into its page, and no index needs to be told (measured: half the
cost of hearing of an alert again). The old versions would leave as much room behind sooner or later."""


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index of the rows that fit ``where``."""
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


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
    partial("ix_outbox_due", "urgency", "due_at", where="told_rev < want_rev AND NOT dead"),
    partial("ix_outbox_dead", "changed_at", where="dead"),
    partial("ix_outbox_digest", "digest", where="digest IS NOT NULL"),
)
"""Behind while ``told_rev < want_rev``. ``urgency`` is the rank of the incident's severity, 0 first.

In a storm ``digest`` is the row, at the same destination, whose message tells of the incident (``ports.queues``)."""

holds = Table(
    "holds",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    partial("ix_holds_due", "due_at", where="state <> 'taken'"),
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
    partial("ix_looks_due", "due_at", where="due_at IS NOT NULL"),
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
