"""Find the newest versions by a B-tree: a BRIN knows nothing of what was loaded since the last vacuum.

Revision: 0013, after 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_customer_versions_recorded_at", table_name="customer_versions")
    op.create_index("ix_customer_versions_recorded_at", "customer_versions", ["recorded_at"])


def downgrade() -> None:
    op.drop_index("ix_customer_versions_recorded_at", table_name="customer_versions")
    op.create_index(
        "ix_customer_versions_recorded_at", "customer_versions", ["recorded_at"], postgresql_using="brin"
    )
