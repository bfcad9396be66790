"""Rank customers in tiers.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tier_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ladder_version", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merge_id", sa.Uuid(), nullable=True),
        sa.Column("held", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tier_changes")),
    )
    op.create_index("ix_tier_changes_merge_id", "tier_changes", ["merge_id"], unique=False)
    op.create_index("ix_tier_changes_of_customer", "tier_changes", ["customer_id", "at", "id"], unique=False)
    op.create_index(
        op.f("ix_tier_changes_origin_customer_id"), "tier_changes", ["origin_customer_id"], unique=False
    )
    op.create_table(
        "tier_ladders",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_tier_ladders")),
    )
    op.create_table(
        "tier_standings",
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announced", sa.Boolean(), nullable=False),
        sa.Column("granted", sa.Text(), nullable=True),
        sa.Column("granted_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("granted_reason", sa.Text(), nullable=True),
        sa.Column("granted_by", sa.Text(), nullable=True),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("origin_customer_id", name=op.f("pk_tier_standings")),
    )
    op.create_index(op.f("ix_tier_standings_customer_id"), "tier_standings", ["customer_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_tier_standings_customer_id"), table_name="tier_standings")
    op.drop_table("tier_standings")
    op.drop_table("tier_ladders")
    op.drop_index(op.f("ix_tier_changes_origin_customer_id"), table_name="tier_changes")
    op.drop_index("ix_tier_changes_of_customer", table_name="tier_changes")
    op.drop_index("ix_tier_changes_merge_id", table_name="tier_changes")
    op.drop_table("tier_changes")
