"""Remember which merges were undone, and whom jobs are about.

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
    op.add_column("jobs", sa.Column("customer_ids", sa.ARRAY(sa.Uuid()), nullable=False, server_default="{}"))
    op.alter_column("jobs", "customer_ids", server_default=None)
    op.create_index("ix_jobs_customer_ids", "jobs", ["customer_ids"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_jobs_customer_ids", table_name="jobs", postgresql_using="gin")
    op.drop_column("jobs", "customer_ids")
    op.drop_table("undone_merges")
    op.alter_column("customer_aliases", "sequence", new_column_name="version")
