"""The first schema.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from responder.stores.core.types import Instant, Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("plan", _JSON, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("decided_by", Words(), nullable=False),
        sa.Column("decided_at", Instant(), nullable=True),
        sa.Column("comment", Words(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
    )
    op.create_index("ix_approvals_asked_at", "approvals", ["asked_at", "id"])
    op.create_index("ix_approvals_run_id", "approvals", ["run_id"])
    _partial("uq_approvals_pending", "approvals", ["run_id"], "state = 'pending'", unique=True)


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("actor", Words(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", Words(), nullable=False),
        sa.Column("details", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_subject", "audit", ["subject", "seq"])


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("episode_id", sa.Text(), nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("target", Words(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("retry_at", Instant(), nullable=True),
        sa.Column("first_at", Instant(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_at", "decisions", ["at", "id"])
    op.create_index(
        "uq_decisions_episode_playbook_verdict", "decisions", ["episode_id", "playbook", "verdict"], unique=True
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("cursor", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", Words(), server_default="", nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        postgresql_with={"fillfactor": 50},  # see responder/stores/schema_base.py
    )
    _partial("ix_deliveries_dead", "deliveries", ["received_at"], "state = 'dead'")
    _partial("ix_deliveries_due", "deliveries", ["due_at"], "state = 'waiting'")
    op.create_index("ix_deliveries_received_at", "deliveries", ["received_at", "id"])


def _episodes() -> None:
    op.create_table(
        "episodes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("labels", _JSON, nullable=False),
        sa.Column("annotations", _JSON, nullable=False),
        sa.Column("generator_url", Words(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("evidence_at", Instant(), nullable=False),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.Column("closed_reason", Words(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("reconsider_at", Instant(), nullable=True),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("flaps", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_episodes"),
        postgresql_with={"fillfactor": 50},  # see responder/stores/schema_base.py
    )
    _partial("ix_episodes_closed_at", "episodes", ["closed_at"], "closed_at IS NOT NULL")
    _partial("ix_episodes_due", "episodes", ["reconsider_at"], "state <> 'closed' AND reconsider_at IS NOT NULL")
    op.create_index("ix_episodes_incident_id", "episodes", ["incident_id"])
    op.create_index("ix_episodes_key", "episodes", ["source", "fingerprint", "closed_at"])
    op.create_index("ix_episodes_opened_at", "episodes", ["opened_at", "id"])
    _partial("uq_episodes_current", "episodes", ["source", "fingerprint"], "state <> 'closed'", unique=True)


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("receiver", Words(), nullable=False),
        sa.Column("group_key", Words(), nullable=False),
        sa.Column("group_hash", sa.Text(), nullable=False),
        sa.Column("group_labels", _JSON, nullable=False),
        sa.Column("external_url", Words(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("needs_person", Words(), nullable=False),
        sa.Column("needs_person_run", sa.Text(), nullable=False),
        sa.Column("resolved_at", Instant(), nullable=True),
        sa.Column("closed_reason", Words(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    _partial("ix_incidents_needs_person", "incidents", ["id"], "needs_person <> ''")
    op.create_index("ix_incidents_opened_at", "incidents", ["opened_at", "id"])
    _partial("ix_incidents_resolved_at", "incidents", ["resolved_at"], "resolved_at IS NOT NULL")
    _partial("uq_incidents_open", "incidents", ["group_hash", "team"], "resolved_at IS NULL", unique=True)


def _last_good() -> None:
    op.create_table(
        "last_good",
        sa.Column("file", Words(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("file", name="pk_last_good"),
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("target", _PATH, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_index("ix_ledger_at", "ledger", ["at"])
    op.create_index("ix_ledger_playbook", "ledger", ["playbook", "at"])
    op.create_index("ix_ledger_run_id", "ledger", ["run_id"])


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("want_rev", sa.BigInteger(), nullable=False),
        sa.Column("told_rev", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Text(), nullable=False),
        sa.Column("receipt", _JSON, nullable=True),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("error", Words(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("told_at", Instant(), nullable=True),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "destination", name="pk_outbox"),
    )
    op.create_index("ix_outbox_changed_at", "outbox", ["changed_at", "incident_id", "destination"])
    _partial("ix_outbox_dead", "outbox", ["changed_at"], "dead")
    _partial("ix_outbox_due", "outbox", ["urgency", "due_at"], "told_rev < want_rev AND NOT dead")


def _pauses() -> None:
    op.create_table(
        "pauses",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("actor", Words(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("until", Instant(), nullable=True),
        sa.Column("lifted_at", Instant(), nullable=True),
        sa.Column("lifted_by", Words(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pauses"),
    )
    op.create_index("ix_pauses_created_at", "pauses", ["created_at", "id"])
    _partial("ix_pauses_in_force", "pauses", ["created_at"], "lifted_at IS NULL")


def _playbooks() -> None:
    op.create_table(
        "playbooks",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("file", Words(), nullable=False),
        sa.Column("text", Words(), nullable=False),
        sa.Column("kept_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_playbooks"),
    )


def _quarantines() -> None:
    op.create_table(
        "quarantines",
        sa.Column("target", _PATH, nullable=False),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_quarantines"),
    )


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", _PATH, nullable=False),
        sa.Column("arguments", _JSON, nullable=False),
        sa.Column("before", _JSON, nullable=False),
        sa.Column("planned", _JSON, nullable=False),
        sa.Column("observed", _JSON, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fence", Words(), nullable=False),
        sa.Column("evidence", Words(), nullable=False),
        sa.Column("message", Words(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("settled_at", Instant(), nullable=True),
        sa.Column("undone_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_records"),
    )
    op.create_index("ix_records_created_at", "records", ["created_at", "id"])
    op.create_index("ix_records_run_id", "records", ["run_id"])


def _run_episodes() -> None:
    op.create_table(
        "run_episodes",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("episode_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "episode_id", name="pk_run_episodes"),
    )
    op.create_index("ix_run_episodes_episode_id", "run_episodes", ["episode_id"])


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("target", _PATH, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("context", _JSON, nullable=False),
        sa.Column("progress", _JSON, nullable=False),
        sa.Column("of_run", sa.Text(), nullable=False),
        sa.Column("stop_by", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("started_at", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.Column("deadline", Instant(), nullable=False),
        sa.Column("effects", sa.Integer(), nullable=False),
        sa.Column("acted", sa.Boolean(), nullable=False),
        sa.Column("nudged", sa.Boolean(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("rank_at", Instant(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    _partial("ix_runs_acted", "runs", ["target", "finished_at"], "acted AND finished_at IS NOT NULL")
    op.create_index("ix_runs_created_at", "runs", ["created_at", "id"])
    _partial("ix_runs_due", "runs", ["rank_at"], "finished_at IS NULL")
    _partial("ix_runs_finished_at", "runs", ["finished_at"], "finished_at IS NOT NULL")
    op.create_index("ix_runs_incident_id", "runs", ["incident_id"])
    _partial("ix_runs_of_run", "runs", ["of_run"], "of_run <> ''")
    _partial("ix_runs_open_target", "runs", ["target"], "finished_at IS NULL")


def _slots() -> None:
    op.create_table(
        "slots",
        sa.Column("target", _PATH, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_slots"),
    )
    op.create_index("ix_slots_playbook", "slots", ["playbook", "seq"])
    op.create_index("uq_slots_run_id", "slots", ["run_id"], unique=True)


def upgrade() -> None:
    """Make every table."""
    _approvals()
    _audit()
    _decisions()
    _deliveries()
    _episodes()
    _incidents()
    _last_good()
    _ledger()
    _meta()
    _outbox()
    _pauses()
    _playbooks()
    _quarantines()
    _records()
    _run_episodes()
    _runs()
    _slots()

    if op.get_bind().dialect.name == "postgresql":
        # Bodies are written once and read once: compressing them costs more than their pages.
        op.execute("ALTER TABLE deliveries ALTER COLUMN body SET STORAGE EXTERNAL")
