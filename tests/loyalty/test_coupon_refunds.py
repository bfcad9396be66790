"""Coupons of orders that are given back: what their terms say becomes of them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.loyalty.conftest import Give, Receive
from tests.loyalty.coupons import BASKET, ask, issue

from crm_loyalty.coupons import ending
from crm_loyalty.postings import Order
from crm_shared.contracts.base import Money
from crm_shared.contracts.profiles import PurchaseRecorded, PurchaseRefunded
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, fresh_key


@pytest.mark.parametrize(
    ("terms", "usable", "days"),
    [
        ({"on_refund": "keep", "valid_days": 30}, True, 30),
        ({"on_refund": "extend", "extend_days": 14, "valid_days": 1}, True, 16),
        ({"on_refund": "lost", "valid_days": 30}, False, 30),
    ],
)
async def test_a_refund_of_the_order_gives_the_coupon_back_as_its_terms_say(
    loyalty: httpx2.AsyncClient,
    sessions: Sessions,
    clock: FrozenClock,
    terms: dict[str, Any],
    usable: bool,
    days: int,
) -> None:
    customer, begin = uuid7(), clock.now()
    code = await issue(loyalty, customer, max_uses=1, **terms)
    await ask(loyalty, "redeem", code, customer, "1017")
    clock.advance(timedelta(days=2))

    for _ in range(2):  # telling it again changes nothing
        async with sessions.begin() as session:
            await ending.restore(session, [Order("shop", "1017"), Order("shop", "9")], at=clock.now())

    coupon = (await loyalty.get(f"/v1/accounts/{customer}/coupons")).json()["items"][0]
    assert coupon["valid_until"] == (begin + timedelta(days=days)).isoformat().replace("+00:00", "Z")
    again = await ask(loyalty, "redeem", code, customer, "1018")
    assert (again.status_code == 201) == usable, again.text


async def test_the_refund_of_a_whole_purchase_gives_back_coupon_and_points(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 100)
    code = await issue(loyalty, customer)
    body = {"customer_id": str(customer), "basket": BASKET, "coupons": [code], "points": 60}
    named = (await loyalty.post("/v1/quotes", json=body)).json()
    order = {"order": {"source": "shop", "external_id": "1017"}}
    taken = await loyalty.post(f"/v1/quotes/{named['id']}/commit", json=order, headers=fresh_key())
    assert taken.status_code == 200, taken.text
    bought = purchase(customer, clock)

    await receive(arrived(bought))
    await receive(arrived(refund(bought, 2, cents=40, so_far=40)))
    assert (await ask(loyalty, "check", code, customer)).json()["usable"] is False
    await receive(arrived(refund(bought, 3, cents=3500, so_far=3540)))

    assert (await ask(loyalty, "check", code, customer, "1018")).json()["usable"] is True
    assert (await loyalty.get(f"/v1/accounts/{customer}")).json()["balance"] == 100


def purchase(customer: UUID, clock: FrozenClock) -> PurchaseRecorded:
    """What was paid for the order when coupon and points had been taken off."""
    return PurchaseRecorded(
        customer_id=customer,
        version=1,
        purchase_id=uuid7(),
        source="shop",
        external_id="1017",
        occurred_at=clock.now(),
        total=Money(amount=3540, currency="USD"),
        lines=[],
    )


def refund(bought: PurchaseRecorded, version: int, *, cents: int, so_far: int) -> PurchaseRefunded:
    return PurchaseRefunded(
        customer_id=bought.customer_id,
        version=version,
        purchase_id=bought.purchase_id,
        refund_id=uuid7(),
        source="shop",
        external_id=f"back {version}",
        occurred_at=bought.occurred_at,
        total=Money(amount=cents, currency="USD"),
        lines=[],
        order_source=bought.source,
        order_external_id=bought.external_id,
        purchased_at=bought.occurred_at,
        purchase_total=bought.total,
        refunded_total=Money(amount=so_far, currency="USD"),
        status="refunded" if so_far == bought.total.amount else "partly_refunded",
    )
