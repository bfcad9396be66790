"""Keep calendars.

Revision: 0004, after 0003
"""

from datetime import UTC, datetime

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
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("calendar", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("code", "version", name=op.f("pk_calendars")),
        comment="seed",
    )
    now = datetime.now(UTC)
    op.bulk_insert(calendars, [row | {"created_at": now, "created_by": None} for row in initial_rows()])


def downgrade() -> None:
    op.drop_table("calendars")
