"""Let erasure clear what somebody called an event that earned points.

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("earning_events", "external_id", existing_type=sa.Text(), nullable=True)


def downgrade() -> None:
    # What was cleared cannot come back; the id is as good a name as any, and as unique.
    op.execute("UPDATE earning_events SET external_id = id::text WHERE external_id IS NULL")
    op.alter_column("earning_events", "external_id", existing_type=sa.Text(), nullable=False)
