"""Histories: what a customer was at any instant, and who changed what, when and from where."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers.describing import NOTHING
from crm_profiles.customers.documents import Document
from crm_profiles.models.history import Change, CustomerVersion
from crm_profiles.schemas.customers import CustomerOut
from crm_profiles.schemas.history import CustomerVersionOut, MemberChange
from crm_shared.customers import CustomerNotFound
from crm_shared.database import Json
from crm_shared.pages import Key, Listing, PageRequest, paginate

# The version of that instant; where that says that the customer was absorbed, the survivor's of that instant.
_NEWEST = """
    SELECT v.customer_id, v.recorded_at, v.change, v.state FROM customer_versions AS v
    WHERE v.customer_id = {customer} AND v.recorded_at <= :as_of ORDER BY v.version DESC LIMIT 1
"""
_AS_OF = text(
    f"""
    WITH RECURSIVE chain AS (
        SELECT newest.*, 0 AS depth FROM ({_NEWEST.format(customer=":customer_id")}) AS newest
        UNION ALL
        SELECT newest.*, chain.depth + 1 FROM chain, LATERAL (
            {_NEWEST.format(customer="CAST(chain.state ->> 'survivor_id' AS uuid)")}
        ) AS newest WHERE chain.change = '{Change.ABSORBED}' AND chain.depth < 10000
    )
    SELECT customer_id, recorded_at, change, state FROM chain ORDER BY depth DESC LIMIT 1
    """
).bindparams(bindparam("customer_id", type_=Uuid), bindparam("as_of", type_=DateTime(timezone=True)))

_OF_ITSELF = {"customer_id", "version", "attributes"}


async def get_as_of(session: AsyncSession, customer_id: UUID, as_of: datetime) -> Document:
    """CustomerOut of the customer as they were on file at that instant; raises CustomerNotFound."""
    asked = {"customer_id": customer_id, "as_of": as_of}
    row = (await session.execute(_AS_OF, asked)).one_or_none()
    if row is None or row.change == Change.ABSORBED:
        raise CustomerNotFound(
            f"Nobody was on file under this id at {as_of.isoformat()}.", customer_id=str(customer_id)
        )
    shown = CustomerOut.model_validate(
        NOTHING  # what nobody could tell then
        | row.state
        | {
            "id": row.customer_id,
            "updated_at": row.recorded_at,
            "merged_from": None if row.customer_id == customer_id else customer_id,
            "as_of": as_of,
        }
    )
    return Document(row.customer_id, shown.version, shown.model_dump_json().encode(), as_of)


async def list_(
    session: AsyncSession, customer_id: UUID, *, page: PageRequest
) -> Listing[CustomerVersionOut]:
    """What was changed under this very id, the newest first; raises CustomerNotFound.

    An id that was absorbed keeps its own history, which ends with that.
    """
    of_customer = select(CustomerVersion).where(CustomerVersion.customer_id == customer_id)
    found = await paginate(
        session,
        of_customer,
        [Key(CustomerVersion.version, descending=True)],
        page=page,
        filters=str(customer_id),
    )
    versions = found.items
    if not versions and page.cursor is None:
        raise CustomerNotFound(customer_id=str(customer_id))
    states = [version.state for version in versions]
    if found.has_more:
        older = of_customer.where(CustomerVersion.version < versions[-1].version)
        newest = older.order_by(CustomerVersion.version.desc()).limit(1)
        states.append((await session.scalars(newest)).one().state)
    else:
        states.append({})
    shown = [
        _shown(version, changes(before, version.state))
        for version, before in zip(versions, states[1:], strict=True)
    ]
    return Listing(shown, found.next_cursor, found.has_more)


def changes(before: Json, after: Json) -> list[MemberChange]:
    """The members that differ between two states."""
    olds, news = members(before), members(after)
    return [
        MemberChange(member=name, before=olds.get(name), after=news.get(name))
        for name in sorted(olds.keys() | news.keys())
        if olds.get(name) != news.get(name)
    ]


def members(state: Mapping[str, Any]) -> Json:
    """Those that have a value, which an empty list is not; each custom attribute is one of its own."""
    own = {name: value for name, value in state.items() if name not in _OF_ITSELF}
    own |= {f"attributes.{key}": value for key, value in state.get("attributes", {}).items()}
    return {name: value for name, value in own.items() if value not in (None, [], {})}


def _shown(version: CustomerVersion, changed: list[MemberChange]) -> CustomerVersionOut:
    return CustomerVersionOut(
        customer_id=version.customer_id,
        version=version.version,
        recorded_at=version.recorded_at,
        actor=version.actor,
        source=version.source,
        channel=version.channel,
        change=version.change,
        changes=changed,
    )
