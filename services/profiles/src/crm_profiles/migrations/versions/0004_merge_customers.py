"""Merge customers who are one person, and undo it.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


STATES = ("open", "dismissed", "merged")
KEYS = ("contact_point", "email_name", "external_id", "name_and_birth", "birth")

# The look at who has changed plans itself anew each time; this is the first.
BEGIN_TO_LOOK = """
    INSERT INTO due (kind, ref, at, try_at, attempts)
    VALUES ('match-customers', '00000000-0000-0000-0000-000000000000', now(), now(), 0)
"""


def upgrade() -> None:
    op.alter_column("customer_aliases", "version", new_column_name="sequence")
    op.create_table(
        "undone_merges",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_undone_merges"),
    )
    _create_merges()
    _create_duplicates()
    op.create_index(
        "ix_customer_versions_recorded_at", "customer_versions", ["recorded_at"], postgresql_using="brin"
    )
    op.execute(BEGIN_TO_LOOK)


def _create_merges() -> None:
    op.create_table(
        "merges",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True, cache=1), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=False),
        sa.Column("absorbed_id", sa.Uuid(), nullable=False),
        sa.Column("survivor_version", sa.BigInteger(), nullable=False),
        sa.Column("absorbed_version", sa.BigInteger(), nullable=False),
        sa.Column("prefer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("moved", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("undo_reason", sa.Text(), nullable=True),
        sa.Column("kept", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "(undone_at IS NULL) = (undone_by IS NULL)", name=op.f("ck_merges_undone_by_somebody")
        ),
        sa.CheckConstraint("survivor_id <> absorbed_id", name=op.f("ck_merges_two_customers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merges")),
        sa.UniqueConstraint("sequence", name=op.f("uq_merges_sequence")),
    )
    op.create_index(
        "uq_merges_in_force",
        "merges",
        ["absorbed_id"],
        unique=True,
        postgresql_where=sa.text("undone_at IS NULL"),
    )
    op.create_index("ix_merges_absorbed_id", "merges", ["absorbed_id"])
    op.create_index("ix_merges_survivor_id", "merges", ["survivor_id"])
    op.create_table(
        "merge_images",
        sa.Column("merge_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("missing", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["merge_id"], ["merges.id"], name=op.f("fk_merge_images_merge_id_merges")),
        sa.PrimaryKeyConstraint("merge_id", "customer_id", name=op.f("pk_merge_images")),
    )
    op.create_index(op.f("ix_merge_images_customer_id"), "merge_images", ["customer_id"])


def _create_duplicates() -> None:
    op.create_table(
        "duplicates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("second_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Enum(*STATES, name="duplicatestate", native_enum=False), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("merge_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("first_id < second_id", name=op.f("ck_duplicates_in_order")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duplicates")),
        sa.UniqueConstraint("first_id", "second_id", name=op.f("uq_duplicates_first_id_second_id")),
    )
    op.create_index("ix_duplicates_by_score", "duplicates", ["state", "score", "id"])
    op.create_index("ix_duplicates_second_id", "duplicates", ["second_id"])
    op.create_table(
        "matched_customers",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_matched_customers")),
    )
    op.create_table(
        "matching_keys",
        sa.Column("kind", sa.Enum(*KEYS, name="keykind", native_enum=False), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("former", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", "customer_id", name=op.f("pk_matching_keys")),
    )
    op.create_index("ix_matching_keys_customer_id", "matching_keys", ["customer_id"])


def downgrade() -> None:
    op.execute("DELETE FROM due WHERE kind = 'match-customers'")
    op.drop_index("ix_customer_versions_recorded_at", table_name="customer_versions")
    for table in ("matching_keys", "matched_customers", "duplicates", "merge_images", "merges"):
        op.drop_table(table)
    op.drop_table("undone_merges")
    op.alter_column("customer_aliases", "sequence", new_column_name="version")
