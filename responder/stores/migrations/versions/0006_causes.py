"""From which run another one follows.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; SQLite copies the table, so that it reads as if made at once."""
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("caused_by", sa.Text(), nullable=False, server_default=""))
        runs.add_column(sa.Column("depth", sa.Integer(), nullable=False, server_default="1"))
