"""What finds the reservations of a playbook or cap, which count however long ago they were made.

Revision: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    reserved = sa.text("record_id = ''")
    op.create_index("ix_ledger_reserved", "ledger", ["playbook"], postgresql_where=reserved, sqlite_where=reserved)
