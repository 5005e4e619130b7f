"""The first of two people who must say yes.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

from responder.stores.core.types import Instant, Words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; SQLite copies the table, so that it reads as if made at once."""
    with op.batch_alter_table("approvals") as approvals:
        approvals.add_column(sa.Column("four_eyes", sa.Boolean(), nullable=False, server_default=sa.false()))
        approvals.add_column(sa.Column("first_by", Words(), nullable=False, server_default=""))
        approvals.add_column(sa.Column("first_at", Instant()))
        approvals.add_column(sa.Column("first_comment", Words(), nullable=False, server_default=""))
