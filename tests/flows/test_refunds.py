"""What is given back in the shop is given back everywhere, and the file stands alone."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chance import examples
from tests.flows.conftest import Settle

from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

Customer = Callable[..., Awaitable[UUID]]
Purchase = Callable[..., Awaitable[None]]


async def give_back(profiles: httpx2.AsyncClient, purchase_id: str, at: str, cents: int | None) -> bool:
    """Whether so much could be given back of the purchase's one line; None: all that is left."""
    body: dict[str, Any] = {"source": "shop", "external_id": str(uuid7()), "occurred_at": at}
    if cents is not None:
        body["lines"] = [{"line": 1, "quantity": 0, "amount": {"amount": cents, "currency": "USD"}}]
    answer = await profiles.post(f"/v1/purchases/{purchase_id}/refunds", json=body)
    assert answer.status_code in (201, 409), answer.text
    return answer.is_success


async def bought(profiles: httpx2.AsyncClient, who: UUID) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await profiles.get(f"/v1/customers/{who}/purchases")).json()["items"]
    return items


@pytest.mark.capability("P4")
async def test_a_refund_lowers_the_level_that_its_purchase_had_given(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    profiles: httpx2.AsyncClient,
    segmentation: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    who = await customer()
    await purchase(who, 30_000, clock.now() - timedelta(days=2))
    await settle()
    assert (await segmentation.get(f"/v1/rfm/{who}")).json()["level"] == "vip"

    [order] = await bought(profiles, who)
    assert await give_back(profiles, order["id"], clock.now().isoformat(), None)
    await settle()

    value = (await segmentation.get(f"/v1/rfm/{who}")).json()
    assert (value["level"], value["frequency"], value["monetary"]["amount"]) == ("potential", 0, 0)
    titles = [each["type"] for each in (await profiles.get(f"/v1/customers/{who}/timeline")).json()["items"]]
    assert titles.count("purchase.refunded") == 1
    assert titles.count("level.changed") == 3


@settings(max_examples=examples(12))
@given(
    amounts=st.lists(st.integers(1, 20_000), min_size=1, max_size=3),
    asked=st.lists(st.tuples(st.integers(0, 2), st.none() | st.integers(1, 9_000)), max_size=6),
)
async def test_gross_less_refunded_is_net_in_every_service(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    profiles: httpx2.AsyncClient,
    segmentation: httpx2.AsyncClient,
    clock: FrozenClock,
    amounts: list[int],
    asked: list[tuple[int, int | None]],
) -> None:
    who = await customer()
    for cents in amounts:
        await purchase(who, cents, clock.now() - timedelta(days=2))
    orders = [order["id"] for order in await bought(profiles, who)]
    for place, wanted in asked:
        await give_back(profiles, orders[place % len(orders)], clock.now().isoformat(), wanted)
    await settle()

    purchases = await bought(profiles, who)
    gross, refunded, net = (
        sum(each[name]["amount"] for each in purchases) for name in ("total", "refunded", "net")
    )
    summary = (await profiles.get(f"/v1/customers/{who}/summary/profiles")).json()["purchases"]
    value = (await segmentation.get(f"/v1/rfm/{who}")).json()
    assert (gross, gross - refunded) == (sum(amounts), net)
    assert [summary[name][0]["amount"] for name in ("totals", "refunded", "net")] == [gross, refunded, net]
    assert value["monetary"]["amount"] == net
    assert value["frequency"] == sum(1 for each in purchases if each["status"] != "refunded")


@pytest.mark.capability("P6")
async def test_a_complaint_that_was_closed_stands_on_the_file(
    customer: Customer, settle: Settle, profiles: httpx2.AsyncClient, tickets: httpx2.AsyncClient
) -> None:
    who = await customer()
    body = {"customer_id": str(who), "kind": "complaint", "severity": "high", "title": "A disc is broken"}
    ticket = (await tickets.post("/v1/tickets", json=body)).json()["id"]
    for verb, artefact in (("respond", {"message": "Sorry"}), ("resolve", {"resolution": "A new disc"})):
        await tickets.post(f"/v1/tickets/{ticket}/{verb}", json=artefact)
    await settle()
    assert (await profiles.get(f"/v1/customers/{who}/file")).json()["complaints"]["open"] == 0
    await tickets.post(f"/v1/tickets/{ticket}/close")
    await settle()

    [complaint] = (await profiles.get(f"/v1/customers/{who}/file")).json()["complaints"]["newest"]
    assert (complaint["id"], complaint["status"], complaint["resolution"]) == (ticket, "closed", "A new disc")
