"""The sealed segments of the audit log.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

from responder.stores.core.types import Instant, Json

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "audit_segments",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("prev", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("spans", Json, nullable=False),
        sa.Column("gaps", Json, nullable=False),
        sa.Column("sealed_at", Instant(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_segments"),
    )
    op.create_index("ix_audit_segments_first", "audit_segments", ["first"])
