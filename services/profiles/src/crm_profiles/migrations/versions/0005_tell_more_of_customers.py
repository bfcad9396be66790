"""Refunds, interactions and complaints on the file.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interactions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column(
            "channel",
            sa.Enum(
                "call",
                "email",
                "visit",
                "chat",
                "social",
                "letter",
                "other",
                name="interactionchannel",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column(
            "direction",
            sa.Enum("inbound", "outbound", name="direction", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_seconds", sa.BigInteger(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("feedback_score", sa.SmallInteger(), nullable=True),
        sa.Column("feedback_text", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_interactions_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interactions")),
    )
    op.create_index(
        "ix_interactions_of_customer", "interactions", ["customer_id", "occurred_at", "id"], unique=False
    )
    op.create_index(
        op.f("ix_interactions_origin_customer_id"), "interactions", ["origin_customer_id"], unique=False
    )
    op.create_index(
        "uq_interactions_source_external_id", "interactions", ["source", "external_id"], unique=True
    )
    op.create_table(
        "notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("need", "relationship", "general", name="notekind", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=True),
        sa.Column("follow_up_id", sa.Uuid(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_notes_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
    )
    op.create_index("ix_notes_of_customer", "notes", ["customer_id", "id"], unique=False)
    op.create_index(op.f("ix_notes_origin_customer_id"), "notes", ["origin_customer_id"], unique=False)
    op.create_table(
        "tickets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
    )
    op.create_index("ix_tickets_of_customer", "tickets", ["customer_id", "opened_at", "id"], unique=False)
    op.create_index(op.f("ix_tickets_origin_customer_id"), "tickets", ["origin_customer_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("purchase_version", sa.BigInteger(), nullable=False),
        sa.Column(
            "purchase_status",
            sa.Enum(
                "kept", "partly_refunded", "refunded", name="purchasestatus", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column("refunded_total", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_refunds_amount")),
        sa.ForeignKeyConstraint(
            ["purchase_id"], ["purchases.id"], name=op.f("fk_refunds_purchase_id_purchases")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index("ix_refunds_of_customer", "refunds", ["customer_id", "occurred_at", "id"], unique=False)
    op.create_index(op.f("ix_refunds_origin_customer_id"), "refunds", ["origin_customer_id"], unique=False)
    op.create_index(op.f("ix_refunds_purchase_id"), "refunds", ["purchase_id"], unique=False)
    op.create_index("uq_refunds_source_external_id", "refunds", ["source", "external_id"], unique=True)
    op.create_table(
        "refund_lines",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_refund_lines_amount")),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_refund_lines_quantity")),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["refunds.id"], name=op.f("fk_refund_lines_refund_id_refunds")
        ),
        sa.PrimaryKeyConstraint("refund_id", "line", name=op.f("pk_refund_lines")),
    )
    op.add_column("purchase_lines", sa.Column("price", sa.BigInteger(), nullable=True))
    op.add_column("purchase_lines", sa.Column("discount", sa.BigInteger(), nullable=True))
    op.add_column(
        "purchase_lines",
        sa.Column("refunded_quantity", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "purchase_lines", sa.Column("refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column(
        "purchases",
        sa.Column(
            "channel",
            sa.Enum(
                "store",
                "web",
                "app",
                "marketplace",
                "phone",
                "social",
                "other",
                name="saleschannel",
                native_enum=False,
                length=None,
            ),
            nullable=True,
        ),
    )
    op.add_column(
        "purchases", sa.Column("refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column(
        "purchases",
        sa.Column(
            "status",
            sa.Enum(
                "kept", "partly_refunded", "refunded", name="purchasestatus", native_enum=False, length=None
            ),
            server_default="kept",
            nullable=False,
        ),
    )
    op.create_check_constraint(op.f("ck_purchases_refunded"), "purchases", "refunded BETWEEN 0 AND amount")
    op.create_check_constraint(
        op.f("ck_purchase_lines_refunded"), "purchase_lines", "refunded BETWEEN 0 AND amount"
    )
    op.create_check_constraint(
        op.f("ck_purchase_lines_refunded_quantity"),
        "purchase_lines",
        "refunded_quantity BETWEEN 0 AND quantity",
    )
    op.drop_index("ix_purchases_of_customer", table_name="purchases")
    op.create_index(
        "ix_purchases_of_customer",
        "purchases",
        ["customer_id", "occurred_at", "id"],
        unique=False,
        postgresql_include=["currency", "amount", "refunded"],
    )
    op.create_index(
        "ix_timeline_entries_of_family",
        "timeline_entries",
        ["customer_id", sa.literal_column("split_part(type, '.', 1)"), "occurred_at", "id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_timeline_entries_of_family", table_name="timeline_entries")
    op.drop_index("ix_purchases_of_customer", table_name="purchases")
    op.create_index(
        "ix_purchases_of_customer",
        "purchases",
        ["customer_id", "occurred_at", "id"],
        unique=False,
        postgresql_include=["currency", "amount"],
    )
    op.drop_constraint(op.f("ck_purchase_lines_refunded_quantity"), "purchase_lines", type_="check")
    op.drop_constraint(op.f("ck_purchase_lines_refunded"), "purchase_lines", type_="check")
    op.drop_constraint(op.f("ck_purchases_refunded"), "purchases", type_="check")
    op.drop_column("purchases", "status")
    op.drop_column("purchases", "refunded")
    op.drop_column("purchases", "channel")
    op.drop_column("purchase_lines", "refunded")
    op.drop_column("purchase_lines", "refunded_quantity")
    op.drop_column("purchase_lines", "discount")
    op.drop_column("purchase_lines", "price")
    op.drop_table("refund_lines")
    op.drop_index("uq_refunds_source_external_id", table_name="refunds")
    op.drop_index(op.f("ix_refunds_purchase_id"), table_name="refunds")
    op.drop_index(op.f("ix_refunds_origin_customer_id"), table_name="refunds")
    op.drop_index("ix_refunds_of_customer", table_name="refunds")
    op.drop_table("refunds")
    op.drop_index(op.f("ix_tickets_origin_customer_id"), table_name="tickets")
    op.drop_index("ix_tickets_of_customer", table_name="tickets")
    op.drop_table("tickets")
    op.drop_index(op.f("ix_notes_origin_customer_id"), table_name="notes")
    op.drop_index("ix_notes_of_customer", table_name="notes")
    op.drop_table("notes")
    op.drop_index("uq_interactions_source_external_id", table_name="interactions")
    op.drop_index(op.f("ix_interactions_origin_customer_id"), table_name="interactions")
    op.drop_index("ix_interactions_of_customer", table_name="interactions")
    op.drop_table("interactions")
