"""Keep whom we may write to, and when, and whom jobs are about.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contact_policies",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_contact_policies")),
    )
    op.create_table(
        "permissions",
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("profile_version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("origin_customer_id", name=op.f("pk_permissions")),
    )
    op.create_index(op.f("ix_permissions_customer_id"), "permissions", ["customer_id"], unique=False)
    op.create_table(
        "sent_messages",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_sent_messages")),
    )
    op.create_index("ix_sent_messages_of_customer", "sent_messages", ["customer_id", "sent_at"], unique=False)
    op.create_index(
        op.f("ix_sent_messages_origin_customer_id"), "sent_messages", ["origin_customer_id"], unique=False
    )
    op.add_column("jobs", sa.Column("customer_ids", sa.ARRAY(sa.Uuid()), nullable=False, server_default="{}"))
    op.alter_column("jobs", "customer_ids", server_default=None)
    op.create_index("ix_jobs_customer_ids", "jobs", ["customer_ids"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_jobs_customer_ids", table_name="jobs", postgresql_using="gin")
    op.drop_column("jobs", "customer_ids")
    op.drop_index(op.f("ix_sent_messages_origin_customer_id"), table_name="sent_messages")
    op.drop_index("ix_sent_messages_of_customer", table_name="sent_messages")
    op.drop_table("sent_messages")
    op.drop_index(op.f("ix_permissions_customer_id"), table_name="permissions")
    op.drop_table("permissions")
    op.drop_table("contact_policies")
