"""Forms, preferences and the quality of the data.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CHANNELS = (
    *("api", "form", "registration", "questionnaire", "interview"),
    *("purchase", "social", "import", "merge", "staff"),
)
STATES = ("received", "applied", "suggested", "decided", "unmatched", "trapped")
SUBJECTS = ("phone", "email", "social", "address")
OUTCOMES = ("confirmed", "changed", "invalid")


def _enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, length=None)


def upgrade() -> None:
    _create_forms()
    _create_quality()


def _create_forms() -> None:
    op.create_table(
        "form_versions",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_form_versions")),
    )
    op.create_table(
        "form_submissions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("form_key", sa.Text(), nullable=False),
        sa.Column("form_version", sa.BigInteger(), nullable=False),
        sa.Column("channel", _enum("channel", *CHANNELS), nullable=False),
        sa.Column("answers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("points", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("challenge_id", sa.Uuid(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=True),
        sa.Column("state", _enum("submissionstate", *STATES), nullable=False),
        sa.Column("suggestions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("accepted", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_form_submissions")),
    )
    for name in ("customer_id", "origin_customer_id"):
        op.create_index(op.f(f"ix_form_submissions_{name}"), "form_submissions", [name])
    op.create_index("ix_form_submissions_of_form", "form_submissions", ["form_key", "received_at", "id"])
    op.create_index(
        "ix_form_submissions_in_state", "form_submissions", ["form_key", "state", "received_at", "id"]
    )
    op.create_index(
        "ix_form_submissions_received_at", "form_submissions", ["received_at"], postgresql_using="brin"
    )
    op.create_index("uq_form_submissions_challenge_id", "form_submissions", ["challenge_id"], unique=True)
    op.create_index(
        "ix_form_submissions_unowned",
        "form_submissions",
        ["points"],
        postgresql_using="gin",
        postgresql_where=sa.text("customer_id IS NULL"),
    )


def _create_quality() -> None:
    op.create_table(
        "quality_policies",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rules", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_quality_policies")),
        comment="seed",
    )
    op.create_table(
        "quality_scores",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.BigInteger(), nullable=False),
        sa.Column("missing", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("invalid", sa.BigInteger(), nullable=False),
        sa.Column("stale", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_quality_scores_score")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_quality_scores")),
    )
    op.create_index("ix_quality_scores_worst", "quality_scores", ["score", "customer_id"])
    op.create_index(
        "ix_quality_scores_look_at",
        "quality_scores",
        ["look_at"],
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_table(
        "verifications",
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.Column("subject", _enum("subject", *SUBJECTS), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("outcome", _enum("outcome", *OUTCOMES), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verified_by", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("origin_customer_id", "subject", "value", name=op.f("pk_verifications")),
    )
    op.create_index(op.f("ix_verifications_customer_id"), "verifications", ["customer_id"])
    op.create_table(
        "verification_tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", _enum("subject", *SUBJECTS), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", _enum("taskreason", "stale", "bounced"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", _enum("outcome", *OUTCOMES), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_by", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("origin_customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verification_tasks")),
    )
    for name in ("customer_id", "origin_customer_id"):
        op.create_index(op.f(f"ix_verification_tasks_{name}"), "verification_tasks", [name])
    op.create_index(
        "uq_verification_tasks_open",
        "verification_tasks",
        ["origin_customer_id", "subject", "value"],
        unique=True,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "ix_verification_tasks_queue",
        "verification_tasks",
        ["created_at", "id"],
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index("ix_verification_tasks_all", "verification_tasks", ["created_at", "id"])
    op.execute(
        """
        INSERT INTO quality_policies (version, rules, created_at) VALUES (1, '{
            "members": {"name": 10, "phone": 20, "email": 20, "birth_date": 10, "gender": 5, "language": 10,
                        "region": 5, "address": 15, "occupation": 5},
            "parts": {"completeness": 60, "validity": 20, "freshness": 20},
            "stale_days": {"phone": 365, "email": 365, "social": 730, "address": 730}
        }', '2026-01-01T00:00:00Z')
        """
    )
    # The look at who has changed plans itself anew each time; this is the first. Who is on file before it is
    # assessed by a job.
    op.execute(
        """
        INSERT INTO due (kind, ref, at, try_at, attempts)
        VALUES ('quality', '00000000-0000-0000-0000-000000000000', now(), now(), 0)
        """
    )
    op.execute(
        """
        INSERT INTO jobs (id, kind, params, state, done, counts, checkpoint, attempts, created_at)
        SELECT gen_random_uuid(), 'quality', '{}', 'queued', 0, '{}', '{}', 0, now()
        WHERE EXISTS (SELECT FROM customers)
        """
    )


def downgrade() -> None:
    op.execute("DELETE FROM due WHERE kind IN ('quality', 'form-submission')")
    op.execute("DELETE FROM jobs WHERE kind = 'quality'")
    for table in ("verification_tasks", "verifications", "quality_scores", "quality_policies"):
        op.drop_table(table)
    for table in ("form_submissions", "form_versions"):
        op.drop_table(table)
