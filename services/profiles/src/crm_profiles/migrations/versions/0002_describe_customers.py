"""Describe customers more closely, and keep every state they were in.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANNELS = (
    *("api", "form", "registration", "questionnaire", "interview", "purchase", "social", "import", "merge"),
    "staff",
)
CHANGES = ("created", "changed", "merged", "absorbed", "unmerged", "snapshot")

# Who was on file before histories were kept begins with the state they are in: the data of the event that
# would tell it.
BEGIN_HISTORIES = """
    INSERT INTO customer_versions (customer_id, version, recorded_at, source, channel, change, state)
    SELECT c.customer_id, c.version, c.updated_at, c.source, c.channel,
        CASE c.version WHEN 1 THEN 'created' ELSE 'snapshot' END,
        to_jsonb(c) - 'updated_at' || jsonb_build_object(
            'created_at', replace(to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                  '.000000', ''),
            'contact_points', (
                SELECT coalesce(jsonb_agg(jsonb_build_object('kind', p.kind, 'value', p.value)
                                          ORDER BY p.kind, p.value), '[]')
                FROM contact_points AS p WHERE p.customer_id = c.customer_id),
            'external_ids', (
                SELECT coalesce(jsonb_agg(jsonb_build_object('source', e.source, 'external_id', e.external_id)
                                          ORDER BY e.source, e.external_id), '[]')
                FROM external_ids AS e WHERE e.customer_id = c.customer_id))
    FROM customers AS c
"""


def upgrade() -> None:
    channel = sa.Enum(*CHANNELS, name="channel", native_enum=False, length=None)
    op.add_column("customers", sa.Column("channel", channel, nullable=False, server_default="api"))
    op.alter_column("customers", "channel", server_default=None)
    genders = sa.Enum(
        "female", "male", "diverse", "undisclosed", name="gender", native_enum=False, length=None
    )
    calendars = sa.Enum("solar", "lunar", name="birthcalendar", native_enum=False, length=None)
    op.add_column("customers", sa.Column("gender", genders, nullable=True))
    op.add_column("customers", sa.Column("occupation", sa.Text(), nullable=True))
    op.add_column("customers", sa.Column("address", postgresql.JSONB(), nullable=True))
    op.add_column("customers", sa.Column("birth_calendar", calendars, nullable=False, server_default="solar"))
    op.alter_column("customers", "birth_calendar", server_default=None)
    op.add_column("customers", sa.Column("lunar_birth_date", postgresql.JSONB(), nullable=True))
    op.add_column(
        "customers", sa.Column("attributes", postgresql.JSONB(), nullable=False, server_default="{}")
    )
    op.alter_column("customers", "attributes", server_default=None)
    op.create_index("ix_customers_attributes", "customers", ["attributes"], postgresql_using="gin")
    types = sa.Enum(
        *("string", "number", "boolean", "date", "choice", "choices"),
        name="attributetype",
        native_enum=False,
        length=None,
    )
    op.create_table(
        "customer_attributes",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", types, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("choices", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_customer_attributes")),
    )
    op.create_table(
        "customer_versions",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("channel", channel, nullable=False),
        sa.Column("change", sa.Enum(*CHANGES, name="change", native_enum=False, length=None), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "version", name=op.f("pk_customer_versions")),
    )
    op.execute(BEGIN_HISTORIES)


def downgrade() -> None:
    op.drop_table("customer_versions")
    op.drop_table("customer_attributes")
    op.drop_index("ix_customers_attributes", "customers")
    for name in (
        *("attributes", "lunar_birth_date", "birth_calendar", "address", "occupation", "gender"),
        "channel",
    ):
        op.drop_column("customers", name)
