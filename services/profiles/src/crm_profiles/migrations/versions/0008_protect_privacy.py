"""Exports of all that is held about a person; who must not come back; whom jobs are about.

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("erasures", sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        """
        UPDATE erasures SET completed_at = done.at
        FROM (
            SELECT erasure_id, max(confirmed_at) AS at FROM erasure_confirmations
            GROUP BY erasure_id HAVING count(*) = 4
        ) AS done
        WHERE done.erasure_id = erasures.id
        """
    )
    op.create_index(
        "ix_erasures_open",
        "erasures",
        ["id"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.create_table(
        "suppressions",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("contact_point", "external_id", name="suppressedkind", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("suppressed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.Column("lift_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["erasure_id"], ["erasures.id"], name=op.f("fk_suppressions_erasure_id_erasures")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_suppressions")),
    )
    op.create_index(op.f("ix_suppressions_erasure_id"), "suppressions", ["erasure_id"], unique=False)
    op.create_table(
        "privacy_exports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expired", sa.Boolean(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_privacy_exports")),
    )
    op.create_index(op.f("ix_privacy_exports_customer_id"), "privacy_exports", ["customer_id"], unique=False)
    op.create_index(
        op.f("ix_privacy_exports_origin_customer_id"), "privacy_exports", ["origin_customer_id"], unique=False
    )
    op.create_table(
        "privacy_export_parts",
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("page", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("pages", sa.SmallInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"],
            ["privacy_exports.id"],
            name=op.f("fk_privacy_export_parts_export_id_privacy_exports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("export_id", "service", "page", name=op.f("pk_privacy_export_parts")),
    )
    op.add_column("jobs", sa.Column("customer_ids", sa.ARRAY(sa.Uuid()), nullable=False, server_default="{}"))
    op.alter_column("jobs", "customer_ids", server_default=None)
    op.create_index("ix_jobs_customer_ids", "jobs", ["customer_ids"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_jobs_customer_ids", table_name="jobs", postgresql_using="gin")
    op.drop_column("jobs", "customer_ids")
    op.drop_table("privacy_export_parts")
    op.drop_index(op.f("ix_privacy_exports_origin_customer_id"), table_name="privacy_exports")
    op.drop_index(op.f("ix_privacy_exports_customer_id"), table_name="privacy_exports")
    op.drop_table("privacy_exports")
    op.drop_index(op.f("ix_suppressions_erasure_id"), table_name="suppressions")
    op.drop_table("suppressions")
    op.drop_index("ix_erasures_open", table_name="erasures")
    op.drop_column("erasures", "completed_at")
