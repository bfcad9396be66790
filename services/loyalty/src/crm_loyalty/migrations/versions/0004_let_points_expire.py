"""Let points expire and refunds take them back.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _names(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, length=None)


def upgrade() -> None:
    op.create_table(
        "points_policies",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column(
            "expiry",
            _names("expiryrule", "never", "days", "end_of_month", "end_of_year", "inactivity"),
            nullable=False,
        ),
        sa.Column("expires_after", sa.BigInteger(), nullable=True),
        sa.Column("notice_days", sa.BigInteger(), nullable=False),
        sa.Column("debt", _names("debtrule", "owe", "forgive"), nullable=False),
        sa.Column("approval_above", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(expiry = 'never') = (expires_after IS NULL)",
            name=op.f("ck_points_policies_never_after_nothing"),
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_points_policies")),
    )
    op.create_table(
        "order_payments",
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["transactions.id"],
            name=op.f("fk_order_payments_transaction_id_transactions"),
        ),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f("pk_order_payments")),
    )
    op.create_index("ix_order_payments_customer_id", "order_payments", ["customer_id"])
    op.create_index("ix_order_payments_origin_customer_id", "order_payments", ["origin_customer_id"])
    op.create_index("ix_order_payments_order", "order_payments", ["source", "external_id"])
    op.create_table(
        "earned_lines",
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_earned_lines_transaction_id_transactions")
        ),
        sa.PrimaryKeyConstraint("transaction_id", "line", name=op.f("pk_earned_lines")),
    )
    op.create_table(
        "returned_lines",
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["transactions.id"],
            name=op.f("fk_returned_lines_transaction_id_transactions"),
        ),
        sa.PrimaryKeyConstraint("transaction_id", "line", "refund_id", name=op.f("pk_returned_lines")),
    )
    _create_adjustments()
    _extend_accounts()
    _extend_transactions()
    _extend_lots()


def _create_adjustments() -> None:
    op.create_table(
        "adjustments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("state", _names("adjustmentstate", "requested", "approved", "rejected"), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("points <> 0", name=op.f("ck_adjustments_points_not_zero")),
        sa.CheckConstraint(
            "(state = 'requested') = (decided_at IS NULL)", name=op.f("ck_adjustments_decided_once")
        ),
        sa.CheckConstraint(
            "(state = 'approved') = (transaction_id IS NOT NULL)",
            name=op.f("ck_adjustments_approved_is_posted"),
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_adjustments_transaction_id_transactions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustments")),
    )
    op.create_index("ix_adjustments_customer_id", "adjustments", ["customer_id"])
    op.create_index("ix_adjustments_origin_customer_id", "adjustments", ["origin_customer_id"])
    op.create_index("ix_adjustments_state", "adjustments", ["state", "id"])


def _extend_accounts() -> None:
    op.add_column("accounts", sa.Column("owed", sa.BigInteger(), nullable=False, server_default="0"))
    op.alter_column("accounts", "owed", server_default=None)
    op.add_column("accounts", sa.Column("active_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE accounts SET active_at = changed_at")
    op.alter_column("accounts", "active_at", nullable=False)
    op.drop_constraint("ck_accounts_balance_not_negative", "accounts")
    op.drop_constraint("ck_accounts_held_within_balance", "accounts")
    op.create_check_constraint(op.f("ck_accounts_owed_not_negative"), "accounts", "owed >= 0")
    op.create_check_constraint(
        op.f("ck_accounts_held_within_lots"), "accounts", "held BETWEEN 0 AND balance + owed"
    )


def _extend_transactions() -> None:
    op.add_column("transactions", sa.Column("reverses", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_transactions_reverses_transactions"), "transactions", "transactions", ["reverses"], ["id"]
    )
    op.create_index(
        "ix_transactions_reverses",
        "transactions",
        ["reverses"],
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )
    op.create_index(
        "ix_transactions_hold_id",
        "transactions",
        ["hold_id"],
        postgresql_where=sa.text("hold_id IS NOT NULL"),
    )
    op.create_index("ix_hold_parts_account_id", "hold_parts", ["account_id"])
    op.drop_constraint("ck_allocations_points_positive", "allocations")
    op.create_check_constraint(op.f("ck_allocations_points_not_zero"), "allocations", "points <> 0")


def _extend_lots() -> None:
    op.add_column("lots", sa.Column("idle_days", sa.BigInteger(), nullable=True))
    op.add_column("lots", sa.Column("policy_version", sa.BigInteger(), nullable=True))
    op.drop_constraint("ck_lots_amount_positive", "lots")
    op.drop_constraint("ck_lots_remaining_within_amount", "lots")
    op.create_check_constraint(op.f("ck_lots_amount_not_zero"), "lots", "amount <> 0")
    op.create_check_constraint(
        op.f("ck_lots_remaining_within_amount"),
        "lots",
        "remaining BETWEEN LEAST(amount, 0) AND GREATEST(amount, 0)",
    )
    op.create_check_constraint(op.f("ck_lots_one_expiry"), "lots", "num_nonnulls(expires_at, idle_days) <= 1")
    op.create_index("ix_lots_transaction_id", "lots", ["transaction_id"])
    op.create_index("ix_lots_debts", "lots", ["account_id"], postgresql_where=sa.text("remaining < 0"))


def downgrade() -> None:
    op.drop_index("ix_lots_debts", table_name="lots")
    op.drop_index("ix_lots_transaction_id", table_name="lots")
    op.drop_constraint("ck_lots_one_expiry", "lots")
    op.drop_constraint("ck_lots_remaining_within_amount", "lots")
    op.drop_constraint("ck_lots_amount_not_zero", "lots")
    op.create_check_constraint(
        op.f("ck_lots_remaining_within_amount"), "lots", "remaining BETWEEN 0 AND amount"
    )
    op.create_check_constraint(op.f("ck_lots_amount_positive"), "lots", "amount > 0")
    op.drop_column("lots", "policy_version")
    op.drop_column("lots", "idle_days")
    op.drop_constraint("ck_allocations_points_not_zero", "allocations")
    op.create_check_constraint(op.f("ck_allocations_points_positive"), "allocations", "points > 0")
    op.drop_index("ix_hold_parts_account_id", table_name="hold_parts")
    op.drop_index("ix_transactions_hold_id", table_name="transactions")
    op.drop_index("ix_transactions_reverses", table_name="transactions")
    op.drop_column("transactions", "reverses")
    op.drop_constraint("ck_accounts_held_within_lots", "accounts")
    op.drop_constraint("ck_accounts_owed_not_negative", "accounts")
    op.create_check_constraint(
        op.f("ck_accounts_held_within_balance"), "accounts", "held BETWEEN 0 AND balance"
    )
    op.create_check_constraint(op.f("ck_accounts_balance_not_negative"), "accounts", "balance >= 0")
    op.drop_column("accounts", "active_at")
    op.drop_column("accounts", "owed")
    op.drop_table("adjustments")
    op.drop_table("returned_lines")
    op.drop_table("earned_lines")
    op.drop_table("order_payments")
    op.drop_table("points_policies")
