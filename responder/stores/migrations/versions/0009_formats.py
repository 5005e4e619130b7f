"""In which format a run's row is written: replicas of an older version leave newer rows alone.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
oldest = "0009"
"""The oldest program that works on the schema from here on: one whose own newest migration is at least this."""


def upgrade() -> None:
    """Add the column; SQLite copies the table, so that it reads as if made at once."""
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("format", sa.Integer(), nullable=False, server_default="1"))
