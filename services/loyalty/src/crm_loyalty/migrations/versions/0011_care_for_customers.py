"""Care for customers: plans, texts, whom they reach, and messages.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "addressees",
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("birthday", sa.Text(), nullable=True),
        sa.Column("joined_on", sa.Date(), nullable=True),
        sa.Column("joined_day", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("origin_customer_id", name=op.f("pk_addressees")),
    )
    op.create_index("ix_addressees_birthday", "addressees", ["birthday"], unique=False)
    op.create_index(op.f("ix_addressees_customer_id"), "addressees", ["customer_id"], unique=False)
    op.create_index("ix_addressees_joined_day", "addressees", ["joined_day"], unique=False)
    op.create_table(
        "care_occasions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("plan_key", sa.Text(), nullable=False),
        sa.Column("cycle", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "planned", "held", "done", "skipped", name="occasionstate", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("act_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plan_version", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=True),
        sa.Column("coupon_id", sa.Uuid(), nullable=True),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_care_occasions")),
        sa.UniqueConstraint(
            "plan_key",
            "origin_customer_id",
            "cycle",
            name=op.f("uq_care_occasions_plan_key_origin_customer_id_cycle"),
        ),
    )
    op.create_index(
        "ix_care_occasions_of_customer", "care_occasions", ["customer_id", "plan_key", "cycle"], unique=False
    )
    op.create_index("ix_care_occasions_of_plan", "care_occasions", ["plan_key", "id"], unique=False)
    op.create_index(
        op.f("ix_care_occasions_origin_customer_id"), "care_occasions", ["origin_customer_id"], unique=False
    )
    op.create_table(
        "care_plans",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trigger", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("audience", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("action", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("max_per_year", sa.BigInteger(), nullable=True),
        sa.Column("budget", sa.BigInteger(), nullable=True),
        sa.Column("window_start", sa.Text(), nullable=False),
        sa.Column("window_end", sa.Text(), nullable=False),
        sa.Column("patience_days", sa.BigInteger(), nullable=False),
        sa.Column(
            "after_complaint",
            sa.Enum("release", "drop", name="aftercomplaint", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_care_plans")),
    )
    op.create_table(
        "care_schedules",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("planned_on", sa.Date(), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_care_schedules")),
        sa.UniqueConstraint("id", name=op.f("uq_care_schedules_id")),
    )
    op.create_table(
        "care_templates",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("default_language", sa.Text(), nullable=False),
        sa.Column("texts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_care_templates")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("unsubscribe_url", sa.Text(), nullable=True),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("template_version", sa.BigInteger(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("plan_key", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "sent",
                "delivered",
                "failed",
                "answered",
                name="messagestate",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_customer_id"), "messages", ["customer_id"], unique=False)
    op.create_index(
        "ix_messages_mailbox",
        "messages",
        ["id"],
        unique=False,
        postgresql_where=sa.text("carrier = 'mailbox'"),
    )
    op.create_index("ix_messages_of_plan", "messages", ["plan_key"], unique=False)
    op.create_index(op.f("ix_messages_origin_customer_id"), "messages", ["origin_customer_id"], unique=False)
    op.create_index(
        "ix_messages_queued",
        "messages",
        ["try_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "severe_complaints",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_severe_complaints")),
    )
    op.create_index(
        op.f("ix_severe_complaints_customer_id"), "severe_complaints", ["customer_id"], unique=False
    )
    op.create_index(
        op.f("ix_severe_complaints_origin_customer_id"),
        "severe_complaints",
        ["origin_customer_id"],
        unique=False,
    )
    op.create_index("ix_tier_changes_at", "tier_changes", ["at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_tier_changes_at", table_name="tier_changes")
    op.drop_index(op.f("ix_severe_complaints_origin_customer_id"), table_name="severe_complaints")
    op.drop_index(op.f("ix_severe_complaints_customer_id"), table_name="severe_complaints")
    op.drop_table("severe_complaints")
    op.drop_index("ix_messages_queued", table_name="messages", postgresql_where=sa.text("state = 'queued'"))
    op.drop_index(op.f("ix_messages_origin_customer_id"), table_name="messages")
    op.drop_index("ix_messages_of_plan", table_name="messages")
    op.drop_index(
        "ix_messages_mailbox", table_name="messages", postgresql_where=sa.text("carrier = 'mailbox'")
    )
    op.drop_index(op.f("ix_messages_customer_id"), table_name="messages")
    op.drop_table("messages")
    op.drop_table("care_templates")
    op.drop_table("care_schedules")
    op.drop_table("care_plans")
    op.drop_index(op.f("ix_care_occasions_origin_customer_id"), table_name="care_occasions")
    op.drop_index("ix_care_occasions_of_plan", table_name="care_occasions")
    op.drop_index("ix_care_occasions_of_customer", table_name="care_occasions")
    op.drop_table("care_occasions")
    op.drop_index("ix_addressees_joined_day", table_name="addressees")
    op.drop_index(op.f("ix_addressees_customer_id"), table_name="addressees")
    op.drop_index("ix_addressees_birthday", table_name="addressees")
    op.drop_table("addressees")
