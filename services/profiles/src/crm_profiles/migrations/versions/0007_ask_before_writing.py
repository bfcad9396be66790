"""Consents, quiet hours, frequency caps and the log of messages.

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
        "consent_statements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column(
            "channel",
            sa.Enum(
                "email",
                "sms",
                "phone",
                "social",
                "letter",
                "push",
                name="contactchannel",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum("granted", "denied", name="consentstate", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column(
            "basis",
            sa.Enum(
                "consent",
                "contract",
                "legitimate_interest",
                "legal_obligation",
                "objection",
                name="basis",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("until > since", name=op.f("ck_consent_statements_until_after_since")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_statements")),
    )
    op.create_index(
        "ix_consent_statements_history",
        "consent_statements",
        ["customer_id", "recorded_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_consent_statements_newest",
        "consent_statements",
        ["customer_id", "purpose", "channel", "since"],
        unique=False,
    )
    op.create_index(
        op.f("ix_consent_statements_origin_customer_id"),
        "consent_statements",
        ["origin_customer_id"],
        unique=False,
    )
    op.create_table(
        "contact_policies",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_contact_policies")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("template_version", sa.BigInteger(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("campaign", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attribution_days", sa.BigInteger(), nullable=True),
        sa.Column("against_consent", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("attribution_days > 0", name=op.f("ck_messages_attribution_days")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_of_customer", "messages", ["customer_id", "sent_at", "id"], unique=False)
    op.create_index(op.f("ix_messages_origin_customer_id"), "messages", ["origin_customer_id"], unique=False)
    op.create_index("ix_messages_sent_at", "messages", ["sent_at"], unique=False)
    op.create_index("uq_messages_source_external_id", "messages", ["source", "external_id"], unique=True)
    op.create_table(
        "permissions",
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("quiet_hours", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("quiet_hours_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("caps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("caps_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("origin_customer_id", name=op.f("pk_permissions")),
    )
    op.create_index(op.f("ix_permissions_customer_id"), "permissions", ["customer_id"], unique=False)
    op.create_table(
        "conversions",
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("purchased_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["messages.id"],
            name=op.f("fk_conversions_message_id_messages"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["purchase_id"], ["purchases.id"], name=op.f("fk_conversions_purchase_id_purchases")
        ),
        sa.PrimaryKeyConstraint("purchase_id", name=op.f("pk_conversions")),
    )
    op.create_index(op.f("ix_conversions_message_id"), "conversions", ["message_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_conversions_message_id"), table_name="conversions")
    op.drop_table("conversions")
    op.drop_index(op.f("ix_permissions_customer_id"), table_name="permissions")
    op.drop_table("permissions")
    op.drop_index("uq_messages_source_external_id", table_name="messages")
    op.drop_index("ix_messages_sent_at", table_name="messages")
    op.drop_index(op.f("ix_messages_origin_customer_id"), table_name="messages")
    op.drop_index("ix_messages_of_customer", table_name="messages")
    op.drop_table("messages")
    op.drop_table("contact_policies")
    op.drop_index(op.f("ix_consent_statements_origin_customer_id"), table_name="consent_statements")
    op.drop_index("ix_consent_statements_newest", table_name="consent_statements")
    op.drop_index("ix_consent_statements_history", table_name="consent_statements")
    op.drop_table("consent_statements")
