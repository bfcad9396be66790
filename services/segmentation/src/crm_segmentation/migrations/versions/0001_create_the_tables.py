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
        sa.Column("first_purchase_on", sa.Date(), nullable=True),
        sa.Column("last_purchase_on", sa.Date(), nullable=True),
        sa.Column("frequency", sa.BigInteger(), nullable=False),
        sa.Column("monetary", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column(
            "level",
            sa.Enum(
                "vip", "important", "ordinary", "potential", name="level", native_enum=False, length=None
            ),
            nullable=True,
        ),
        sa.Column("level_version", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("thresholds_version", sa.BigInteger(), nullable=True),
        sa.Column("flips_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customers"),
    )
    op.create_index("ix_customers_level", "customers", ["level"], unique=False)
    op.create_table(
        "level_thresholds",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("vip_monetary", sa.BigInteger(), nullable=False),
        sa.Column("vip_recency_days", sa.BigInteger(), nullable=False),
        sa.Column("important_monetary", sa.BigInteger(), nullable=False),
        sa.Column("ordinary_frequency", sa.BigInteger(), nullable=False),
        sa.Column("ordinary_recency_days", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("version", name="pk_level_thresholds"),
        comment="seed",
    )
    op.create_table(
        "purchases",
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("purchase_id", name="pk_purchases"),
    )
    op.create_index(
        "ix_purchases_customer_id",
        "purchases",
        ["customer_id", "occurred_at"],
        unique=False,
        postgresql_include=["amount", "currency"],
    )
    op.create_index("ix_purchases_origin_customer_id", "purchases", ["origin_customer_id"], unique=False)
    op.create_table(
        "level_basis",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("business_day", sa.Date(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("thresholds_version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_level_basis_one_row"),
        sa.ForeignKeyConstraint(
            ["thresholds_version"],
            ["level_thresholds.version"],
            name="fk_level_basis_thresholds_version_level_thresholds",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_level_basis"),
        comment="seed",
    )
    op.execute(
        """
        INSERT INTO level_thresholds (version, currency, vip_monetary, vip_recency_days, important_monetary,
                                      ordinary_frequency, ordinary_recency_days, created_at)
        VALUES (1, 'USD', 25000, 180, 10000, 2, 365, '2026-01-01T00:00:00Z')
        """
    )
    op.execute("INSERT INTO level_basis (id, time_zone, version, thresholds_version) VALUES (1, 'UTC', 1, 1)")
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
    op.drop_table("level_basis")
    op.drop_index("ix_purchases_origin_customer_id", table_name="purchases")
    op.drop_index(
        "ix_purchases_customer_id", table_name="purchases", postgresql_include=["amount", "currency"]
    )
    op.drop_table("purchases")
    op.drop_table("level_thresholds")
    op.drop_index("ix_customers_level", table_name="customers")
    op.drop_table("customers")
