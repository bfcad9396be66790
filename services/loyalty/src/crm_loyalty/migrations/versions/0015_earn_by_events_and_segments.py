"""Give points for any event, and ask for segments.

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NOWHERE = sa.text("'{}'")
EVERYBODY = sa.text("""'{"any_of": [], "none_of": []}'""")


def upgrade() -> None:
    op.create_table(
        "earning_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("birthday_offset", sa.BigInteger(), nullable=True),
        sa.Column("segments", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("explanation", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_earning_events")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_earning_events_source_external_id")),
    )
    op.create_index("ix_earning_events_of_customer", "earning_events", ["customer_id", "occurred_at", "id"])
    op.create_index("ix_earning_events_occurred_at", "earning_events", ["occurred_at", "id"])
    op.create_index(op.f("ix_earning_events_origin_customer_id"), "earning_events", ["origin_customer_id"])
    op.create_table(
        "memberships",
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("member", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("origin_customer_id", "segment", name=op.f("pk_memberships")),
    )
    op.create_index("ix_memberships_of_segment", "memberships", ["segment", "customer_id"])
    op.create_index(op.f("ix_memberships_customer_id"), "memberships", ["customer_id"])
    op.alter_column("awards", "purchase_id", new_column_name="cause_id")
    op.alter_column("pending_awards", "purchase_id", new_column_name="cause_id")
    op.add_column("pending_awards", sa.Column("event_type", sa.Text(), nullable=True))
    op.add_column(
        "purchases",
        sa.Column("segments", postgresql.ARRAY(sa.Text()), server_default=NOWHERE, nullable=False),
    )
    op.alter_column("purchases", "segments", server_default=None)
    op.add_column(
        "rewards",
        sa.Column(
            "segments",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=EVERYBODY,
            nullable=False,
        ),
    )
    op.alter_column("rewards", "segments", server_default=None)


def downgrade() -> None:
    op.drop_column("rewards", "segments")
    op.drop_column("purchases", "segments")
    op.execute("DELETE FROM pending_awards WHERE event_type IS NOT NULL")
    op.drop_column("pending_awards", "event_type")
    op.alter_column("pending_awards", "cause_id", new_column_name="purchase_id")
    op.alter_column("awards", "cause_id", new_column_name="purchase_id")
    op.drop_table("memberships")
    op.drop_table("earning_events")
