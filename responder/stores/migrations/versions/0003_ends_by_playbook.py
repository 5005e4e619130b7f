"""The latest ends of a playbook's runs, for tripping.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    ended = sa.text("acted AND finished_at IS NOT NULL")
    op.create_index(
        "ix_runs_acted_playbook", "runs", ["playbook", "finished_at"], postgresql_where=ended, sqlite_where=ended
    )
