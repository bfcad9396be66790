"""Refer friends, invite to activities, compensate complaints, and report on a period.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activities",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("capacity > 0", name=op.f("ck_activities_capacity_positive")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_activities_ends_after_start")),
        sa.CheckConstraint("points >= 0", name=op.f("ck_activities_points_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activities")),
    )
    op.create_table(
        "recovery_budgets",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_recovery_budgets_not_negative")),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_recovery_budgets")),
    )
    op.create_table(
        "recovery_policies",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("points", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("monthly_budget", sa.BigInteger(), nullable=True),
        sa.Column("supervisor_limit", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_recovery_policies")),
    )
    op.create_table(
        "referral_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referral_codes")),
        sa.UniqueConstraint("digest", name=op.f("uq_referral_codes_digest")),
        sa.UniqueConstraint("origin_customer_id", name=op.f("uq_referral_codes_origin_customer_id")),
    )
    op.create_index(op.f("ix_referral_codes_customer_id"), "referral_codes", ["customer_id"], unique=False)
    op.create_table(
        "referral_policies",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("points_referrer", sa.BigInteger(), nullable=False),
        sa.Column("points_friend", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("minimum_order", sa.BigInteger(), nullable=False),
        sa.Column("qualify_days", sa.BigInteger(), nullable=False),
        sa.Column("return_days", sa.BigInteger(), nullable=False),
        sa.Column("max_per_referrer", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "points_referrer >= 0 AND points_friend >= 0",
            name=op.f("ck_referral_policies_points_not_negative"),
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_referral_policies")),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "invited",
                "accepted",
                "waitlisted",
                "declined",
                name="invitationstate",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["activity_id"], ["activities.id"], name=op.f("fk_invitations_activity_id_activities")
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_invitations_transaction_id_transactions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint(
            "activity_id", "origin_customer_id", name=op.f("uq_invitations_activity_id_origin_customer_id")
        ),
        sa.UniqueConstraint("digest", name=op.f("uq_invitations_digest")),
    )
    op.create_index(op.f("ix_invitations_customer_id"), "invitations", ["customer_id"], unique=False)
    op.create_index(
        "ix_invitations_line", "invitations", ["activity_id", "state", "answered_at", "id"], unique=False
    )
    op.create_index(
        op.f("ix_invitations_origin_customer_id"), "invitations", ["origin_customer_id"], unique=False
    )
    op.create_table(
        "recoveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "proposed",
                "granted",
                "declined",
                "reversed",
                name="recoverystate",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("month", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reversed_by", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(state = 'proposed') = (decided_at IS NULL)", name=op.f("ck_recoveries_decided_once")
        ),
        sa.CheckConstraint(
            "(state IN ('granted', 'reversed')) = (transaction_id IS NOT NULL)",
            name=op.f("ck_recoveries_granted_is_posted"),
        ),
        sa.CheckConstraint("points > 0", name=op.f("ck_recoveries_points_positive")),
        sa.ForeignKeyConstraint(
            ["policy_version"],
            ["recovery_policies.version"],
            name=op.f("fk_recoveries_policy_version_recovery_policies"),
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_recoveries_transaction_id_transactions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
        sa.UniqueConstraint("complaint_id", name=op.f("uq_recoveries_complaint_id")),
    )
    op.create_index(op.f("ix_recoveries_customer_id"), "recoveries", ["customer_id"], unique=False)
    op.create_index(
        op.f("ix_recoveries_origin_customer_id"), "recoveries", ["origin_customer_id"], unique=False
    )
    op.create_index("ix_recoveries_state", "recoveries", ["state", "id"], unique=False)
    op.create_table(
        "referrals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("referrer_id", sa.Uuid(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "claimed",
                "qualified",
                "reversed",
                "void",
                name="referralstate",
                native_enum=False,
                length=None,
            ),
            nullable=False,
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("qualify_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=True),
        sa.Column("qualified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("referrer_transaction_id", sa.Uuid(), nullable=True),
        sa.Column("friend_transaction_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(state IN ('qualified', 'reversed')) <= (purchase_id IS NOT NULL)",
            name=op.f("ck_referrals_qualified_by_purchase"),
        ),
        sa.CheckConstraint("origin_customer_id <> referrer_id", name=op.f("ck_referrals_not_oneself")),
        sa.ForeignKeyConstraint(
            ["friend_transaction_id"],
            ["transactions.id"],
            name=op.f("fk_referrals_friend_transaction_id_transactions"),
        ),
        sa.ForeignKeyConstraint(
            ["policy_version"],
            ["referral_policies.version"],
            name=op.f("fk_referrals_policy_version_referral_policies"),
        ),
        sa.ForeignKeyConstraint(
            ["referrer_transaction_id"],
            ["transactions.id"],
            name=op.f("fk_referrals_referrer_transaction_id_transactions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referrals")),
        sa.UniqueConstraint("origin_customer_id", name=op.f("uq_referrals_origin_customer_id")),
    )
    op.create_index(op.f("ix_referrals_customer_id"), "referrals", ["customer_id"], unique=False)
    op.create_index(
        "ix_referrals_purchase_id",
        "referrals",
        ["purchase_id"],
        unique=False,
        postgresql_where=sa.text("purchase_id IS NOT NULL"),
    )
    op.create_index("ix_referrals_referrer_id", "referrals", ["referrer_id", "id"], unique=False)
    op.create_index(
        "ix_entries_recorded_at", "entries", ["recorded_at"], unique=False, postgresql_using="brin"
    )


def downgrade() -> None:
    op.drop_index("ix_entries_recorded_at", table_name="entries", postgresql_using="brin")
    op.drop_index("ix_referrals_referrer_id", table_name="referrals")
    op.drop_index(
        "ix_referrals_purchase_id",
        table_name="referrals",
        postgresql_where=sa.text("purchase_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_referrals_customer_id"), table_name="referrals")
    op.drop_table("referrals")
    op.drop_index("ix_recoveries_state", table_name="recoveries")
    op.drop_index(op.f("ix_recoveries_origin_customer_id"), table_name="recoveries")
    op.drop_index(op.f("ix_recoveries_customer_id"), table_name="recoveries")
    op.drop_table("recoveries")
    op.drop_index(op.f("ix_invitations_origin_customer_id"), table_name="invitations")
    op.drop_index("ix_invitations_line", table_name="invitations")
    op.drop_index(op.f("ix_invitations_customer_id"), table_name="invitations")
    op.drop_table("invitations")
    op.drop_table("referral_policies")
    op.drop_index(op.f("ix_referral_codes_customer_id"), table_name="referral_codes")
    op.drop_table("referral_codes")
    op.drop_table("recovery_policies")
    op.drop_table("recovery_budgets")
    op.drop_table("activities")
