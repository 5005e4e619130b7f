"""What was found out about incidents, and which are still to be looked at.

Revision: 0015
"""

import sqlalchemy as sa
from alembic import op

from responder.stores.core.types import Instant, Json, Words

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "findings",
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("body", Words, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "name", name=op.f("pk_findings")),
    )
    op.create_table(
        "looks",
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("due_at", Instant),
        sa.Column("times", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_looks")),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_looks_due", "looks", ["due_at"], postgresql_where=due, sqlite_where=due)
