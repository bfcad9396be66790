"""Earn by conditions: rules are terms, with caps and budgets; keep purchases and what was given for them.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    rounding = sa.Enum("down", "nearest", "up", name="rounding", native_enum=False, length=None)
    op.add_column("points_policies", sa.Column("rounding", rounding, nullable=False, server_default="down"))
    op.alter_column("points_policies", "rounding", server_default=None)
    op.create_table(
        "awards",
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("points > 0", name=op.f("ck_awards_points_positive")),
        sa.PrimaryKeyConstraint("purchase_id", "rule", name=op.f("pk_awards")),
    )
    op.create_index(
        "ix_awards_of_customer",
        "awards",
        ["customer_id", "rule", "occurred_at"],
        unique=False,
        postgresql_include=["points"],
    )
    op.create_index(op.f("ix_awards_origin_customer_id"), "awards", ["origin_customer_id"], unique=False)
    op.create_table(
        "earning_budgets",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_earning_budgets_used_not_negative")),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_earning_budgets")),
    )
    op.create_table(
        "members",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("level_version", sa.BigInteger(), nullable=False),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("lunar_birth_date", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("profile_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_members")),
    )
    op.create_table(
        "purchases",
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("shop", sa.Text(), nullable=True),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("birthday_offset", sa.BigInteger(), nullable=True),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("purchase_id", name=op.f("pk_purchases")),
    )
    op.create_index("ix_purchases_occurred_at", "purchases", ["occurred_at", "purchase_id"], unique=False)
    op.create_index(
        "ix_purchases_of_customer",
        "purchases",
        ["customer_id", "occurred_at"],
        unique=False,
        postgresql_include=["amount", "refunded", "currency"],
    )
    op.create_index(
        op.f("ix_purchases_origin_customer_id"), "purchases", ["origin_customer_id"], unique=False
    )
    op.create_table(
        "pending_awards",
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("explanation", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("returned", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("points >= 0", name=op.f("ck_pending_awards_points_not_negative")),
        sa.PrimaryKeyConstraint("purchase_id", name=op.f("pk_pending_awards")),
    )
    op.create_index(op.f("ix_pending_awards_customer_id"), "pending_awards", ["customer_id"], unique=False)
    op.create_index(
        op.f("ix_pending_awards_origin_customer_id"), "pending_awards", ["origin_customer_id"], unique=False
    )
    op.add_column("earning_rules", sa.Column("terms", postgresql.JSONB(astext_type=sa.Text())))
    op.execute(
        """
        UPDATE earning_rules SET terms = jsonb_strip_nulls(jsonb_build_object(
            'description', description,
            'currency', currency,
            'rate', jsonb_build_object('kind', 'per_amount', 'points', points, 'per_amount', per_amount),
            'group', CASE WHEN key = 'base' THEN 'base' END,
            'active', active,
            'choice', 'all',
            'valid_from', valid_from,
            'valid_until', valid_until
        ))
        """
    )
    op.alter_column("earning_rules", "terms", nullable=False)
    op.drop_column("earning_rules", "valid_from")
    op.drop_column("earning_rules", "valid_until")
    op.drop_column("earning_rules", "currency")
    op.drop_column("earning_rules", "points")
    op.drop_column("earning_rules", "description")
    op.drop_column("earning_rules", "active")
    op.drop_column("earning_rules", "per_amount")


def downgrade() -> None:
    op.drop_table("pending_awards")
    op.drop_column("points_policies", "rounding")
    columns = {
        "description": sa.Text(),
        "currency": sa.Text(),
        "points": sa.BigInteger(),
        "per_amount": sa.BigInteger(),
        "active": sa.Boolean(),
        "valid_from": sa.DateTime(timezone=True),
        "valid_until": sa.DateTime(timezone=True),
    }
    for name, kind in columns.items():
        op.add_column("earning_rules", sa.Column(name, kind))
    # What the old columns cannot say is no rule any more.
    op.execute("DELETE FROM earning_rules WHERE terms -> 'rate' ->> 'kind' <> 'per_amount'")
    op.execute(
        """
        UPDATE earning_rules SET
            description = terms ->> 'description',
            currency = terms ->> 'currency',
            points = CAST(terms -> 'rate' ->> 'points' AS bigint),
            per_amount = CAST(terms -> 'rate' ->> 'per_amount' AS bigint),
            active = CAST(terms ->> 'active' AS boolean),
            valid_from = CAST(terms ->> 'valid_from' AS timestamptz),
            valid_until = CAST(terms ->> 'valid_until' AS timestamptz)
        """
    )
    for name in ("description", "currency", "points", "per_amount", "active"):
        op.alter_column("earning_rules", name, nullable=False)
    op.create_check_constraint("rate_positive", "earning_rules", "points > 0 AND per_amount > 0")
    op.create_check_constraint("valid_until_after_from", "earning_rules", "valid_until > valid_from")
    op.drop_column("earning_rules", "terms")
    op.drop_index(op.f("ix_purchases_origin_customer_id"), table_name="purchases")
    op.drop_index(
        "ix_purchases_of_customer",
        table_name="purchases",
        postgresql_include=["amount", "refunded", "currency"],
    )
    op.drop_index("ix_purchases_occurred_at", table_name="purchases")
    op.drop_table("purchases")
    op.drop_table("members")
    op.drop_table("earning_budgets")
    op.drop_index(op.f("ix_awards_origin_customer_id"), table_name="awards")
    op.drop_index("ix_awards_of_customer", table_name="awards", postgresql_include=["points"])
    op.drop_table("awards")
