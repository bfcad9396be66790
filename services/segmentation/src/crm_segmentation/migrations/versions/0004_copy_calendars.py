"""Keep a copy of the calendars.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_shared.calendars.initial import initial_rows

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    calendars = op.create_table(
        "calendars",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("calendar", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_calendars")),
        comment="seed",
    )
    op.bulk_insert(calendars, initial_rows())


def downgrade() -> None:
    op.drop_table("calendars")
