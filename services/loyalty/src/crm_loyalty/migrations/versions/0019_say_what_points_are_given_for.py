"""Keep what was proposed for an upheld complaint, and find fast what was posted in a period.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recoveries", sa.Column("compensation", sa.Text(), nullable=True))
    op.create_unique_constraint(op.f("uq_recoveries_transaction_id"), "recoveries", ["transaction_id"])
    op.create_index(
        "ix_transactions_recorded_at", "transactions", ["recorded_at"], unique=False, postgresql_using="brin"
    )


def downgrade() -> None:
    op.drop_index("ix_transactions_recorded_at", table_name="transactions", postgresql_using="brin")
    op.drop_constraint(op.f("uq_recoveries_transaction_id"), "recoveries")
    op.drop_column("recoveries", "compensation")
