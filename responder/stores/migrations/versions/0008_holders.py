"""Which life of a process has claimed a row: when it has ended, its leases need not run out.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; SQLite copies the tables, so that they read as if made at once."""
    for table in ("deliveries", "runs"):
        with op.batch_alter_table(table) as changed:
            changed.add_column(sa.Column("holder", sa.Text(), nullable=False, server_default=""))
