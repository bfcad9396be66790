"""Customers as the JSON text that PostgreSQL makes of them: by one statement, answered as it is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import last_contacts, timeline
from crm_profiles.customers import contact_points
from crm_profiles.customers.drafts import Draft
from crm_profiles.schemas.customers import CustomerOut, ProfileOut
from crm_shared.customers import CustomerNotFound
from crm_shared.prepared import Prepared

NEWEST_ENTRIES = 10


def _instant(expression: str) -> str:
    """In UTC, whatever the time zone of the connection."""
    return f"""to_char({expression} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


# Each id asked for, or who absorbed it, however many merges ago.
_CURRENT = """
    WITH RECURSIVE chain (asked, id, depth) AS (
        SELECT asked, asked, 0 FROM unnest(CAST(:asked AS uuid[])) AS asked
        UNION ALL
        SELECT chain.asked, alias.survivor, chain.depth + 1
        FROM chain JOIN customer_aliases AS alias ON alias.absorbed = chain.id WHERE chain.depth < 10000
    )
"""
_FROM = """
    FROM (SELECT DISTINCT ON (asked) asked, id FROM chain ORDER BY asked, depth DESC) AS meant
    JOIN customers AS c ON c.customer_id = meant.id
"""

_MEMBERS = {
    "id": "c.customer_id",
    "contact_points": """(
        SELECT coalesce(json_agg(json_build_object('kind', p.kind, 'value', p.value)
                                 ORDER BY p.kind, p.value), '[]')
        FROM contact_points AS p WHERE p.customer_id = c.customer_id)""",
    "external_ids": """(
        SELECT coalesce(json_agg(json_build_object('source', e.source, 'external_id', e.external_id)
                                 ORDER BY e.source, e.external_id), '[]')
        FROM external_ids AS e WHERE e.customer_id = c.customer_id)""",
    "merged_from": "nullif(meant.asked, c.customer_id)",
    "as_of": "null",
}


def _money_of_currencies(amount: str) -> str:
    money = f"json_build_object('amount', {amount}, 'currency', currency)"
    return f"coalesce(json_agg({money} ORDER BY currency), '[]')"


_PURCHASES = f"""(
    SELECT json_build_object(
        'count', coalesce(sum(count), 0),
        'totals', {_money_of_currencies("amount")},
        'refunded', {_money_of_currencies("refunded")},
        'net', {_money_of_currencies("amount - refunded")},
        'first_at', {_instant("min(first_at)")}, 'last_at', {_instant("max(last_at)")})
    FROM (SELECT currency, count(*) AS count, sum(amount) AS amount, sum(refunded) AS refunded,
                 min(occurred_at) AS first_at, max(occurred_at) AS last_at
          FROM purchases AS p WHERE p.customer_id = c.customer_id GROUP BY currency) AS of_currency)"""

_LAST_CONTACTED = f"""(
    SELECT json_build_object('at', {_instant("at")}, 'channel', channel, 'direction', direction, 'by', by,
                             'interaction_id', interaction_id, 'message_id', message_id)
    FROM ({last_contacts.newest("c.customer_id")}) AS newest)"""

_TIMELINE = f"""(
    SELECT coalesce(json_agg(json_build_object(
        'id', id, 'type', type,
        'occurred_at', {_instant("occurred_at")}, 'recorded_at', {_instant("recorded_at")},
        'title', title, 'data', data) ORDER BY occurred_at DESC, id DESC), '[]')
    FROM (SELECT * FROM timeline_entries AS t WHERE t.customer_id = c.customer_id
          ORDER BY occurred_at DESC, id DESC LIMIT {NEWEST_ENTRIES}) AS newest)"""


def _object(members: Mapping[str, str]) -> str:
    pairs = ", ".join(f"'{name}', {value}" for name, value in members.items())
    return f"json_build_object({pairs})"


def members_of(model: type[ProfileOut]) -> str:
    """A member that is told nothing else of is the column of its name."""
    members = {}
    for name, field in model.model_fields.items():
        column = _instant(f"c.{name}") if field.annotation is datetime else f"c.{name}"
        members[name] = _MEMBERS.get(name, column)
    return _object(members)


def _statement(document: str) -> Prepared:
    statement = f"{_CURRENT} SELECT meant.asked, c.customer_id, c.version, {document}::text AS body {_FROM}"
    return Prepared(text(statement).bindparams(bindparam("asked", type_=ARRAY(Uuid))))


_ID = _statement("c.customer_id")
CUSTOMER = _statement(members_of(CustomerOut))
"""Reads customers by their ids."""
_SUMMARY = _statement(
    _object(
        {
            "customer": members_of(ProfileOut),
            "purchases": _PURCHASES,
            "last_contacted": _LAST_CONTACTED,
            "timeline": _TIMELINE,
        }
    )
)


@dataclass(frozen=True)
class Document:
    """The customer that was meant, their version, and the text of the answer."""

    customer_id: UUID
    version: int
    body: bytes
    as_of: datetime | None = None

    @property
    def location(self) -> str:
        """Where exactly this is answered."""
        instant = "" if self.as_of is None else f"?as_of={self.as_of:%Y-%m-%dT%H:%M:%S.%fZ}"
        return f"/v1/customers/{self.customer_id}{instant}"

    def masked(self) -> bytes:
        """The answer for those who may not see how to reach somebody."""
        body = orjson.loads(self.body)
        mask(body.get("customer", body)["contact_points"])
        return orjson.dumps(body)

    def without_staff_words(self) -> "Document":
        """The summary for those who are not staff."""
        body = orjson.loads(self.body)
        for entry in body["timeline"]:
            entry["data"] = timeline.without_staff_words(entry["type"], entry["data"])
        return replace(self, body=orjson.dumps(body))


def mask(points: Any) -> None:
    """Mask each of a JSON list of contact points; null has none."""
    for point in points or ():
        point["value"] = contact_points.mask(point["kind"], point["value"])


async def current_id(session: AsyncSession, customer_id: UUID) -> UUID:
    """Whom the id means now; raises CustomerNotFound."""
    found = await _find(session, _ID, [customer_id])
    return known(found.get(customer_id), customer_id).customer_id


async def get_customer(session: AsyncSession, customer_id: UUID) -> Document:
    """CustomerOut of the customer, or of who absorbed them; raises CustomerNotFound."""
    return known((await find_customers(session, [customer_id])).get(customer_id), customer_id)


async def find_customers(session: AsyncSession, ids: Collection[UUID]) -> Mapping[UUID, Document]:
    """CustomerOut of each customer who is known, or of who absorbed them, by the id asked for."""
    return await _find(session, CUSTOMER, ids)


def of_new(draft: Draft) -> Document:
    """CustomerOut of somebody who has just been stored for the first time, as it will be read."""
    assert draft.recorded_at is not None
    at = f"{draft.recorded_at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    told = draft.state(draft.recorded_at) | {"id": str(draft.owner.id), "merged_from": None, "as_of": None}
    told |= {"created_at": at, "updated_at": at}
    body = orjson.dumps({name: told[name] for name in CustomerOut.model_fields})
    return Document(draft.owner.id, told["version"], body)


async def get_summary(session: AsyncSession, customer_id: UUID) -> Document:
    """ProfileSummaryOut of the customer, or of who absorbed them; raises CustomerNotFound."""
    return known((await find_summaries(session, [customer_id])).get(customer_id), customer_id)


async def find_summaries(session: AsyncSession, ids: Collection[UUID]) -> Mapping[UUID, Document]:
    """ProfileSummaryOut of each customer who is known, or of who absorbed them, by the id asked for."""
    return await _find(session, _SUMMARY, ids)


def known(found: Document | None, customer_id: UUID) -> Document:
    """What was found of the customer; raises CustomerNotFound when that is nothing."""
    if found is None:
        raise CustomerNotFound(customer_id=str(customer_id))
    return found


async def _find(session: AsyncSession, statement: Prepared, ids: Collection[UUID]) -> Mapping[UUID, Document]:
    rows = await statement.fetch(session, {"asked": list(ids)})
    return {row["asked"]: Document(row["customer_id"], row["version"], row["body"].encode()) for row in rows}
