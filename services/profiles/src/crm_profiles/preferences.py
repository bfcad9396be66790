"""Preferences: what customers say that they like, and what is concluded about them, side by side."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from crm_profiles.customers import owners
from crm_profiles.customers.contact_points import Owner
from crm_profiles.errors import TooManyPreferences
from crm_profiles.models.preferences import Preference, PreferenceKind
from crm_profiles.models.purchases import Purchase, PurchaseLine
from crm_profiles.rules.inference import favourite
from crm_profiles.schemas.preferences import PreferenceIn, PreferenceOut
from crm_shared.customers import current
from crm_shared.database import Json

PURCHASES = "purchases"
"""The source of what we conclude ourselves."""
MAX_PREFERENCES = 200

_INFERRED: Mapping[str, InstrumentedAttribute[str | None]] = {
    "favourite_brand": PurchaseLine.brand,
    "favourite_category": PurchaseLine.category,
}


async def put(
    session: AsyncSession, customer_id: UUID, topic: str, body: PreferenceIn, *, at: datetime
) -> PreferenceOut:
    """Keep the preference in place of an older one of its kind.

    Raises CustomerNotFound, TooManyPreferences.
    """
    owner = await owners.lock_one(session, customer_id)
    held = {(row.topic, row.kind) for row in await _held(session, owner.id)}
    if len(held) >= MAX_PREFERENCES and (topic, body.kind) not in held:
        raise TooManyPreferences(f"A customer has {MAX_PREFERENCES} preferences at most.")
    told = body.model_dump() | {"known_at": body.known_at or at}
    await _write(session, owner, {"topic": topic, **told}, at=at)
    return PreferenceOut(topic=topic, **told)


async def withdraw(
    session: AsyncSession, customer_id: UUID, topic: str, kind: PreferenceKind, *, at: datetime
) -> None:
    """It does not hold any more, if it ever did; raises CustomerNotFound."""
    owner = await owners.lock_one(session, customer_id)
    held = [row for row in await _held(session, owner.id) if (row.topic, row.kind) == (topic, kind)]
    for row in held:
        gone: Json = {"topic": topic, "kind": kind, "source": row.source, "confidence": row.confidence}
        await _write(session, owner, gone | {"value": None, "evidence": None, "known_at": at}, at=at)


async def list_(session: AsyncSession, customer_id: UUID) -> list[PreferenceOut]:
    """All that the customer prefers, with what their purchases tell."""
    told = [PreferenceOut.model_validate(row) for row in await _held(session, customer_id)]
    for topic, column in _INFERRED.items():
        found = await _infer(session, customer_id, topic, column)
        told += [found] if found else []
    return sorted(told, key=lambda each: (each.topic, each.kind is PreferenceKind.INFERRED, each.source))


async def _held(session: AsyncSession, customer_id: UUID) -> list[Preference]:
    """What was told last of each topic and kind, unless it was withdrawn."""
    per = [Preference.topic, Preference.kind]
    rows = await session.scalars(current(Preference, [customer_id], per=per, newest=Preference.recorded_at))
    return [row for row in rows if row.value is not None]


async def _write(session: AsyncSession, owner: Owner, told: Json, *, at: datetime) -> None:
    row = {**told, "customer_id": owner.id, "origin_customer_id": owner.origin, "recorded_at": at}
    keys = ["origin_customer_id", "topic", "kind"]
    statement = insert(Preference).values(row)
    new = {name: statement.excluded[name] for name in row.keys() - set(keys)}
    await session.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))


async def _infer(
    session: AsyncSession, customer_id: UUID, topic: str, column: InstrumentedAttribute[str | None]
) -> PreferenceOut | None:
    kept: ColumnElement[int] = PurchaseLine.quantity - PurchaseLine.refunded_quantity
    rows = await session.execute(
        select(
            column.label("value"), func.sum(kept).label("pieces"), func.max(Purchase.occurred_at).label("at")
        )
        .join(Purchase, Purchase.id == PurchaseLine.purchase_id)
        .where(Purchase.customer_id == customer_id, column.is_not(None), kept > 0)
        .group_by(column)
    )
    bought = {str(row.value): row for row in rows}
    found = favourite({value: int(row.pieces) for value, row in bought.items()})
    if found is None:
        return None
    return PreferenceOut(
        topic=topic,
        kind=PreferenceKind.INFERRED,
        value=found.value,
        source=PURCHASES,
        confidence=round(found.confidence, 4),
        evidence={"pieces": found.pieces, "of": found.of},
        known_at=max(row.at for row in bought.values()),
    )
