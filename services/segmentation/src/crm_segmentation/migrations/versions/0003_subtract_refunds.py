"""Take refunds from what customers are worth; keep whom jobs are about.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("completes", sa.Boolean(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_customer_id"), "refunds", ["customer_id"], unique=False)
    op.create_index(op.f("ix_refunds_origin_customer_id"), "refunds", ["origin_customer_id"], unique=False)
    op.drop_index("ix_purchases_customer_id", table_name="purchases")
    op.create_index(
        "ix_purchases_customer_id",
        "purchases",
        ["customer_id", "occurred_at"],
        unique=False,
        postgresql_include=["amount", "currency", "purchase_id"],
    )
    op.add_column("jobs", sa.Column("customer_ids", sa.ARRAY(sa.Uuid()), nullable=False, server_default="{}"))
    op.alter_column("jobs", "customer_ids", server_default=None)
    op.create_index("ix_jobs_customer_ids", "jobs", ["customer_ids"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_jobs_customer_ids", table_name="jobs", postgresql_using="gin")
    op.drop_column("jobs", "customer_ids")
    op.drop_index("ix_purchases_customer_id", table_name="purchases")
    op.create_index(
        "ix_purchases_customer_id",
        "purchases",
        ["customer_id", "occurred_at"],
        unique=False,
        postgresql_include=["amount", "currency"],
    )
    op.drop_table("refunds")
