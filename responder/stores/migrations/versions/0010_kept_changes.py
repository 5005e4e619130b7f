"""Since when a change that helped is kept for a time.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

from responder.stores.core.types import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index; SQLite copies the table, so that it reads as if made at once."""
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("kept_at", Instant()))
    kept = sa.text("kept_at IS NOT NULL")
    op.create_index("ix_runs_kept_playbook", "runs", ["playbook", "kept_at"], postgresql_where=kept, sqlite_where=kept)
