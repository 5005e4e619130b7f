"""What a sender's own API shows of its alerts, and the groups that it cut short.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

from responder.stores.core.types import Instant, Json, Words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and make the table; SQLite copies the table, so that it reads as if made at once."""
    with op.batch_alter_table("episodes") as episodes:
        episodes.add_column(sa.Column("suppressed", sa.Text(), nullable=False, server_default=""))
        episodes.add_column(sa.Column("missing_since", Instant()))
    op.create_table(
        "truncated",
        sa.Column("group_hash", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("receiver", Words(), nullable=False),
        sa.Column("group_key", Words(), nullable=False),
        sa.Column("group_labels", Json, nullable=False),
        sa.Column("external_url", Words(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("group_hash", name="pk_truncated"),
    )
    op.create_index("ix_truncated_source", "truncated", ["source", "at"])
