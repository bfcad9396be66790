"""Find the holds that a customer has placed since an instant.

Revision: 0020, after 0019
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_holds_of_customer", "holds", ["customer_id", "placed_at"], unique=False)
    op.drop_index(op.f("ix_holds_customer_id"), table_name="holds")


def downgrade() -> None:
    op.create_index(op.f("ix_holds_customer_id"), "holds", ["customer_id"], unique=False)
    op.drop_index("ix_holds_of_customer", table_name="holds")
