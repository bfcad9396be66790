"""Have one time zone for the whole programme: ladders have none of their own any more.

Revision: 0016, after 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE tier_ladders SET terms = terms - 'time_zone'")


def downgrade() -> None:
    op.execute("""UPDATE tier_ladders SET terms = terms || '{"time_zone": "UTC"}'""")
