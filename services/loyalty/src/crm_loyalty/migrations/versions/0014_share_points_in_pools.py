"""Let households share their points in pools.

Revision: 0014, after 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pools",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column(
            "spending",
            sa.Enum("any", "head", name="spending", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("daily_limit", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("dissolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("daily_limit > 0", name=op.f("ck_pools_daily_limit_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pools")),
    )
    op.create_table(
        "pool_members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("pool_id", sa.Uuid(), nullable=False),
        sa.Column("head", sa.Boolean(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("invited", "active", "ended", name="memberstate", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column(
            "ending",
            sa.Enum(
                *("declined", "withdrawn", "left", "removed", "dissolved", "merged"),
                name="ending",
                native_enum=False,
                length=None,
            ),
            nullable=True,
        ),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(state = 'ended') = (ended_at IS NOT NULL)", name=op.f("ck_pool_members_ended_at_its_end")
        ),
        sa.CheckConstraint(
            "(state = 'ended') = (ending IS NOT NULL)", name=op.f("ck_pool_members_ended_for_a_reason")
        ),
        sa.CheckConstraint(
            "state <> 'active' OR joined_at IS NOT NULL", name=op.f("ck_pool_members_active_since")
        ),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name=op.f("fk_pool_members_pool_id_pools")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_members")),
    )
    op.create_index(op.f("ix_pool_members_customer_id"), "pool_members", ["customer_id"])
    op.create_index(op.f("ix_pool_members_origin_customer_id"), "pool_members", ["origin_customer_id"])
    op.create_index("ix_pool_members_pool_id", "pool_members", ["pool_id", "id"])
    op.create_index(
        "uq_pool_members_active",
        "pool_members",
        ["origin_customer_id"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "uq_pool_members_once",
        "pool_members",
        ["pool_id", "origin_customer_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_index(
        "uq_pool_members_head",
        "pool_members",
        ["pool_id"],
        unique=True,
        postgresql_where=sa.text("head AND state = 'active'"),
    )
    op.add_column("accounts", sa.Column("pool_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_accounts_pool_id_pools"), "accounts", "pools", ["pool_id"], ["id"])
    op.create_index(
        "ix_accounts_pool_id", "accounts", ["pool_id"], postgresql_where=sa.text("pool_id IS NOT NULL")
    )
    op.add_column(
        "points_policies", sa.Column("pool_members_max", sa.BigInteger(), nullable=False, server_default="6")
    )
    op.alter_column("points_policies", "pool_members_max", server_default=None)


def downgrade() -> None:
    op.drop_column("points_policies", "pool_members_max")
    op.drop_index("ix_accounts_pool_id", table_name="accounts")
    op.drop_constraint(op.f("fk_accounts_pool_id_pools"), "accounts", type_="foreignkey")
    op.drop_column("accounts", "pool_id")
    op.drop_table("pool_members")
    op.drop_table("pools")
