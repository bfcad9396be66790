"""Create the tables.

Revision 0001, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("profile_version", sa.BigInteger(), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "vip", "important", "ordinary", "potential", name="level", native_enum=False, length=None
            ),
            nullable=True,
        ),
        sa.Column("level_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customers"),
    )
    op.create_table(
        "service_targets",
        sa.Column(
            "kind",
            sa.Enum(
                "enquiry", "suggestion", "complaint", "praise", name="kind", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column(
            "severity",
            sa.Enum("low", "normal", "high", "critical", name="severity", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column(
            "level",
            sa.Enum(
                "vip", "important", "ordinary", "potential", name="level", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column("policy_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("respond_minutes", sa.BigInteger(), nullable=False),
        sa.Column("resolve_minutes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "severity", "level", "policy_version", name="pk_service_targets"),
        comment="seed",
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "enquiry", "suggestion", "complaint", "praise", name="kind", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column(
            "severity",
            sa.Enum("low", "normal", "high", "critical", name="severity", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column(
            "channel",
            sa.Enum(
                "phone",
                "email",
                "web",
                "chat",
                "social",
                "shop",
                name="channel",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("open", "responded", "resolved", "closed", name="status", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column(
            "level",
            sa.Enum(
                "vip", "important", "ordinary", "potential", name="level", native_enum=False, length=None
            ),
            nullable=True,
        ),
        sa.Column("level_rank", sa.BigInteger(), nullable=False),
        sa.Column("severity_rank", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("respond_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolve_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("responded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tickets"),
        sa.UniqueConstraint("number", name="uq_tickets_number"),
    )
    op.create_index("ix_tickets_customer_id", "tickets", ["customer_id", "id"], unique=False)
    op.create_index("ix_tickets_origin_customer_id", "tickets", ["origin_customer_id"], unique=False)
    op.create_index(
        "ix_tickets_queue",
        "tickets",
        ["level_rank", "severity_rank", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('open', 'responded')"),
    )
    op.create_index("ix_tickets_status", "tickets", ["status", "id"], unique=False)
    op.create_table(
        "ticket_events",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "step",
            sa.Enum("open", "respond", "resolve", "close", name="step", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("artefact", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name="fk_ticket_events_ticket_id_tickets", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_id", "version", name="pk_ticket_events"),
    )
    # The worse the matter and the more valuable the customer, the sooner; ideas and praise may wait twice as long.
    op.execute(
        """
        INSERT INTO service_targets (kind, severity, level, policy_version, respond_minutes, resolve_minutes)
        SELECT kind, severity, level, 1, respond * patience / haste, resolve * patience / haste
        FROM (VALUES ('critical', 60, 480), ('high', 240, 1440), ('normal', 1440, 4320), ('low', 2880, 10080))
                 AS severities (severity, respond, resolve),
             (VALUES ('vip', 4), ('important', 2), ('ordinary', 1), ('potential', 1)) AS levels (level, haste),
             (VALUES ('complaint', 1), ('enquiry', 1), ('suggestion', 2), ('praise', 2)) AS kinds (kind, patience)
        """
    )
    op.create_table(
        "broker",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_broker"),
    )
    op.create_table(
        "customer_aliases",
        sa.Column("absorbed", sa.Uuid(), nullable=False),
        sa.Column("survivor", sa.Uuid(), nullable=False),
        sa.Column("merge_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("absorbed", name="pk_customer_aliases"),
    )
    op.create_index("ix_customer_aliases_survivor", "customer_aliases", ["survivor"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True, cache=1), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("record_key", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "parked", "redriving", "handled", "discarded", name="state", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sa.UniqueConstraint("seq", name="uq_dead_letters_seq"),
    )
    op.create_index(
        "ix_dead_letters_waiting",
        "dead_letters",
        ["consumer", "key", "seq"],
        unique=False,
        postgresql_where=sa.text("state IN ('parked', 'redriving')"),
    )
    op.create_table(
        "due",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "ref", name="pk_due"),
    )
    op.create_index("ix_due_try_at", "due", ["try_at"], unique=False)
    op.create_table(
        "erased_customers",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_erased_customers"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("customer_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "method", "route", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_index(
        "ix_idempotency_keys_customer_ids",
        "idempotency_keys",
        ["customer_ids"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "source", "event_id", name="pk_inbox"),
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued", "running", "succeeded", "failed", name="jobstate", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("checkpoint", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True, cache=1), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("causation_id", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("seq", name="uq_outbox_seq"),
    )
    op.create_index("ix_outbox_key", "outbox", ["key"], unique=False)
    op.create_index("ix_outbox_time", "outbox", ["time"], unique=False, postgresql_using="brin")
    op.create_index(
        "ix_outbox_unsent", "outbox", ["seq"], unique=False, postgresql_where=sa.text("sent_at IS NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_unsent", table_name="outbox", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_index("ix_outbox_time", table_name="outbox")
    op.drop_index("ix_outbox_key", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(
        "ix_jobs_open", table_name="jobs", postgresql_where=sa.text("state IN ('queued', 'running')")
    )
    op.drop_table("jobs")
    op.drop_index("ix_inbox_received_at", table_name="inbox")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_keys_customer_ids", table_name="idempotency_keys", postgresql_using="gin")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("erased_customers")
    op.drop_index("ix_due_try_at", table_name="due")
    op.drop_table("due")
    op.drop_index(
        "ix_dead_letters_waiting",
        table_name="dead_letters",
        postgresql_where=sa.text("state IN ('parked', 'redriving')"),
    )
    op.drop_table("dead_letters")
    op.drop_index("ix_customer_aliases_survivor", table_name="customer_aliases")
    op.drop_table("customer_aliases")
    op.drop_table("broker")
    op.drop_table("ticket_events")
    op.drop_index("ix_tickets_status", table_name="tickets")
    op.drop_index(
        "ix_tickets_queue", table_name="tickets", postgresql_where=sa.text("status IN ('open', 'responded')")
    )
    op.drop_index("ix_tickets_origin_customer_id", table_name="tickets")
    op.drop_index("ix_tickets_customer_id", table_name="tickets")
    op.drop_table("tickets")
    op.drop_table("service_targets")
    op.drop_table("customers")
