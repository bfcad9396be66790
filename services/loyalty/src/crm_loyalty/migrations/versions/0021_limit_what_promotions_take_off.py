"""Limit what promotions take off in all.

Revision: 0021, after 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("promotions", sa.Column("budget", sa.BigInteger(), nullable=True))
    op.create_check_constraint(
        op.f("ck_promotions_budget_has_currency"), "promotions", "budget IS NULL OR currency IS NOT NULL"
    )
    op.create_table(
        "promotion_counts",
        sa.Column("promotion", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_promotion_counts_used_not_negative")),
        sa.PrimaryKeyConstraint("promotion", "currency", name=op.f("pk_promotion_counts")),
    )
    op.create_table(
        "promotion_uses",
        sa.Column("quote_id", sa.Uuid(), nullable=False),
        sa.Column("promotion", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("order_source", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_promotion_uses_amount_positive")),
        sa.PrimaryKeyConstraint("quote_id", "promotion", name=op.f("pk_promotion_uses")),
    )
    op.create_index(op.f("ix_promotion_uses_customer_id"), "promotion_uses", ["customer_id"], unique=False)
    op.create_index(
        op.f("ix_promotion_uses_origin_customer_id"), "promotion_uses", ["origin_customer_id"], unique=False
    )
    op.create_index("ix_promotion_uses_order", "promotion_uses", ["order_source", "order_id"], unique=False)


def downgrade() -> None:
    op.drop_table("promotion_uses")
    op.drop_table("promotion_counts")
    op.drop_constraint(op.f("ck_promotions_budget_has_currency"), "promotions", type_="check")
    op.drop_column("promotions", "budget")
