"""Forget submissions that reached nobody, and credit no message with what was given back.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_form_submissions_unmatched",
        "form_submissions",
        ["received_at"],
        postgresql_where=sa.text("customer_id IS NULL"),
    )
    # The look at what is too old plans itself anew each time; this is the first.
    op.execute(
        """
        INSERT INTO due (kind, ref, at, try_at, attempts)
        VALUES ('form-forget', '00000000-0000-0000-0000-000000000000', now(), now(), 0)
        """
    )
    op.execute(
        """
        DELETE FROM conversions AS c USING purchases AS p
        WHERE p.id = c.purchase_id AND p.status = 'refunded'
        """
    )


def downgrade() -> None:
    op.execute("DELETE FROM due WHERE kind = 'form-forget'")
    op.drop_index("ix_form_submissions_unmatched", table_name="form_submissions")
