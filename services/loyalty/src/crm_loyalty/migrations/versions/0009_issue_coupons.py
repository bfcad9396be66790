"""Issue coupons, and let rewards be coupons.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "coupon_counts",
        sa.Column("series_key", sa.Text(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("issued >= 0 AND used >= 0", name=op.f("ck_coupon_counts_not_negative")),
        sa.PrimaryKeyConstraint("series_key", name=op.f("pk_coupon_counts")),
    )
    op.create_table(
        "coupon_series",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "value",
            sa.Enum("amount", "percent", "free_item", name="valuekind", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("basis_points", sa.BigInteger(), nullable=True),
        sa.Column("max_discount", sa.BigInteger(), nullable=True),
        sa.Column("free_product", sa.Text(), nullable=True),
        sa.Column("products", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("categories", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("minimum", sa.BigInteger(), nullable=False),
        sa.Column("max_issued", sa.BigInteger(), nullable=True),
        sa.Column("max_uses", sa.BigInteger(), nullable=True),
        sa.Column("max_uses_per_customer", sa.BigInteger(), nullable=True),
        sa.Column(
            "stacking",
            sa.Enum("exclusive", "stackable", "best_of", name="stacking", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("stacking_class", sa.Text(), nullable=True),
        sa.Column("stacks_with", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_days", sa.BigInteger(), nullable=True),
        sa.Column(
            "on_refund",
            sa.Enum("lost", "keep", "extend", name="onrefund", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("extend_days", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("ck_coupon_series_valid_until_after_from")),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_coupon_series")),
    )
    op.create_table(
        "coupons",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("series_key", sa.Text(), nullable=False),
        sa.Column("series_version", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("personal", sa.Boolean(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "issued", "reserved", "redeemed", "void", name="couponstate", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_key", "series_version"],
            ["coupon_series.key", "coupon_series.version"],
            name=op.f("fk_coupons_series_key_series_version_coupon_series"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("digest", name=op.f("uq_coupons_digest")),
    )
    op.create_index(
        "ix_coupons_batch_id",
        "coupons",
        ["batch_id", "id"],
        unique=False,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_table(
        "coupon_owners",
        sa.Column("coupon_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["coupon_id"], ["coupons.id"], name=op.f("fk_coupon_owners_coupon_id_coupons")
        ),
        sa.PrimaryKeyConstraint("coupon_id", name=op.f("pk_coupon_owners")),
    )
    op.create_index(op.f("ix_coupon_owners_customer_id"), "coupon_owners", ["customer_id"], unique=False)
    op.create_index(
        op.f("ix_coupon_owners_origin_customer_id"), "coupon_owners", ["origin_customer_id"], unique=False
    )
    op.create_table(
        "coupon_uses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=False),
        sa.Column("series_key", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "reserved",
                "redeemed",
                "released",
                "restored",
                name="usestate",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("order_source", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("discount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("discount >= 0", name=op.f("ck_coupon_uses_discount_not_negative")),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupons.id"], name=op.f("fk_coupon_uses_coupon_id_coupons")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupon_uses")),
    )
    op.create_index(op.f("ix_coupon_uses_coupon_id"), "coupon_uses", ["coupon_id"], unique=False)
    op.create_index(op.f("ix_coupon_uses_customer_id"), "coupon_uses", ["customer_id"], unique=False)
    op.create_index("ix_coupon_uses_order", "coupon_uses", ["order_source", "order_id"], unique=False)
    op.create_index(
        op.f("ix_coupon_uses_origin_customer_id"), "coupon_uses", ["origin_customer_id"], unique=False
    )
    op.create_index(
        "uq_coupon_uses_live",
        "coupon_uses",
        ["coupon_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('reserved', 'redeemed')"),
    )
    op.add_column("rewards", sa.Column("coupon_series", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("rewards", "coupon_series")
    op.drop_index(
        "uq_coupon_uses_live",
        table_name="coupon_uses",
        postgresql_where=sa.text("state IN ('reserved', 'redeemed')"),
    )
    op.drop_index(op.f("ix_coupon_uses_origin_customer_id"), table_name="coupon_uses")
    op.drop_index("ix_coupon_uses_order", table_name="coupon_uses")
    op.drop_index(op.f("ix_coupon_uses_customer_id"), table_name="coupon_uses")
    op.drop_index(op.f("ix_coupon_uses_coupon_id"), table_name="coupon_uses")
    op.drop_table("coupon_uses")
    op.drop_index(op.f("ix_coupon_owners_origin_customer_id"), table_name="coupon_owners")
    op.drop_index(op.f("ix_coupon_owners_customer_id"), table_name="coupon_owners")
    op.drop_table("coupon_owners")
    op.drop_index(
        "ix_coupons_batch_id", table_name="coupons", postgresql_where=sa.text("batch_id IS NOT NULL")
    )
    op.drop_table("coupons")
    op.drop_table("coupon_series")
    op.drop_table("coupon_counts")
