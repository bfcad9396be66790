"""Orders of rewards: points and stock are taken together, then the order goes its way, or both come back."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons import series
from crm_loyalty.errors import (
    LimitReached,
    NoLongerValid,
    NotForThisTier,
    NotYetValid,
    OrderStateConflict,
    RewardNotOffered,
    RewardOrderNotFound,
    RewardWasOrdered,
)
from crm_loyalty.ledger import ledger
from crm_loyalty.models.rewards import OrderState, OrderStep, Reward, RewardOrder
from crm_loyalty.postings import Reverse, Spend, Verdict
from crm_loyalty.rewards import audience, catalogue
from crm_loyalty.schemas.rewards import RewardOrderIn
from crm_loyalty.schemas.segments import SegmentsIn
from crm_shared import customers
from crm_shared.contracts.loyalty import (
    RewardCancelled,
    RewardDelivered,
    RewardOrdered,
    RewardOrderMoved,
    RewardShipped,
)
from crm_shared.ids import uuid7
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate

SOURCE = "/crm/loyalty/rewards"

_BEFORE = {
    OrderState.APPROVED: {OrderState.ORDERED},
    OrderState.PACKED: {OrderState.ORDERED, OrderState.APPROVED},
    OrderState.SHIPPED: {OrderState.ORDERED, OrderState.APPROVED, OrderState.PACKED},
    OrderState.DELIVERED: {OrderState.PACKED, OrderState.SHIPPED},
    OrderState.CANCELLED: {OrderState.ORDERED, OrderState.APPROVED, OrderState.PACKED},
}
"""From which states an order comes into each; what was packed may also be handed over."""

_TOLD: dict[OrderState, type[RewardOrderMoved]] = {
    OrderState.ORDERED: RewardOrdered,
    OrderState.SHIPPED: RewardShipped,
    OrderState.DELIVERED: RewardDelivered,
    OrderState.CANCELLED: RewardCancelled,
}


async def place(
    session: AsyncSession,
    customer_id: UUID,
    body: RewardOrderIn,
    *,
    reference: tuple[str, str],
    coupon_key: bytes,
    at: datetime,
) -> RewardOrder:
    """Take points and stock in one transaction; the same reference gives the same order.

    Raises RewardNotFound, RewardNotOffered, NotYetValid, NoLongerValid, NotForThisTier, AccountNotFound,
    InsufficientPoints, LimitReached, OutOfStock, CouponSuspended, IssueLimitReached.
    """
    owner = await customers.resolve_one(session, customer_id, lock=True)
    reward = await catalogue.get(session, body.reward)
    _check_offer(reward, at)
    _check_audience(reward, await audience.member(session, owner))
    paid = await _pay(session, customer_id, reward, body.quantity, reference=reference, at=at)
    movement = paid.accepted()
    if paid.repeated:
        return await _paid_by(session, movement.id)
    # The customer's accounts are locked now: nobody else orders for them meanwhile.
    await _check_limit(session, owner, reward, body.quantity)
    await catalogue.take(session, reward, body.quantity)
    order = _order(owner, customer_id, reward, body, movement.id, at=at)
    session.add(order)
    await session.flush()
    _tell(session, order, at=at, by=reference[0])
    if reward.coupon_series is not None:
        await _hand_over(session, order, reward.coupon_series, coupon_key=coupon_key, at=at, by=reference[0])
    return order


async def get(session: AsyncSession, order_id: UUID, *, lock: bool = False) -> RewardOrder:
    """The order; raises RewardOrderNotFound."""
    order = await session.get(RewardOrder, order_id, with_for_update=lock or None, populate_existing=lock)
    if order is None:
        raise RewardOrderNotFound(order_id=str(order_id))
    return order


async def check_reversal(session: AsyncSession, transaction_id: UUID) -> None:
    """What a reward was paid with comes back with the order or not at all; raises RewardWasOrdered."""
    standing = select(RewardOrder.id).where(
        RewardOrder.transaction_id == transaction_id, RewardOrder.state != OrderState.CANCELLED
    )
    if order_id := await session.scalar(standing):
        raise RewardWasOrdered(f"Reward order {order_id} was paid with them.", order_id=str(order_id))


async def steps(session: AsyncSession, order_id: UUID) -> list[OrderStep]:
    """What became of the order, oldest first."""
    rows = select(OrderStep).where(OrderStep.order_id == order_id).order_by(OrderStep.version)
    return list(await session.scalars(rows))


async def list_(
    session: AsyncSession,
    *,
    customer_id: UUID | None = None,
    state: OrderState | None,
    page: PageRequest,
) -> Listing[RewardOrder]:
    """Orders, newest first: a customer's, or everybody's."""
    statement = select(RewardOrder)
    if customer_id is not None:
        owner = await customers.resolve_one(session, customer_id)
        statement = statement.where(RewardOrder.customer_id == owner)
    if state is not None:
        statement = statement.where(RewardOrder.state == state)
    return await paginate(
        session,
        statement,
        [Key(RewardOrder.id, descending=True)],
        page=page,
        filters=[str(customer_id), state],
    )


async def move(
    session: AsyncSession,
    order_id: UUID,
    to: OrderState,
    *,
    tracking: str | None = None,
    at: datetime,
    by: str,
) -> RewardOrder:
    """Bring the order a step further; raises RewardOrderNotFound, OrderStateConflict."""
    # Before the row is locked, as merges do it.
    await customers.stop_merges(session)
    order = await get(session, order_id, lock=True)
    await _check_step(session, order, to)
    order.state, order.changed_at = to, at
    order.version += 1
    order.tracking = tracking or order.tracking
    if to is OrderState.CANCELLED:
        await _give_back(session, order, at=at)
    _tell(session, order, at=at, by=by)
    await session.flush()
    return order


def _order(
    owner: UUID, customer_id: UUID, reward: Reward, body: RewardOrderIn, transaction_id: UUID, *, at: datetime
) -> RewardOrder:
    return RewardOrder(
        id=uuid7(),
        customer_id=owner,
        origin_customer_id=customer_id,
        reward_key=reward.key,
        reward_version=reward.version,
        kind=reward.kind,
        quantity=body.quantity,
        points=reward.points * body.quantity,
        state=OrderState.ORDERED,
        version=1,
        deliver_to=body.deliver_to,
        tracking=None,
        transaction_id=transaction_id,
        ordered_at=at,
        changed_at=at,
    )


def _check_offer(reward: Reward, at: datetime) -> None:
    if not reward.active:
        raise RewardNotOffered
    if reward.valid_from and at < reward.valid_from:
        raise NotYetValid(valid_from=reward.valid_from)
    if reward.valid_until and at >= reward.valid_until:
        raise NoLongerValid(valid_until=reward.valid_until)


def _check_audience(reward: Reward, member: audience.Member) -> None:
    segments = SegmentsIn.model_validate(reward.segments).condition()
    if not member.belongs_to(reward.tiers, reward.levels, segments):
        # Not the segments: what they are called is nothing for customers.
        raise NotForThisTier(tiers=list(reward.tiers), levels=list(reward.levels))


async def _check_limit(session: AsyncSession, owner: UUID, reward: Reward, quantity: int) -> None:
    if reward.max_per_customer is None:
        return
    had = await session.scalar(
        select(func.coalesce(func.sum(RewardOrder.quantity), 0)).where(
            RewardOrder.customer_id == owner,
            RewardOrder.reward_key == reward.key,
            RewardOrder.state != OrderState.CANCELLED,
        )
    )
    if int(had or 0) + quantity > reward.max_per_customer:
        raise LimitReached(
            f"A customer can have {reward.max_per_customer}; {had} were ordered before.",
            scope="customer",
            limit=reward.max_per_customer,
        )


async def _check_step(session: AsyncSession, order: RewardOrder, to: OrderState) -> None:
    allowed = _BEFORE[to]
    if order.state is OrderState.ORDERED and to in (
        OrderState.PACKED,
        OrderState.SHIPPED,
        OrderState.APPROVED,
    ):
        needed = await session.scalar(
            select(Reward.needs_approval).where(
                Reward.key == order.reward_key, Reward.version == order.reward_version
            )
        )
        if needed != (to is OrderState.APPROVED):
            why = "Somebody has to approve it first." if needed else "It needs no approval."
            raise OrderStateConflict(why, state=order.state.value)
    if order.state not in allowed:
        raise OrderStateConflict(
            f"An order that is {order.state.value} cannot be {to.value}.", state=order.state.value
        )


async def _pay(
    session: AsyncSession,
    customer_id: UUID,
    reward: Reward,
    quantity: int,
    *,
    reference: tuple[str, str],
    at: datetime,
) -> Verdict:
    source, key = reference
    spend = Spend(
        customer_id=customer_id,
        source=source,
        reference=key,
        effective_at=at,
        points=reward.points * quantity,
        reason=f"Reward {reward.key}",
    )
    [verdict] = await ledger.post(session, [spend], at=at)
    return verdict


async def _hand_over(
    session: AsyncSession, order: RewardOrder, coupon_series: str, *, coupon_key: bytes, at: datetime, by: str
) -> None:
    """Coupons need no sending: the order has arrived at once."""
    terms = await series.get(session, coupon_series)
    owners = [order.origin_customer_id] * order.quantity
    await series.issue_to(session, terms, owners, key=coupon_key, at=at)
    order.state, order.version = OrderState.DELIVERED, order.version + 1
    _tell(session, order, at=at, by=by)
    await session.flush()


async def _paid_by(session: AsyncSession, transaction_id: UUID) -> RewardOrder:
    paid = select(RewardOrder).where(RewardOrder.transaction_id == transaction_id)
    return (await session.scalars(paid)).one()


async def _give_back(session: AsyncSession, order: RewardOrder, *, at: datetime) -> None:
    """Points, to the lots that they came from, and stock; in the order in which they are taken.

    Of customers who were erased too, as with holds: the stock is the company's, and others of a pool may have
    paid.
    """
    points = Reverse(
        customer_id=order.origin_customer_id,
        source=SOURCE,
        reference=f"order {order.id} cancelled",
        effective_at=at,
        transaction_id=order.transaction_id,
        reason=f"Cancelled: reward {order.reward_key}",
    )
    [verdict] = await ledger.post(session, [points], at=at)
    verdict.accepted()
    await catalogue.put_back(session, order.reward_key, order.reward_version, order.quantity)


def _tell(session: AsyncSession, order: RewardOrder, *, at: datetime, by: str) -> None:
    """Keep the step, and publish it if others care for it."""
    session.add(OrderStep(order_id=order.id, version=order.version, state=order.state, at=at, by=by))
    if order.state in _TOLD:
        event = _TOLD[order.state](
            customer_id=order.origin_customer_id,
            version=order.version,
            order_id=order.id,
            reward=order.reward_key,
            kind=order.kind.value,
            quantity=order.quantity,
            points=order.points,
            state=order.state.value,
            ordered_at=order.ordered_at,
        )
        publish(session, event, at=at)
