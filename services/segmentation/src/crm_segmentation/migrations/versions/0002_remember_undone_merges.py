"""Remember which merges were undone.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("customer_aliases", "version", new_column_name="sequence")
    op.create_table(
        "undone_merges",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_undone_merges"),
    )


def downgrade() -> None:
    op.drop_table("undone_merges")
    op.alter_column("customer_aliases", "sequence", new_column_name="version")
