"""Forget what imports said of rows, and let dry runs remember their own.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TAILS_OF = """
CREATE OR REPLACE FUNCTION name_tails_of(key text) RETURNS TABLE (start smallint, tail text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
{}
END
"""
# Adding up the lengths of the words takes a third of what searching for each of them took.
_BY_LENGTHS = """
    SELECT start, substr(key, start + 1, 40)
    FROM (
        SELECT (sum(length(word) + 1) OVER (ORDER BY number) - length(word))::smallint AS start, number
        FROM string_to_table(btrim(key), ' ') WITH ORDINALITY AS words (word, number)
    ) AS starts
    WHERE number > 1;
"""
_BY_SEARCHING = """
    SELECT at::smallint, substr(key, at + 1, 40)
    FROM generate_series(2, length(key) - length(replace(key, ' ', '')) - 1) AS word
    CROSS JOIN LATERAL regexp_instr(key, ' ', 1, word) AS at;
"""


def upgrade() -> None:
    op.create_table(
        "import_trials",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "customer_id", name=op.f("pk_import_trials")),
    )
    op.create_index("ix_import_trials_customer_id", "import_trials", ["customer_id"], unique=False)
    op.create_table(
        "import_trial_names",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", "customer_id", name=op.f("pk_import_trial_names")),
    )
    op.create_index("ix_import_trial_names_customer_id", "import_trial_names", ["customer_id"], unique=False)
    op.execute(_TAILS_OF.format(_BY_LENGTHS))
    # The verdicts of imports that are there go as if they had been uploaded now.
    op.execute(
        "INSERT INTO due (kind, ref, at, try_at, attempts)"
        " SELECT 'imports.forget', run_id, now() + interval '7 days', now() + interval '7 days', 0"
        " FROM imports WHERE run_id IS NOT NULL ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    op.execute("DELETE FROM due WHERE kind IN ('imports.forget', 'imports.forget_trials')")
    op.execute(_TAILS_OF.format(_BY_SEARCHING))
    op.drop_index("ix_import_trial_names_customer_id", table_name="import_trial_names")
    op.drop_table("import_trial_names")
    op.drop_index("ix_import_trials_customer_id", table_name="import_trials")
    op.drop_table("import_trials")
