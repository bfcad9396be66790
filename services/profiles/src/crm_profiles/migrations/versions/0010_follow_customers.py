"""Stages of the life cycle, who looks after whom, and what customers prefer.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customer_levels",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "vip", "important", "ordinary", "potential", name="level", native_enum=False, length=None
            ),
            nullable=False,
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_customer_levels_version")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_levels")),
    )
    op.create_index(
        "ix_customer_levels_since", "customer_levels", ["level", "since", "customer_id"], unique=False
    )
    op.create_table(
        "customer_stages",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column(
            "stage",
            sa.Enum(
                "awareness",
                "interaction",
                "transaction",
                "maintenance",
                "exit",
                "reactivation",
                name="stage",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("silent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_customer_stages_version")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_stages")),
    )
    op.create_index(
        "ix_customer_stages_stage", "customer_stages", ["stage", "since", "customer_id"], unique=False
    )
    op.create_table(
        "manager_assignments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("manager", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("assigned_by", sa.Text(), nullable=True),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_manager_assignments")),
    )
    op.create_index(
        "ix_manager_assignments_of_customer",
        "manager_assignments",
        ["customer_id", "assigned_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_manager_assignments_origin_customer_id"),
        "manager_assignments",
        ["origin_customer_id"],
        unique=False,
    )
    op.create_table(
        "stage_policies",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("silence_days", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_stage_policies")),
        comment="seed",
    )
    op.create_table(
        "stage_spells",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column(
            "stage",
            sa.Enum(
                "awareness",
                "interaction",
                "transaction",
                "maintenance",
                "exit",
                "reactivation",
                name="stage",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("ref", sa.Uuid(), nullable=True),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_spells")),
        sa.UniqueConstraint("customer_id", "number", name=op.f("uq_stage_spells_customer_id_number")),
    )
    op.create_index("ix_stage_spells_since", "stage_spells", ["since", "stage"], unique=False)
    op.add_column("customers", sa.Column("manager", sa.Text(), nullable=True))
    op.create_index(op.f("ix_customers_manager"), "customers", ["manager"], unique=False)
    op.create_table(
        "preferences",
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("stated", "inferred", name="preferencekind", native_enum=False, length=None),
            nullable=False,
        ),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(kind = 'inferred') = (confidence IS NOT NULL)",
            name=op.f("ck_preferences_inferred_with_confidence"),
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_preferences_confidence")),
        sa.PrimaryKeyConstraint("origin_customer_id", "topic", "kind", name=op.f("pk_preferences")),
    )
    op.create_index(op.f("ix_preferences_customer_id"), "preferences", ["customer_id"], unique=False)

    op.execute(
        """
        INSERT INTO stage_policies (version, silence_days, created_at) VALUES
            (1, '{"awareness": 180, "interaction": 180, "transaction": 365, "maintenance": 365,
                  "reactivation": 180}', '2026-01-01T00:00:00Z')
        """
    )
    # Everybody on file is in some stage: the worker finds out in which.
    op.execute(
        "INSERT INTO due (kind, ref, at, try_at, attempts)"
        " SELECT 'stage', customer_id, created_at, created_at, 0 FROM customers"
    )


def downgrade() -> None:
    op.drop_table("preferences")
    op.drop_index(op.f("ix_customers_manager"), table_name="customers")
    op.drop_column("customers", "manager")
    op.drop_index("ix_stage_spells_since", table_name="stage_spells")
    op.drop_table("stage_spells")
    op.drop_table("stage_policies")
    op.drop_index(op.f("ix_manager_assignments_origin_customer_id"), table_name="manager_assignments")
    op.drop_index("ix_manager_assignments_of_customer", table_name="manager_assignments")
    op.drop_table("manager_assignments")
    op.drop_index("ix_customer_stages_stage", table_name="customer_stages")
    op.drop_table("customer_stages")
    op.drop_index("ix_customer_levels_since", table_name="customer_levels")
    op.drop_table("customer_levels")
