"""Which incidents ask for a person because of a run: several do when their alerts joined it.

Revision: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    asked = sa.text("needs_person_run <> ''")
    op.create_index(
        "ix_incidents_needs_person_run", "incidents", ["needs_person_run"], postgresql_where=asked, sqlite_where=asked
    )
