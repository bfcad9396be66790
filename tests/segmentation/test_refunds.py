"""Refunds take from a customer's value what was given back, whatever arrives first."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chance import examples

from crm_shared.contracts.base import Money
from crm_shared.contracts.profiles import (
    CustomerMerged,
    CustomerUnmerged,
    PurchaseRecorded,
    PurchaseRefunded,
    RefundLineState,
)
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

from .conftest import Arrive, created, purchase

Read = Callable[[UUID], Awaitable[dict[str, Any]]]
Work = Callable[[], Awaitable[None]]


def refund(of: PurchaseRecorded, on: str, cents: int, so_far: int = 0) -> PurchaseRefunded:
    """What was given back at noon UTC of that day, `so_far` cents having been given back before."""
    money = Money(amount=cents, currency=of.total.currency)
    total = so_far + cents
    return PurchaseRefunded(
        customer_id=of.customer_id,
        version=2,
        purchase_id=of.purchase_id,
        refund_id=uuid7(),
        source="test",
        external_id=str(uuid7()),
        occurred_at=datetime.fromisoformat(f"{on}T12:00:00+00:00"),
        total=money,
        lines=[RefundLineState(line=1, quantity=0, amount=money)],
        purchased_at=of.occurred_at,
        purchase_total=of.total,
        refunded_total=Money(amount=total, currency=of.total.currency),
        status="refunded" if total == of.total.amount else "partly_refunded",
    )


async def test_what_was_given_back_is_no_longer_worth_anything(arrive: Arrive, rfm: Read) -> None:
    ann = uuid7()
    bought = purchase(ann, "2026-02-20", 30_000)
    await arrive(bought)
    assert (await rfm(ann))["level"] == "vip"

    await arrive(refund(bought, "2026-02-25", 10_000))

    value = await rfm(ann)
    assert (value["level"], value["frequency"]) == ("important", 1)
    assert value["monetary"] == {"amount": 20_000, "currency": "USD"}
    assert "1 purchase for 200.00 USD" in value["reason"]


async def test_a_purchase_that_was_given_back_as_a_whole_is_none(arrive: Arrive, rfm: Read) -> None:
    ann = uuid7()
    first, second = purchase(ann, "2025-01-05", 4_000), purchase(ann, "2026-02-20", 30_000)
    await arrive(first, second, refund(second, "2026-02-21", 30_000))

    value = await rfm(ann)
    assert (value["frequency"], value["last_purchase_on"]) == (1, "2025-01-05")
    await arrive(refund(first, "2026-02-22", 1_000), refund(first, "2026-02-23", 3_000, so_far=1_000))
    value = await rfm(ann)
    assert (value["level"], value["frequency"], value["last_purchase_on"]) == ("potential", 0, None)
    assert value["monetary"] == {"amount": 0, "currency": "USD"}


async def test_a_free_purchase_counts_until_its_last_piece_comes_back(arrive: Arrive, rfm: Read) -> None:
    ann = uuid7()
    bought = purchase(ann, "2026-02-20", 0)
    await arrive(bought, refund(bought, "2026-02-21", 0).model_copy(update={"status": "partly_refunded"}))
    assert (await rfm(ann))["frequency"] == 1
    await arrive(refund(bought, "2026-02-22", 0))
    assert (await rfm(ann))["frequency"] == 0


async def test_what_is_given_back_in_other_currencies_is_shown_apart(arrive: Arrive, rfm: Read) -> None:
    ann = uuid7()
    bought = purchase(ann, "2026-02-20", 30_000, "EUR")
    await arrive(bought, refund(bought, "2026-02-21", 5_000))
    value = await rfm(ann)
    assert value["other_currencies"] == [{"amount": 25_000, "currency": "EUR"}]
    assert value["monetary"] == {"amount": 0, "currency": "USD"}


async def test_the_order_of_arrival_does_not_matter_nor_how_often(arrive: Arrive, rfm: Read) -> None:
    seen = set()
    for order in permutations(range(3)):
        ann = uuid7()
        bought = purchase(ann, "2026-02-20", 30_000)
        events = (bought, refund(bought, "2026-02-21", 9_000), refund(bought, "2026-02-22", 6_000, 9_000))
        for place in (*order, *order):
            await arrive(events[place])
        value = await rfm(ann)
        seen.add((value["level"], value["frequency"], str(value["monetary"])))
    assert seen == {("important", 1, str({"amount": 15_000, "currency": "USD"}))}


async def test_a_refund_counts_from_its_own_day_on(
    arrive: Arrive, rfm: Read, work: Work, clock: FrozenClock
) -> None:
    ann = uuid7()
    bought = purchase(ann, "2026-02-20", 30_000)
    await arrive(bought, refund(bought, "2026-03-05", 30_000))
    assert (await rfm(ann))["level"] == "vip"

    clock.at = datetime(2026, 3, 5, tzinfo=UTC) - timedelta(seconds=1)
    await work()
    assert (await rfm(ann))["level"] == "vip"
    clock.at = datetime(2026, 3, 5, tzinfo=UTC)
    await work()
    assert (await rfm(ann))["level"] == "potential"


async def test_refunds_go_with_their_purchases_when_customers_are_merged_and_separated(
    arrive: Arrive, rfm: Read
) -> None:
    ann, bea = uuid7(), uuid7()
    hers, other = purchase(bea, "2026-02-20", 30_000), purchase(ann, "2026-02-20", 500)
    merge = uuid7()
    await arrive(created(ann), created(bea), other, refund(hers, "2026-02-21", 10_000))
    await arrive(CustomerMerged(customer_id=bea, version=2, survivor_id=ann, merge_id=merge))
    await arrive(hers, refund(hers, "2026-02-22", 5_000, so_far=10_000))
    value = await rfm(ann)
    assert (value["monetary"]["amount"], value["frequency"]) == (15_500, 2)

    await arrive(CustomerUnmerged(customer_id=bea, version=3, survivor_id=ann, merge_id=merge))
    assert [(await rfm(one))["monetary"]["amount"] for one in (ann, bea)] == [500, 15_000]


@settings(max_examples=examples(20))
@given(data=st.data())
async def test_the_value_is_what_was_bought_less_what_was_given_back(
    arrive: Arrive, rfm: Read, data: st.DataObject
) -> None:
    ann = uuid7()
    bought = [
        purchase(ann, f"2026-02-{day:02}", cents)
        for day, cents in data.draw(
            st.lists(st.tuples(st.integers(1, 28), st.integers(1, 20_000)), min_size=1, max_size=4)
        )
    ]
    left = {each.purchase_id: each.total.amount for each in bought}
    events: list[PurchaseRecorded | PurchaseRefunded] = list(bought)
    for each in data.draw(st.lists(st.sampled_from(bought), max_size=5)):
        if left[each.purchase_id]:
            cents = data.draw(st.integers(1, left[each.purchase_id]))
            events.append(refund(each, "2026-03-01", cents, each.total.amount - left[each.purchase_id]))
            left[each.purchase_id] -= cents
    for event in data.draw(st.permutations(events)):
        await arrive(event)

    value = await rfm(ann)
    assert value["monetary"]["amount"] == sum(left.values())
    assert value["frequency"] == sum(1 for cents in left.values() if cents)


async def test_the_summary_shows_what_is_left(arrive: Arrive, segmentation: httpx2.AsyncClient) -> None:
    ann = uuid7()
    bought = purchase(ann, "2026-02-20", 30_000)
    await arrive(bought, refund(bought, "2026-02-21", 10_000))
    summary = (await segmentation.get(f"/v1/customers/{ann}/summary/segmentation")).json()
    assert summary["monetary"] == {"amount": 20_000, "currency": "USD"}
