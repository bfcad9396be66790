"""What a basket costs: each discount and what it takes off which line, in one order, without rounding losses.

The order is: the tier's discount, promotions, coupons, and what is paid with points. Each discount is
reckoned on what those before it left, rounded down once, and spread over its lines by largest remainder: so
no line falls below zero, and lines and total always agree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from crm_loyalty.rules.apportioning import apportion

BASIS = 10_000
"""Basis points in a whole."""


class ValueKind(StrEnum):
    """How a discount is reckoned."""

    AMOUNT = "amount"
    PERCENT = "percent"
    FREE_ITEM = "free_item"


class Stacking(StrEnum):
    """What a coupon puts up with beside it."""

    EXCLUSIVE = "exclusive"
    STACKABLE = "stackable"
    BEST_OF = "best_of"


class EffectKind(StrEnum):
    """What made the price change."""

    TIER = "tier"
    PROMOTION = "promotion"
    COUPON = "coupon"
    POINTS = "points"


class Reason(StrEnum):
    """Why a discount takes nothing off a basket."""

    OTHER_CURRENCY = "coupon_other_currency"
    NO_SUCH_PRODUCT = "coupon_not_for_these_products"
    BASKET_TOO_SMALL = "basket_too_small"
    NOT_COMBINED = "coupon_not_combinable"


@dataclass(frozen=True, slots=True)
class Line:
    """Some pieces of one product; `price` is of one, in minor units."""

    price: int
    quantity: int
    product: str | None = None
    category: str | None = None
    brand: str | None = None

    @property
    def amount(self) -> int:
        return self.price * self.quantity


@dataclass(frozen=True, slots=True)
class Basket:
    """What somebody is about to buy."""

    currency: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """Something that takes money off; `key` tells it from others of its kind, `rule` is what it goes by."""

    key: str
    rule: str
    version: int
    value: ValueKind
    amount: int = 0
    """Minor units of `currency`, off the whole."""
    basis_points: int = 0
    cap: int | None = None
    """A percentage takes off no more than this."""
    currency: str | None = None
    product: str | None = None
    """Of which one piece is free."""
    products: frozenset[str] = frozenset()
    """Only lines of these products, of these categories and of these brands; none: of all."""
    categories: frozenset[str] = frozenset()
    brands: frozenset[str] = frozenset()
    minimum: int = 0
    """The lines it is for come to this much at least, before any discount."""
    group: str | None = None
    """Of promotions of one group, the best counts."""
    priority: int = 0
    left: int | None = None
    """Of its budget; it takes off no more than this."""
    stacking: Stacking = Stacking.STACKABLE
    stacking_class: str | None = None
    stacks_with: frozenset[str] = frozenset()
    """Classes it puts up with; none: all."""


@dataclass(frozen=True, slots=True)
class Payment:
    """How points pay: each `points` of them are worth `amount`, up to a part of what is left to pay."""

    version: int
    points: int
    amount: int
    max_basis_points: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What one rule did to the price: so much off each line, in their order."""

    kind: EffectKind
    key: str
    rule: str
    version: int
    amount: int
    lines: tuple[int, ...]
    points: int = 0


@dataclass(frozen=True, slots=True)
class Priced:
    """The price of a basket, and how it came about."""

    subtotal: int
    total: int
    lines: tuple[int, ...]
    """What is left to pay for each line."""
    effects: tuple[Effect, ...]
    unused: Mapping[str, Reason]
    """Coupons that take nothing off, by key, and why."""

    @property
    def points(self) -> int:
        return sum(effect.points for effect in self.effects)


def price(
    basket: Basket,
    *,
    tier: Discount | None = None,
    promotions: Iterable[Discount] = (),
    coupons: Iterable[Discount] = (),
    payment: Payment | None = None,
) -> Priced:
    """The price with everything that counts; the order in which promotions and coupons are given does not."""
    lines = tuple(line.amount for line in basket.lines)
    effects: list[Effect] = []
    if tier is not None and objection(tier, basket) is None:
        effects += _apply(basket, lines, [(EffectKind.TIER, tier)])
    effects += _promoted(basket, _left(lines, effects), promotions)
    offered = sorted(coupons, key=lambda coupon: coupon.key)
    unused = {c.key: reason for c in offered if (reason := objection(c, basket)) is not None}
    usable = [coupon for coupon in offered if coupon.key not in unused]
    best = _best(basket, _left(lines, effects), usable)
    used = {effect.key for effect in best}
    unused |= {coupon.key: Reason.NOT_COMBINED for coupon in usable if coupon.key not in used}
    effects += best
    left = _left(lines, effects)
    if payment is not None and (paid := _paid(left, payment)) is not None:
        effects.append(paid)
        left = _left(lines, effects)
    return Priced(sum(lines), sum(left), left, tuple(effects), unused)


def objection(discount: Discount, basket: Basket) -> Reason | None:
    """Why the discount is not for this basket; None: it is."""
    if discount.currency is not None and discount.currency != basket.currency:
        return Reason.OTHER_CURRENCY
    matching = [line for line in basket.lines if _matches(discount, line)]
    if not matching:
        return Reason.NO_SUCH_PRODUCT
    if sum(line.amount for line in matching) < discount.minimum:
        return Reason.BASKET_TOO_SMALL
    return None


def combinable(coupons: Sequence[Discount]) -> bool:
    """Whether the coupons put up with each other: none is exclusive, one at most is the best of its kind."""
    if len(coupons) < 2:
        return True
    if any(coupon.stacking is Stacking.EXCLUSIVE for coupon in coupons):
        return False
    if sum(coupon.stacking is Stacking.BEST_OF for coupon in coupons) > 1:
        return False
    return all(_bears(one, other) and _bears(other, one) for one, other in combinations(coupons, 2))


def _matches(discount: Discount, line: Line) -> bool:
    if discount.value is ValueKind.FREE_ITEM:
        return line.product is not None and line.product == discount.product
    return (
        (not discount.products or line.product in discount.products)
        and (not discount.categories or line.category in discount.categories)
        and (not discount.brands or line.brand in discount.brands)
    )


def _bears(one: Discount, other: Discount) -> bool:
    return not one.stacks_with or other.stacking_class in one.stacks_with


def _left(lines: Sequence[int], effects: Iterable[Effect]) -> tuple[int, ...]:
    left = list(lines)
    for effect in effects:
        left = [amount - off for amount, off in zip(left, effect.lines, strict=True)]
    return tuple(left)


def _apply(
    basket: Basket, left: tuple[int, ...], discounts: Iterable[tuple[EffectKind, Discount]]
) -> list[Effect]:
    """One discount after the other, each on what is left; what takes nothing off has no effect."""
    effects: list[Effect] = []
    for kind, discount in discounts:
        off = _off(basket, left, discount)
        if any(off):
            left = tuple(amount - part for amount, part in zip(left, off, strict=True))
            effects.append(Effect(kind, discount.key, discount.rule, discount.version, sum(off), off))
    return effects


def _off(basket: Basket, left: tuple[int, ...], discount: Discount) -> tuple[int, ...]:
    """What the discount takes off each line."""
    mine = [
        amount if _matches(discount, line) else 0 for line, amount in zip(basket.lines, left, strict=True)
    ]
    base = sum(mine)
    most = base if discount.left is None else min(base, discount.left)
    if not most:
        return (0,) * len(left)
    match discount.value:
        case ValueKind.AMOUNT:
            return tuple(apportion(min(discount.amount, most), mine))
        case ValueKind.PERCENT:
            amount = base * min(discount.basis_points, BASIS) // BASIS
            cap = most if discount.cap is None else min(discount.cap, most)
            return tuple(apportion(min(amount, cap), mine))
        case ValueKind.FREE_ITEM:
            pieces = [
                amount // line.quantity if amount else None
                for line, amount in zip(basket.lines, mine, strict=True)
            ]
            cheapest = min(piece for piece in pieces if piece is not None)
            first = pieces.index(cheapest)
            return tuple(min(cheapest, most) if index == first else 0 for index in range(len(left)))


def _promoted(basket: Basket, left: tuple[int, ...], promotions: Iterable[Discount]) -> list[Effect]:
    """Promotions by priority; of each group the one that takes off most from what there was at first."""
    chosen: dict[str, Discount] = {}
    for promotion in sorted(promotions, key=lambda each: each.key):
        if objection(promotion, basket) is not None:
            continue
        slot = f"group {promotion.group}" if promotion.group is not None else f"key {promotion.key}"
        best = chosen.get(slot)
        if best is None or sum(_off(basket, left, promotion)) > sum(_off(basket, left, best)):
            chosen[slot] = promotion
    ordered = sorted(chosen.values(), key=lambda each: (-each.priority, each.key))
    return _apply(basket, left, [(EffectKind.PROMOTION, each) for each in ordered])


_IN_TURN = [ValueKind.FREE_ITEM, ValueKind.PERCENT, ValueKind.AMOUNT]


def _best(basket: Basket, left: tuple[int, ...], coupons: Sequence[Discount]) -> list[Effect]:
    """The coupons that together take off most, of all combinations that they put up with.

    Of equal ones the smallest: no coupon is used up for nothing. Free items come before percentages, and
    these before amounts, so that a percentage is of the larger sum.
    """
    best: list[Effect] = []
    most = 0
    for size in range(1, len(coupons) + 1):
        for some in combinations(coupons, size):
            if not combinable(some):
                continue
            turn = sorted(some, key=lambda coupon: (_IN_TURN.index(coupon.value), coupon.key))
            effects = _apply(basket, left, [(EffectKind.COUPON, coupon) for coupon in turn])
            if (off := sum(effect.amount for effect in effects)) > most:
                best, most = effects, off
    return best


def _paid(left: tuple[int, ...], payment: Payment) -> Effect | None:
    """As many whole steps of points as are wanted, and not more than there is to pay."""
    payable = sum(left) * payment.max_basis_points // BASIS
    steps = min(payment.wanted // payment.points, payable // payment.amount)
    if not steps:
        return None
    amount = steps * payment.amount
    return Effect(
        EffectKind.POINTS,
        "points",
        "points-payment",
        payment.version,
        amount,
        tuple(apportion(amount, left)),
        points=steps * payment.points,
    )
