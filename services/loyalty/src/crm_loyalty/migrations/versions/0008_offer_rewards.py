"""Offer rewards.

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reward_stock",
        sa.Column("reward_key", sa.Text(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("ordered", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("ordered >= 0", name=op.f("ck_reward_stock_ordered_not_negative")),
        sa.CheckConstraint("remaining >= 0", name=op.f("ck_reward_stock_remaining_not_negative")),
        sa.PrimaryKeyConstraint("reward_key", name=op.f("pk_reward_stock")),
    )
    op.create_table(
        "rewards",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "kind",
            sa.Enum("gift", "coupon", "discount", name="rewardkind", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("limited", sa.Boolean(), nullable=False),
        sa.Column("max_per_customer", sa.BigInteger(), nullable=True),
        sa.Column("max_total", sa.BigInteger(), nullable=True),
        sa.Column("tiers", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("levels", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("needs_approval", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("max_per_customer > 0 AND max_total > 0", name=op.f("ck_rewards_limits_positive")),
        sa.CheckConstraint("points > 0", name=op.f("ck_rewards_points_positive")),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("ck_rewards_valid_until_after_from")),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_rewards")),
    )
    op.create_table(
        "reward_orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reward_key", sa.Text(), nullable=False),
        sa.Column("reward_version", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("gift", "coupon", "discount", name="rewardkind", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "ordered",
                "approved",
                "packed",
                "shipped",
                "delivered",
                "cancelled",
                name="orderstate",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("deliver_to", sa.Text(), nullable=True),
        sa.Column("tracking", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("quantity > 0 AND points > 0", name=op.f("ck_reward_orders_quantity_positive")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_reward_orders_transaction_id_transactions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reward_orders")),
        sa.UniqueConstraint("transaction_id", name=op.f("uq_reward_orders_transaction_id")),
    )
    op.create_index(op.f("ix_reward_orders_customer_id"), "reward_orders", ["customer_id"], unique=False)
    op.create_index(
        "ix_reward_orders_limit",
        "reward_orders",
        ["customer_id", "reward_key"],
        unique=False,
        postgresql_where=sa.text("state <> 'cancelled'"),
    )
    op.create_index(
        op.f("ix_reward_orders_origin_customer_id"), "reward_orders", ["origin_customer_id"], unique=False
    )
    op.create_index("ix_reward_orders_state", "reward_orders", ["state", "id"], unique=False)
    op.create_table(
        "reward_order_steps",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "ordered",
                "approved",
                "packed",
                "shipped",
                "delivered",
                "cancelled",
                name="orderstate",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["reward_orders.id"], name=op.f("fk_reward_order_steps_order_id_reward_orders")
        ),
        sa.PrimaryKeyConstraint("order_id", "version", name=op.f("pk_reward_order_steps")),
    )


def downgrade() -> None:
    op.drop_table("reward_order_steps")
    op.drop_index("ix_reward_orders_state", table_name="reward_orders")
    op.drop_index(op.f("ix_reward_orders_origin_customer_id"), table_name="reward_orders")
    op.drop_index(
        "ix_reward_orders_limit", table_name="reward_orders", postgresql_where=sa.text("state <> 'cancelled'")
    )
    op.drop_index(op.f("ix_reward_orders_customer_id"), table_name="reward_orders")
    op.drop_table("reward_orders")
    op.drop_table("rewards")
    op.drop_table("reward_stock")
