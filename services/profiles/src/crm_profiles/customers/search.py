"""Search: whom a name, the end of a number or the beginning of an address may mean, the likeliest first.

Names are compared by their keys, which `search_key` of the database makes of names and questions alike. Each
way of matching walks an index in the order of its answers and ends when enough are found, and a way is not
gone when those before it found enough: "王" costs no more than a rare name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any
from unicodedata import normalize

import orjson
from phonenumbers import normalize_digits_only
from sqlalchemy import ARRAY, Integer, Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

from crm_profiles.customers import attributes, documents
from crm_profiles.models.customers import Channel, Gender
from crm_profiles.schemas.attributes import MAX_ASKED
from crm_profiles.schemas.customers import ProfileOut
from crm_profiles.schemas.search import MAX_FOUND
from crm_shared.database import Json

_ENOUGH = 5 * (MAX_FOUND + 1)
"""Of so many matches, in the order in which they are looked for, no more than four in five are by the same
external id, number or address: the others are of different customers, one more than fit into an answer."""
_CANDIDATES = 2 * _ENOUGH
"""Of those who match in no order of an index, so many are ranked."""

_PHONE = re.compile(r"[+\d\s().\-/]+")
_MIN_DIGITS = 4
_WHOLE_NUMBER = 8
_MIN_ADDRESS = 3


@dataclass(frozen=True)
class SearchFilters:
    """Among whom is searched: all that is given must hold."""

    tag: str | None = None
    region: str | None = None
    source: str | None = None
    channel: Channel | None = None
    gender: Gender | None = None
    attribute: Sequence[str] = ()
    """<key>:<value> each."""

    @property
    def given(self) -> Mapping[str, str | list[Json]]:
        """By name; of an attribute, all that one may hold of whom it is true."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        asked = enumerate(given.pop("attribute"))
        return given | {f"attribute_{number}": attributes.readings(text) for number, text in asked}


_CONDITIONS = {
    "tag": "c.tags @> ARRAY[(SELECT tag FROM asked)]",
    "region": "c.region = (SELECT region FROM asked)",
    "source": "c.source = (SELECT source FROM asked)",
    "channel": "c.channel = (SELECT channel FROM asked)",
    "gender": "c.gender = (SELECT gender FROM asked)",
    **{
        f"attribute_{number}": f"c.attributes @> ANY ((SELECT attribute_{number} FROM asked)::jsonb[])"
        for number in range(MAX_ASKED)
    },
}

# Words are what stands between white space. A part of three letters or more may be anywhere in a word, a
# shorter one begins a word; every Chinese, Japanese and Korean character is a word in keys.
_ASKED = r"""
    asked AS MATERIALIZED (
        SELECT {parameters}, key, nullif(rtrim(key), '') AS stem, words, parts,
            parts[1] AS first, coalesce(parts[2], '%') AS second
        FROM search_key(:question) AS key
        CROSS JOIN LATERAL (
            SELECT array_agg(word ORDER BY length(part) DESC) AS words,
                array_agg(part ORDER BY length(part) DESC) AS parts
            FROM regexp_split_to_table(:question, '\s+') AS written
            CROSS JOIN LATERAL search_key(written) AS word
            CROSS JOIN LATERAL (
                SELECT '%' || CASE WHEN word ~ '^ \S{3,} $' THEN btrim(word) ELSE rtrim(word) END || '%'
            ) AS pattern (part)
            WHERE word ~ '\S'
        ) AS pieces
    )"""

# Behind everything that begins with the text before it.
_LAST = "chr(1114111)"

_BY_EXTERNAL_ID = """(
    SELECT DISTINCT ON (customer_id) customer_id, 0 AS rank, 'external_id' AS member, 'exact' AS how,
        external_id AS sorted_by
    FROM external_ids AS e JOIN customers AS c USING (customer_id)
    WHERE e.external_id = (SELECT reference FROM asked) AND {conditions}
    ORDER BY customer_id)"""

_BY_CONTACT_POINT = f"""(
    SELECT DISTINCT ON (customer_id) * FROM (
        (SELECT customer_id,
            CASE WHEN p.value = '+' || (SELECT digits FROM asked) THEN 0 ELSE 2 END, 'phone',
            CASE WHEN p.value = '+' || (SELECT digits FROM asked) THEN 'exact' ELSE 'suffix' END,
            reverse(p.value) AS sorted_by
        FROM contact_points AS p JOIN customers AS c USING (customer_id)
        WHERE p.kind = 'phone' AND reverse(p.value) >= reverse((SELECT digits FROM asked))
            AND reverse(p.value) < reverse((SELECT digits FROM asked)) || ':' AND {{conditions}}
        ORDER BY reverse(p.value) LIMIT {MAX_FOUND + 1})
        UNION ALL
        SELECT addresses.* FROM unnest(ARRAY['email', 'social']) AS kinds (member) CROSS JOIN LATERAL (
            SELECT customer_id,
                CASE WHEN p.value = (SELECT address FROM asked) THEN 0 ELSE 2 END, p.kind,
                CASE WHEN p.value = (SELECT address FROM asked) THEN 'exact' ELSE 'prefix' END, p.value
            FROM contact_points AS p JOIN customers AS c USING (customer_id)
            WHERE p.kind = kinds.member AND p.value >= (SELECT address FROM asked)
                AND p.value < (SELECT address FROM asked) || {_LAST} AND {{conditions}}
            ORDER BY p.value LIMIT {MAX_FOUND + 1}) AS addresses
    ) AS reached (customer_id, rank, member, how, sorted_by)
    ORDER BY customer_id, rank, sorted_by)"""

_BY_BEGINNING = f"""(
    SELECT customer_id, CASE WHEN name_key = (SELECT key FROM asked) THEN 0 ELSE 1 END, 'name',
        CASE WHEN name_key = (SELECT key FROM asked) THEN 'exact' ELSE 'prefix' END, name_key
    FROM customers
    WHERE name_key >= (SELECT stem FROM asked) AND name_key < (SELECT stem FROM asked) || {_LAST}
    ORDER BY name_key, customer_id DESC LIMIT {_ENOUGH})"""

# Where the name has the words for the first time, if that is not its beginning.
_BY_WORD = f"""(
    SELECT t.customer_id, 3, 'name', 'word_prefix', t.tail
    FROM (
        SELECT * FROM name_tails
        WHERE tail >= (SELECT substr(stem, 2, 40) FROM asked)
            AND tail < (SELECT substr(stem, 2, 40) FROM asked) || {_LAST}
        ORDER BY tail, customer_id DESC LIMIT {_CANDIDATES}
    ) AS t JOIN customers AS c USING (customer_id)
    WHERE strpos(c.name_key, (SELECT stem FROM asked)) = t.start
    ORDER BY t.tail, t.customer_id DESC LIMIT {_ENOUGH})"""

_ALL_PARTS = """
    c.name_key LIKE (SELECT first FROM asked) AND c.name_key LIKE (SELECT second FROM asked)
    AND c.name_key LIKE ALL ((SELECT parts FROM asked)::text[])"""

# Materialized: planned as if all were wanted, so that no table is read through in the hope of finding soon.
_CONTAINING = f"""
    containing AS MATERIALIZED (
        SELECT customer_id, name_key FROM customers AS c
        WHERE {_ALL_PARTS} AND strpos(c.name_key, (SELECT stem FROM asked)) = 0
    )"""
_BY_PARTS = f"""(
    SELECT customer_id, 4, 'name', 'substring', name_key
    FROM (SELECT * FROM containing LIMIT {_CANDIDATES}) AS candidates
    ORDER BY name_key, customer_id DESC LIMIT {_ENOUGH})"""

_EXACTLY = f"""(
    SELECT customer_id, 0, 'name', 'exact', name_key FROM customers AS c
    WHERE name_key = (SELECT key FROM asked) AND {{conditions}}
    ORDER BY customer_id DESC LIMIT {_ENOUGH})"""
_CONTAINING_AMONG = f"""
    containing AS MATERIALIZED (
        SELECT customer_id, name_key, strpos(name_key, (SELECT stem FROM asked)) AS start FROM customers AS c
        WHERE {_ALL_PARTS} AND name_key <> (SELECT key FROM asked) AND {{conditions}}
    )"""
_BY_PARTS_AMONG = f"""(
    SELECT customer_id, CASE start WHEN 1 THEN 1 WHEN 0 THEN 4 ELSE 3 END AS rank, 'name',
        CASE start WHEN 1 THEN 'prefix' WHEN 0 THEN 'substring' ELSE 'word_prefix' END,
        CASE WHEN start > 1 THEN substr(name_key, start + 1, 40) ELSE name_key END AS sorted_by
    FROM (SELECT * FROM containing LIMIT {_CANDIDATES}) AS candidates
    ORDER BY rank, sorted_by, customer_id DESC LIMIT {_ENOUGH})"""

_NOT_ALL_PARTS = "NOT name_key LIKE ALL ((SELECT parts FROM asked)::text[])"

# All words that one slip of the finger makes of a word asked for, as far as names have them: a letter less,
# more, another, or two in turn. Two letters in the alphabet of the word: a few hundred, each looked up once.
_CORRECTIONS = r"""
    mistyped AS (
        SELECT btrim(word) AS word, length(word) - 2 AS size,
            parts[1 : place - 1] || parts[place + 1 :] AS others,
            string_to_table(CASE
                WHEN word ~ '^ [a-z]{4,24} $' THEN 'abcdefghijklmnopqrstuvwxyz'
                WHEN word ~ '^ [а-яђ-џґ]{4,24} $' THEN 'абвгдежзиклмнопрстуфхцчшщъыьэюяєіїјѕљњђћџґ'
                WHEN word ~ '^ [α-ω]{4,24} $' THEN 'αβγδεζηθικλμνξοπρστυφχψω'
            END, NULL) AS letter
        FROM asked CROSS JOIN LATERAL unnest(words) WITH ORDINALITY AS pieces (word, place)
        WHERE place <= 3
    ),
    corrected AS (
        SELECT others, left(word, at - 1) || letter || substr(word, at + 1) AS word
        FROM mistyped CROSS JOIN LATERAL generate_series(1, size) AS at
        UNION
        SELECT others, left(word, at) || letter || substr(word, at + 1)
        FROM mistyped CROSS JOIN LATERAL generate_series(0, size) AS at
        UNION
        SELECT others, left(word, at - 1) || substr(word, at + 1)
        FROM mistyped CROSS JOIN LATERAL generate_series(1, size) AS at
        UNION
        SELECT others,
            left(word, at - 1) || substr(word, at + 1, 1) || substr(word, at, 1) || substr(word, at + 2)
        FROM mistyped CROSS JOIN LATERAL generate_series(1, size - 1) AS at
    ),
    corrections AS MATERIALIZED (
        SELECT others, word FROM (SELECT * FROM corrected LIMIT 4000) AS possible
        WHERE (SELECT true FROM customers
               WHERE name_key >= ' ' || word || ' ' AND name_key < ' ' || word || '!'
               ORDER BY name_key LIMIT 1)
            OR (SELECT true FROM name_tails
                WHERE tail >= word || ' ' AND tail < word || '!'
                ORDER BY tail LIMIT 1)
    )"""
# One word alone is looked up where names begin with it and where other words follow; with others, or among
# some customers only, it is one more part of the name.
_ALIKE_BY_WALKS = f"""
    (SELECT customer_id, name_key FROM customers
    WHERE others = '{{}}' AND name_key >= ' ' || word || ' ' AND name_key < ' ' || word || '!'
        AND {_NOT_ALL_PARTS}
    ORDER BY name_key, customer_id DESC LIMIT {_ENOUGH})
    UNION ALL
    (SELECT c.customer_id, c.name_key FROM (
        SELECT * FROM name_tails WHERE others = '{{}}' AND tail >= word || ' ' AND tail < word || '!'
        ORDER BY tail, customer_id DESC LIMIT {_CANDIDATES}
    ) AS t JOIN customers AS c USING (customer_id)
    WHERE {_NOT_ALL_PARTS}
    LIMIT {_ENOUGH})
    UNION ALL"""
_ALIKE = f"""
    (WITH alike AS MATERIALIZED (
        SELECT customer_id, name_key FROM customers AS c
        WHERE c.name_key LIKE '% ' || word || ' %' AND c.name_key LIKE coalesce(others[1], '%')
            AND c.name_key LIKE ALL (others) AND {_NOT_ALL_PARTS} AND {{conditions}}
    )
    SELECT * FROM alike LIMIT {_CANDIDATES})"""
_WITH_OTHERS = "others <> '{}'"
_BY_CORRECTION = f"""(
    SELECT * FROM (
        SELECT DISTINCT ON (customer_id) customer_id, 5, 'name', 'typo', name_key
        FROM corrections CROSS JOIN LATERAL ({{alike}}) AS candidates
    ) AS found (customer_id, rank, member, how, sorted_by)
    ORDER BY sorted_by, customer_id DESC LIMIT {_ENOUGH})"""

_ANSWER = f"""
    SELECT json_build_object(
        'items', coalesce(json_agg(json_build_object(
            'customer', {documents.members_of(ProfileOut)},
            'matched', json_build_object('member', found.member, 'how', found.how)
        ) ORDER BY place) FILTER (WHERE place <= :limit), '[]'),
        'has_more', count(*) > :limit)::text
    FROM (
        SELECT *, row_number() OVER (ORDER BY rank, sorted_by, customer_id DESC) AS place FROM (
            SELECT DISTINCT ON (customer_id) * FROM (
                SELECT * FROM ({{ways}}) AS ways LIMIT {_ENOUGH}
            ) AS enough
            ORDER BY customer_id, rank, sorted_by
        ) AS once
        ORDER BY place LIMIT :limit + 1
    ) AS found
    JOIN customers AS c USING (customer_id)"""


@cache
def statement(filters: tuple[str, ...], *, contact_points: bool) -> TextClause:
    """The one statement that searches among those of whom all filters hold."""
    containing = _CONTAINING_AMONG if filters else _CONTAINING
    by_name = [_EXACTLY, _BY_PARTS_AMONG] if filters else [_BY_BEGINNING, _BY_WORD, _BY_PARTS]
    ways = [_BY_EXTERNAL_ID, *([_BY_CONTACT_POINT] if contact_points else []), *by_name, _BY_CORRECTION]
    texts = ["reference", *(["digits", "address"] if contact_points else []), *filters]
    sql = f"WITH {_ASKED}, {containing}, {_CORRECTIONS} {_ANSWER}"
    for place, fragment in {
        "{ways}": " UNION ALL ".join(ways),
        "{alike}": _ALIKE if filters else f"{_ALIKE_BY_WALKS} {_ALIKE.replace('{conditions}', _WITH_OTHERS)}",
        "{conditions}": " AND ".join(_CONDITIONS[name] for name in filters) or "true",
        "{parameters}": ", ".join(f"CAST(:{name} AS {_named(name)}) AS {name}" for name in texts),
    }.items():
        sql = sql.replace(place, fragment)
    return text(sql).bindparams(
        bindparam("limit", type_=Integer),
        *(bindparam(name, type_=_type(name)) for name in ["question", *texts]),
    )


def _type(parameter: str) -> TypeEngine[Any]:
    return ARRAY(JSONB) if parameter.startswith("attribute_") else Text()


def _named(parameter: str) -> str:
    return "jsonb[]" if parameter.startswith("attribute_") else "text"


async def search(
    session: AsyncSession, question: str, filters: SearchFilters, *, contact_points: bool, limit: int
) -> bytes:
    """FoundOut of those who match best; contact points are searched only for who may see them."""
    given = filters.given
    found = await session.scalar(
        statement(tuple(given), contact_points=contact_points),
        parameters(question, given, contact_points=contact_points, limit=limit),
    )
    return str(found).encode()


def parameters(
    question: str, filters: Mapping[str, str | list[Json]], *, contact_points: bool, limit: int
) -> Json:
    """What the statement is told: the question as it is, and what it would be as a number or an address."""
    given: Json = {**filters, "question": question, "reference": question.strip(), "limit": limit}
    if contact_points:
        written = normalize("NFKC", question).strip()
        digits = normalize_digits_only(written) if _PHONE.fullmatch(written) else ""
        if len(digits) >= _WHOLE_NUMBER:  # 0 or 00 before it is how it is dialled
            digits = digits.lstrip("0")
        given["digits"] = digits if len(digits) >= _MIN_DIGITS else None
        given["address"] = written.casefold() if len(written) >= _MIN_ADDRESS else None
    return given


def masked(found: bytes) -> bytes:
    """The same answer for those who may not see how to reach somebody."""
    body = orjson.loads(found)
    for hit in body["items"]:
        documents.mask(hit["customer"]["contact_points"])
    return orjson.dumps(body)
