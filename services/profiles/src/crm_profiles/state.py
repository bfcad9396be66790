"""The current state of every aggregate as events, for topics to be filled from the tables."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.activity import interactions, refunds
from crm_profiles.activity.purchases import FIRST_VERSION
from crm_profiles.consents import contact_policy, permissions
from crm_profiles.customers.describing import FIELDS
from crm_profiles.messages import messages
from crm_profiles.models.consents import Permission
from crm_profiles.models.customers import Customer
from crm_profiles.models.interactions import Interaction
from crm_profiles.models.merges import Merge
from crm_profiles.models.messages import Message
from crm_profiles.models.purchases import Purchase, Refund
from crm_profiles.privacy import privacy
from crm_profiles.settings import Settings
from crm_shared.contracts.base import Event, Money
from crm_shared.contracts.profiles import (
    ConsentChanged,
    ContactPointState,
    ContactPolicyChanged,
    CustomerChanged,
    CustomerMerged,
    ExternalIdState,
    PurchaseLineState,
    PurchaseRecorded,
)
from crm_shared.customers import ErasedCustomer, Forgotten
from crm_shared.operate import Eraser, Republisher
from crm_shared.permissions import INITIAL_VERSION

_AT_ONCE = 500


async def customers(session: AsyncSession) -> AsyncIterator[Event]:
    """Every customer as they are now."""
    everybody = (
        select(Customer)
        .options(selectinload(Customer.contact_points), selectinload(Customer.external_ids))
        .order_by(Customer.id)
    )
    rows = await session.stream_scalars(everybody, execution_options={"yield_per": _AT_ONCE})
    async for row in rows:
        yield CustomerChanged(
            customer_id=row.id,
            version=row.version,
            source=row.source,
            channel=row.channel,
            created_at=row.created_at,
            contact_points=[ContactPointState(kind=p.kind, value=p.value) for p in row.contact_points],
            external_ids=[
                ExternalIdState(source=e.source, external_id=e.external_id) for e in row.external_ids
            ],
            **{name: getattr(row, name) for name in FIELDS},
        )


async def merges(session: AsyncSession) -> AsyncIterator[Event]:
    """Every merge that is in force, but of those who were erased."""
    erased = select(ErasedCustomer.customer_id)
    in_force = select(Merge).where(Merge.undone_at.is_(None), Merge.absorbed_id.not_in(erased))
    rows = await session.stream_scalars(
        in_force.order_by(Merge.sequence), execution_options={"yield_per": _AT_ONCE}
    )
    async for row in rows:
        yield CustomerMerged(
            customer_id=row.absorbed_id,
            version=row.absorbed_version + 1,
            survivor_id=row.survivor_id,
            merge_id=row.id,
            sequence=row.sequence,
        )


async def purchases(session: AsyncSession) -> AsyncIterator[Event]:
    """Every purchase, but of those who were erased."""
    kept = (
        select(Purchase)
        .where(Purchase.origin_customer_id.not_in(select(ErasedCustomer.customer_id)))
        .options(selectinload(Purchase.lines))
        .order_by(Purchase.id)
    )
    rows = await session.stream_scalars(kept, execution_options={"yield_per": _AT_ONCE})
    async for row in rows:
        yield PurchaseRecorded(
            customer_id=row.origin_customer_id,
            version=FIRST_VERSION,  # what came after it is told by its refunds
            purchase_id=row.id,
            source=row.source,
            external_id=row.external_id,
            occurred_at=row.occurred_at,
            channel=row.channel,
            shop=row.shop,
            total=Money(amount=row.amount, currency=row.currency),
            lines=[
                PurchaseLineState(
                    line=line.line,
                    product=line.product,
                    category=line.category,
                    brand=line.brand,
                    quantity=line.quantity,
                    price=_money(line.price, row.currency),
                    discount=_money(line.discount, row.currency),
                    total=Money(amount=line.amount, currency=row.currency),
                )
                for line in row.lines
            ],
        )


def _money(amount: int | None, currency: str) -> Money | None:
    return None if amount is None else Money(amount=amount, currency=currency)


async def refunds_(session: AsyncSession) -> AsyncIterator[Event]:
    """Every refund, but of those who were erased."""
    kept = (
        select(Refund, Purchase)
        .join(Purchase, Purchase.id == Refund.purchase_id)
        .where(Refund.customer_id.not_in(select(ErasedCustomer.customer_id)))
        .options(selectinload(Refund.lines), selectinload(Purchase.lines))
        .order_by(Refund.id)
    )
    rows = await session.stream(kept, execution_options={"yield_per": _AT_ONCE})
    async for refund, purchase in rows:
        yield refunds.state(purchase, refund)


async def interactions_(session: AsyncSession) -> AsyncIterator[Event]:
    """Every interaction."""
    everything = select(Interaction).order_by(Interaction.id)
    rows = await session.stream_scalars(everything, execution_options={"yield_per": _AT_ONCE})
    async for row in rows:
        yield interactions.state(row)


async def permissions_(session: AsyncSession) -> AsyncIterator[Event]:
    """All that was said under each customer id."""
    everything = select(Permission).order_by(Permission.origin_customer_id)
    rows = await session.stream_scalars(everything, execution_options={"yield_per": _AT_ONCE})
    async for chunk in rows.partitions():
        said = await permissions.said_under(session, [row.origin_customer_id for row in chunk])
        for row in chunk:
            yield ConsentChanged(
                customer_id=row.origin_customer_id,
                version=row.version,
                permission=permissions.state_of(row, said[row.origin_customer_id]),
            )


async def messages_(session: AsyncSession) -> AsyncIterator[Event]:
    """Every message of a purpose that is capped by the policy in force: with them senders count."""
    purposes = (await contact_policy.current(session)).policy.purposes
    capped = [purpose for purpose, rule in purposes.items() if rule.capped]
    counting = select(Message).where(Message.purpose.in_(capped)).order_by(Message.id)
    rows = await session.stream_scalars(counting, execution_options={"yield_per": _AT_ONCE})
    async for row in rows:
        yield messages.state(row)


async def contact_policy_(session: AsyncSession) -> AsyncIterator[Event]:
    """The company's rules, if they are not the initial ones, which everybody has."""
    rules = await contact_policy.current(session)
    if rules.version > INITIAL_VERSION:
        yield ContactPolicyChanged(version=rules.version, policy=rules.policy)


STATES: Mapping[str, Republisher] = {
    "customers": customers,
    "merges": merges,
    "purchases": purchases,
    "refunds": refunds_,
    "interactions": interactions_,
    "permissions": permissions_,
    "messages": messages_,
    "contact-policy": contact_policy_,
}
"""What `python -m crm_shared.operate crm_profiles republish --from-state` can tell."""


def erase_again(settings: Settings) -> Eraser:
    """How `re-erase` forgets here: as an erasure of our own, with its receipt."""

    async def erase(session: AsyncSession, who: Forgotten, at: datetime) -> None:
        await privacy.erase_again(
            session, who, key=settings.suppression_key, segment=settings.topic_segment, at=at
        )

    return erase
