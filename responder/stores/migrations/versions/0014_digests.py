"""Which message tells of an incident that has none of its own: in a storm there is one for all of a destination.

Revision: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and what finds its rows."""
    op.add_column("outbox", sa.Column("digest", sa.Text(), nullable=True))
    told = sa.text("digest IS NOT NULL")
    op.create_index("ix_outbox_digest", "outbox", ["digest"], postgresql_where=told, sqlite_where=told)
