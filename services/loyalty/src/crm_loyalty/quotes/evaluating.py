"""What a price is made of at an instant: the facts are read here, the rules are pricing's."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons import using
from crm_loyalty.coupons.finding import Held
from crm_loyalty.earning import facts, trials
from crm_loyalty.errors import InsufficientPoints, PointsNotPayable, PromotionBudgetSpent
from crm_loyalty.ledger import accounts, points_policy
from crm_loyalty.models.quotes import PaymentPolicy
from crm_loyalty.quotes import payment, promotions
from crm_loyalty.rules import conditions, pricing
from crm_loyalty.rules.pricing import EffectKind, Payment, Priced, ValueKind
from crm_loyalty.schemas.evaluations import BasketLineIn, EvaluationIn
from crm_loyalty.schemas.quotes import EffectOut, NotUsedOut, PriceOut, QuoteIn
from crm_loyalty.tiers import ladders, standings
from crm_shared.problems import Problem

POINTS = "points"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be priced, with the coupons that were found."""

    customer_id: UUID
    owner: UUID
    body: QuoteIn
    coupons: Sequence[Held]


@dataclass(frozen=True, slots=True)
class Named:
    """A price, the coupons that it uses, and the policy by which points pay."""

    price: PriceOut
    used: list[Held]
    policy: PaymentPolicy


async def evaluate(session: AsyncSession, asked: Asked, *, at: datetime) -> Named:
    """The price now; raises AccountNotFound."""
    basket = asked.body.basket.basket()
    policy = await payment.get(session)
    refused = await _refusals(session, asked, at=at)
    paying = await _paying(session, asked, policy, refused, at=at)
    promoted = await _promotions(session, asked, at=at)
    priced = pricing.price(
        basket,
        tier=await _tier(session, asked.owner),
        promotions=promoted,
        coupons=[held.discount for held in asked.coupons if held.discount.key not in refused],
        payment=paying,
    )
    held_by_key = {held.discount.key: held for held in asked.coupons}
    refused |= {key: using.unfit(held_by_key[key], reason) for key, reason in priced.unused.items()}
    taken = {effect.key for effect in priced.effects if effect.kind is EffectKind.COUPON}
    price = PriceOut(
        currency=basket.currency,
        subtotal=priced.subtotal,
        total=priced.total,
        lines=list(priced.lines),
        effects=[EffectOut.model_validate(asdict(effect)) for effect in priced.effects],
        not_used=[
            *(
                _not_used(EffectKind.POINTS if key == POINTS else EffectKind.COUPON, key, refused[key])
                for key in sorted(refused)
            ),
            *(
                _not_used(EffectKind.PROMOTION, promotion.key, PromotionBudgetSpent())
                for promotion in promoted
                if promotion.left == 0 and pricing.objection(promotion, basket) is None
            ),
        ],
        points_to_earn=await _earned(session, asked, priced, at=at),
    )
    return Named(price, [held for held in asked.coupons if held.discount.key in taken], policy)


def _not_used(kind: EffectKind, key: str, refusal: Problem) -> NotUsedOut:
    return NotUsedOut(
        kind=kind, key=key, code=refusal.code(), detail=refusal.detail, values=refusal.extensions
    )


async def _refusals(session: AsyncSession, asked: Asked, *, at: datetime) -> dict[str, Problem]:
    """Which coupons the customer cannot use now, whatever is in the basket, by key."""
    refused: dict[str, Problem] = {}
    usable = []
    for held in sorted(asked.coupons, key=lambda held: held.coupon.id):
        refusal = using.refusal_of(held, asked.owner, at=at)
        if refusal is None:
            usable.append(held)
        else:
            refused[held.discount.key] = refusal
    limited = await using.limits(session, usable, asked.owner, at=at)
    return refused | {str(id): refusal for id, refusal in limited.items()}


async def _paying(
    session: AsyncSession, asked: Asked, policy: PaymentPolicy, refused: dict[str, Problem], *, at: datetime
) -> Payment | None:
    """How the points pay; None, and a refusal, when they cannot."""
    wanted = asked.body.points
    standing = await accounts.get_shared(session, asked.customer_id, at=at)
    if not wanted:
        return None
    if policy.currency != asked.body.basket.currency:
        refused[POINTS] = PointsNotPayable(f"Points pay {policy.currency}.", currency=policy.currency)
        return None
    if wanted > standing.spendable:
        refused[POINTS] = InsufficientPoints(
            f"{wanted} points were asked for, {standing.spendable} are available.",
            available=standing.spendable,
            requested=wanted,
        )
        return None
    return Payment(policy.version, policy.points, policy.amount, policy.max_basis_points, wanted)


async def _tier(session: AsyncSession, owner: UUID) -> pricing.Discount | None:
    """What the customer's tier takes off every basket."""
    tier = (await standings.current(session, [owner])).get(owner)
    ladder = await ladders.find(session) if tier is not None else None
    if tier is None or ladder is None:
        return None
    benefits = ladders.benefits(ladder, tier)
    if benefits is None or not benefits.discount_percent:
        return None
    return pricing.Discount(
        key=tier,
        rule=tier,
        version=ladder.version,
        value=ValueKind.PERCENT,
        basis_points=benefits.discount_percent * 100,
    )


async def _promotions(session: AsyncSession, asked: Asked, *, at: datetime) -> Sequence[pricing.Discount]:
    body, basket = asked.body, asked.body.basket
    lines = tuple(
        conditions.PurchaseLine(
            number, line.price * line.quantity, line.quantity, line.product, line.category, line.brand
        )
        for number, line in enumerate(basket.lines, start=1)
    )
    purchase = conditions.Purchase(
        occurred_at=at,
        amount=sum(line.amount for line in lines),
        currency=basket.currency,
        lines=lines,
        channel=body.channel,
        shop=body.shop,
    )
    policy = await points_policy.of_earning(session)
    [customer] = await facts.of(session, [(asked.owner, at)], policy)
    return await promotions.applying(session, purchase, customer, policy)


async def _earned(session: AsyncSession, asked: Asked, priced: Priced, *, at: datetime) -> int:
    """What the lines would earn after discounts, by the rules in force."""
    paid = [effect.lines for effect in priced.effects if effect.kind is EffectKind.POINTS]
    amounts = [left + sum(parts) for left, *parts in zip(priced.lines, *paid, strict=True)]
    lines = [
        BasketLineIn(
            amount=amount,
            quantity=line.quantity,
            product=line.product,
            category=line.category,
            brand=line.brand,
        )
        for line, amount in zip(asked.body.basket.lines, amounts, strict=True)
    ]
    body = EvaluationIn(
        customer_id=asked.customer_id,
        currency=asked.body.basket.currency,
        lines=lines,
        channel=asked.body.channel,
        shop=asked.body.shop,
    )
    return (await trials.run(session, body, at=at)).points
