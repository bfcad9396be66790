"""Find names that are spelled with joiners and non-joiners, as Persian and Hindi ones are, also without them.

Revision: 0014, after 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# As in 0003, but for what goes: joiners and non-joiners parted the word in which they stand.
SEARCH_KEY = r"""
CREATE OR REPLACE FUNCTION search_key(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN left(' ' || btrim(regexp_replace(regexp_replace(translate(replace(replace(normalize(
    regexp_replace(
        casefold(normalize(name, NFKD) COLLATE pg_unicode_fast),
        '[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670''`\u02b9-\u02bf%s\u2018\u2019]',
        '', 'g'),
    NFC), 'æ', 'ae'), 'œ', 'oe'), 'ıøđłðħىةکی', 'iodldhيهكي'),
    '([\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])', ' \1 ', 'g'),
    '[^[:alnum:]]+', ' ', 'g')) || ' ', 500) COLLATE "C"
"""
# The key is made anew when the row is written, and the triggers of 0003 follow it.
FOLLOW = r"UPDATE customers SET name = name WHERE name ~ '[\u200c\u200d]'"


def upgrade() -> None:
    op.execute(SEARCH_KEY % r"\u200c\u200d")
    op.execute(FOLLOW)


def downgrade() -> None:
    op.execute(SEARCH_KEY % "")
    op.execute(FOLLOW)
