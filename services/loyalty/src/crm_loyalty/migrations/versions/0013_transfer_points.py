"""Let customers transfer points.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("points_policies", sa.Column("transfer_max", sa.BigInteger(), nullable=True))
    op.add_column("lots", sa.Column("parted_from", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_lots_parted_from_lots"), "lots", "lots", ["parted_from"], ["id"])


def downgrade() -> None:
    op.drop_constraint(op.f("fk_lots_parted_from_lots"), "lots", type_="foreignkey")
    op.drop_column("lots", "parted_from")
    op.drop_column("points_policies", "transfer_max")
