"""Judge complaints.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    verdict = sa.Enum("upheld", "rejected", name="verdict", native_enum=False, length=None)
    op.add_column("tickets", sa.Column("verdict", verdict, nullable=True))
    op.add_column("tickets", sa.Column("cause", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("compensation", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tickets", sa.Column("judged_by", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_tickets_judged_once"), "tickets", "(verdict IS NULL) = (judged_at IS NULL)"
    )
    op.create_check_constraint(
        op.f("ck_tickets_judged_complaint"), "tickets", "verdict IS NULL OR kind = 'complaint'"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_tickets_judged_complaint"), "tickets")
    op.drop_constraint(op.f("ck_tickets_judged_once"), "tickets")
    for column in ("judged_by", "judged_at", "compensation", "cause", "verdict"):
        op.drop_column("tickets", column)
