"""Pricing by itself: for any basket and any discounts the sums agree, and no order of theirs matters."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_loyalty.rules.apportioning import apportion
from crm_loyalty.rules.pricing import (
    Basket,
    Discount,
    EffectKind,
    Line,
    Payment,
    Reason,
    Stacking,
    ValueKind,
    combinable,
    price,
)

PRODUCTS = ["lp", "cd", "cap"]

lines = st.builds(
    Line,
    price=st.integers(0, 10_000),
    quantity=st.integers(1, 5),
    product=st.sampled_from(PRODUCTS),
    category=st.sampled_from(["music", "clothes"]),
)
baskets = st.builds(Basket, st.just("USD"), st.lists(lines, min_size=1, max_size=6).map(tuple))


def discounts(prefix: str, most: int) -> st.SearchStrategy[list[Discount]]:
    one = st.builds(
        Discount,
        key=st.just(""),
        rule=st.sampled_from(["a", "b"]),
        version=st.just(1),
        value=st.sampled_from(ValueKind),
        amount=st.integers(1, 20_000),
        basis_points=st.integers(1, 10_000),
        cap=st.none() | st.integers(1, 5_000),
        currency=st.sampled_from([None, "USD", "EUR"]),
        product=st.sampled_from(PRODUCTS),
        products=st.frozensets(st.sampled_from(PRODUCTS), max_size=2),
        minimum=st.integers(0, 20_000),
        group=st.sampled_from([None, "day"]),
        priority=st.integers(0, 2),
        stacking=st.sampled_from(Stacking),
        stacking_class=st.sampled_from([None, "x", "y"]),
        stacks_with=st.frozensets(st.sampled_from(["x", "y"]), max_size=2),
    )
    return st.lists(one, max_size=most).map(
        lambda found: [replace(each, key=f"{prefix}{number}") for number, each in enumerate(found)]
    )


payments = st.none() | st.builds(
    Payment,
    version=st.just(1),
    points=st.integers(1, 100),
    amount=st.integers(1, 100),
    max_basis_points=st.integers(1, 10_000),
    wanted=st.integers(0, 100_000),
)


@given(baskets, discounts("p", 3), discounts("c", 4), payments)
def test_no_price_falls_below_zero_and_lines_effects_and_total_agree(
    basket: Basket, promotions: list[Discount], coupons: list[Discount], payment: Payment | None
) -> None:
    priced = price(basket, promotions=promotions, coupons=coupons, payment=payment)

    assert all(amount >= 0 for amount in priced.lines)
    assert sum(priced.lines) == priced.total
    assert priced.subtotal - sum(effect.amount for effect in priced.effects) == priced.total
    for effect in priced.effects:
        assert sum(effect.lines) == effect.amount > 0
        assert all(part >= 0 for part in effect.lines)


@given(baskets, discounts("p", 3), st.integers(0, 3_000))
def test_a_promotion_takes_off_what_is_left_of_its_budget_and_no_more(
    basket: Basket, promotions: list[Discount], left: int
) -> None:
    for promotion in promotions:
        whole = price(basket, promotions=[promotion]).total
        cut = price(basket, promotions=[replace(promotion, left=left)])
        assert cut.subtotal - cut.total == min(cut.subtotal - whole, left)


@given(baskets, discounts("p", 3), discounts("c", 4), st.randoms())
def test_the_order_in_which_discounts_are_given_does_not_matter(
    basket: Basket, promotions: list[Discount], coupons: list[Discount], random: object
) -> None:
    shuffled_coupons, shuffled_promotions = list(coupons), list(promotions)
    random.shuffle(shuffled_coupons)  # type: ignore[attr-defined]
    random.shuffle(shuffled_promotions)  # type: ignore[attr-defined]

    assert price(basket, promotions=promotions, coupons=coupons) == price(
        basket, promotions=shuffled_promotions, coupons=shuffled_coupons
    )


@given(baskets, discounts("c", 4))
def test_each_coupon_is_used_or_says_why_not_and_the_used_ones_go_together(
    basket: Basket, coupons: list[Discount]
) -> None:
    priced = price(basket, coupons=coupons)

    used = [effect.key for effect in priced.effects]
    assert sorted([*used, *priced.unused]) == [coupon.key for coupon in coupons]
    assert combinable([coupon for coupon in coupons if coupon.key in used])


@given(baskets, discounts("c", 4))
def test_one_more_coupon_never_makes_it_dearer(basket: Basket, coupons: list[Discount]) -> None:
    assert price(basket, coupons=coupons).total <= price(basket, coupons=coupons[1:]).total


@given(st.integers(0, 10_000), st.lists(st.integers(0, 5_000), min_size=1).filter(any))
def test_largest_remainder_gives_everything_and_nobody_too_much(amount: int, weights: list[int]) -> None:
    amount = min(amount, sum(weights))
    parts = apportion(amount, weights)
    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
    assert all(
        abs(part * sum(weights) - amount * w) < sum(weights) for part, w in zip(parts, weights, strict=True)
    )


TEN = Discount(key="ten", rule="ten", version=1, value=ValueKind.PERCENT, basis_points=1000)
FIVE = Discount(key="five", rule="five", version=1, value=ValueKind.AMOUNT, amount=500, currency="USD")
BASKET = Basket("USD", (Line(3333, 1, "lp", "music"), Line(1667, 2, "cap", "clothes")))


def test_the_effects_come_in_their_order_and_each_on_what_is_left() -> None:
    payment = Payment(version=4, points=10, amount=100, max_basis_points=5000, wanted=1_000)
    tier = replace(TEN, key="gold", rule="gold")

    priced = price(BASKET, tier=tier, promotions=[replace(FIVE, key="day")], coupons=[TEN], payment=payment)

    assert [(effect.kind, effect.amount) for effect in priced.effects] == [
        (EffectKind.TIER, 666),
        (EffectKind.PROMOTION, 500),
        (EffectKind.COUPON, 550),
        (EffectKind.POINTS, 2400),
    ]
    assert (priced.subtotal, priced.total, priced.points) == (6667, 2551, 240)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"currency": "EUR"}, Reason.OTHER_CURRENCY),
        ({"products": frozenset({"dvd"})}, Reason.NO_SUCH_PRODUCT),
        ({"categories": frozenset({"music"}), "minimum": 3334}, Reason.BASKET_TOO_SMALL),
    ],
)
def test_a_coupon_says_why_it_is_not_for_a_basket(changes: dict[str, object], reason: Reason) -> None:
    coupon = replace(FIVE, **changes)  # type: ignore[arg-type]
    assert price(BASKET, coupons=[coupon]).unused == {"five": reason}


def test_of_the_best_of_coupons_one_counts_and_an_exclusive_one_stands_alone() -> None:
    best = [replace(TEN, stacking=Stacking.BEST_OF), replace(FIVE, stacking=Stacking.BEST_OF)]
    assert [effect.key for effect in price(BASKET, coupons=best).effects] == ["ten"]

    exclusive = replace(TEN, key="alone", basis_points=1200, stacking=Stacking.EXCLUSIVE)
    priced = price(BASKET, coupons=[exclusive, FIVE, TEN])
    assert [effect.key for effect in priced.effects] == ["ten", "five"]
    assert priced.unused == {"alone": Reason.NOT_COMBINED}


def test_one_piece_of_the_free_item_is_free() -> None:
    free = Discount(key="free", rule="free", version=1, value=ValueKind.FREE_ITEM, product="cap")
    [effect] = price(BASKET, coupons=[free]).effects
    assert effect.lines == (0, 1667)


def test_of_two_promotions_the_higher_priority_comes_first_as_with_earning_rules() -> None:
    late, soon = replace(TEN, key="a", priority=-1), replace(FIVE, key="b", priority=1)
    assert [effect.key for effect in price(BASKET, promotions=[late, soon]).effects] == ["b", "a"]
