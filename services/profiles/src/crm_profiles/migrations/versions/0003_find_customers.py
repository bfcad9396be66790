"""Find customers by parts of their names and by the ends of their numbers.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Case, width and accents are folded (Unicode), and so are letters that only look like letters with marks;
# apostrophes and vowel signs go; every Chinese, Japanese and Korean character stands alone; what is neither
# letter nor digit parts words. A space before and after each word. 500 characters fit into an index.
SEARCH_KEY = r"""
CREATE FUNCTION search_key(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN left(' ' || btrim(regexp_replace(regexp_replace(translate(replace(replace(normalize(
    regexp_replace(
        casefold(normalize(name, NFKD) COLLATE pg_unicode_fast),
        '[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670''`\u02b9-\u02bf\u2018\u2019]',
        '', 'g'),
    NFC), 'æ', 'ae'), 'œ', 'oe'), 'ıøđłðħىةکی', 'iodldhيهكي'),
    '([\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])', ' \1 ', 'g'),
    '[^[:alnum:]]+', ' ', 'g')) || ' ', 500) COLLATE "C"
"""

TAILS_OF = """
CREATE FUNCTION name_tails_of(key text) RETURNS TABLE (start smallint, tail text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT at::smallint, substr(key, at + 1, 40)
    FROM generate_series(2, length(key) - length(replace(key, ' ', '')) - 1) AS word
    CROSS JOIN LATERAL regexp_instr(key, ' ', 1, word) AS at;
END
"""

ADD = """
CREATE FUNCTION add_name_tails() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO name_tails (customer_id, start, tail)
    SELECT customer_id, start, tail FROM added CROSS JOIN LATERAL name_tails_of(name_key);
    RETURN NULL;
END
$$
"""

CHANGE = """
CREATE FUNCTION change_name_tails() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM name_tails WHERE customer_id = OLD.customer_id;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO name_tails (customer_id, start, tail)
        SELECT NEW.customer_id, start, tail FROM name_tails_of(NEW.name_key);
    END IF;
    RETURN NULL;
END
$$
"""

# What is added is added as a set; a name is seldom changed, and what leaves it alone costs nothing.
TRIGGERS = (
    """CREATE TRIGGER add_name_tails AFTER INSERT ON customers REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_name_tails()""",
    """CREATE TRIGGER change_name_tails AFTER UPDATE ON customers FOR EACH ROW
    WHEN (OLD.name_key IS DISTINCT FROM NEW.name_key) EXECUTE FUNCTION change_name_tails()""",
    """CREATE TRIGGER remove_name_tails AFTER DELETE ON customers
    FOR EACH ROW EXECUTE FUNCTION change_name_tails()""",
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute(SEARCH_KEY)
    op.execute(TAILS_OF)
    op.add_column(
        "customers",
        sa.Column(
            "name_key",
            sa.Text(collation="C"),
            sa.Computed("search_key(name)", persisted=True),
            nullable=False,
        ),
    )
    op.create_table(
        "name_tails",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("start", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tail", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "start", name=op.f("pk_name_tails")),
    )
    op.execute(
        "INSERT INTO name_tails SELECT customer_id, start, tail FROM customers CROSS JOIN name_tails_of(name_key)"
    )
    op.execute(ADD)
    op.execute(CHANGE)
    for trigger in TRIGGERS:
        op.execute(trigger)
    op.create_index("ix_name_tails_tail", "name_tails", ["tail", sa.text("customer_id DESC")])
    op.create_index("ix_customers_name_key", "customers", ["name_key", sa.text("customer_id DESC")])
    # One index, so that a common name and a rare tag meet in it before any row is read.
    op.drop_index("ix_customers_tags", table_name="customers")
    op.create_index(
        "ix_customers_name_parts",
        "customers",
        ["name_key", "tags"],
        postgresql_using="gin",
        postgresql_ops={"name_key": "gin_trgm_ops"},
    )
    # In the order of its bytes, in which what begins alike is found in one place.
    op.alter_column("contact_points", "value", type_=sa.Text(collation="C"), existing_type=sa.Text())
    op.create_index(
        "ix_contact_points_phone_end",
        "contact_points",
        [sa.text("reverse(value)")],
        postgresql_where=sa.text("kind = 'phone'"),
    )
    op.create_index("ix_external_ids_external_id", "external_ids", ["external_id"])


def downgrade() -> None:
    op.drop_index("ix_external_ids_external_id", table_name="external_ids")
    op.drop_index("ix_contact_points_phone_end", table_name="contact_points")
    op.alter_column("contact_points", "value", type_=sa.Text(), existing_type=sa.Text(collation="C"))
    op.drop_index("ix_customers_name_parts", table_name="customers")
    op.create_index("ix_customers_tags", "customers", ["tags"], postgresql_using="gin")
    op.drop_index("ix_customers_name_key", table_name="customers")
    for trigger in ("add_name_tails", "change_name_tails", "remove_name_tails"):
        op.execute(f"DROP TRIGGER {trigger} ON customers")
    op.execute("DROP FUNCTION add_name_tails, change_name_tails")
    op.drop_table("name_tails")
    op.drop_column("customers", "name_key")
    op.execute("DROP FUNCTION name_tails_of, search_key")
