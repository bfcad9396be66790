"""Remember how far the planning of a day has come.

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("care_schedules", sa.Column("walking_on", sa.Date()))
    op.add_column("care_schedules", sa.Column("walked_to", sa.Uuid()))


def downgrade() -> None:
    op.drop_column("care_schedules", "walked_to")
    op.drop_column("care_schedules", "walking_on")
