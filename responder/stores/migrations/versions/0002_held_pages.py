"""Pages that are held back while a fix runs.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

from responder.stores.core.types import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "holds",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", name="pk_holds"),
    )
    open_ = sa.text("state <> 'taken'")
    op.create_index("ix_holds_due", "holds", ["due_at"], postgresql_where=open_, sqlite_where=open_)
