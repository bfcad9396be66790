"""Purchases: each recorded once, with its event and its place on the timeline."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from crm_shared.contracts.profiles import PurchaseRecorded
from crm_shared.database import Sessions
from crm_shared.testing import published


def order(
    number: int, customer_id: object, *amounts: int, currency: str = "USD", **members: object
) -> dict[str, Any]:
    lines = [
        {"product": f"CD {n}", "quantity": n + 1, "total": {"amount": amount, "currency": currency}}
        for n, amount in enumerate(amounts or (2933,))
    ]
    return {
        "source": "shop",
        "external_id": f"o-{number}",
        "customer_id": customer_id,
        "occurred_at": "1997-01-01T12:00:00Z",
        "currency": currency,
        "lines": lines,
    } | members


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> str:
    answer = await profiles.put("/v1/customers/by-external-id/shop/ada", json={"name": "Ada"})
    identity: str = answer.json()["id"]
    return identity


async def test_a_purchase_is_read_as_recorded_and_its_total_is_the_sum_of_its_lines(
    profiles: httpx2.AsyncClient, ada: str
) -> None:
    recorded = await profiles.post("/v1/purchases", json=order(1, ada, 2933, 0, 1500, shop="Main Street"))
    assert recorded.status_code == 201, recorded.text
    read = await profiles.get(recorded.headers["Location"])

    purchase = read.json()
    assert purchase == recorded.json()
    assert purchase["total"] == {"amount": 4433, "currency": "USD"}
    assert [(line["line"], line["product"], line["quantity"]) for line in purchase["lines"]] == [
        (1, "CD 0", 1),
        (2, "CD 1", 2),
        (3, "CD 2", 3),
    ]
    assert (purchase["customer_id"], purchase["shop"]) == (ada, "Main Street")


async def test_recording_tells_the_world_and_the_timeline(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    recorded = (await profiles.post("/v1/purchases", json=order(1, ada, 2933, 1500))).json()

    row = (await published(databases["profiles"]))[-1]
    told = PurchaseRecorded.model_validate_json(row.data)
    assert (row.type, row.key, row.subject) == (PurchaseRecorded.type, ada, recorded["id"])
    assert (told.total.amount, len(told.lines), told.external_id) == (4433, 2, "o-1")
    timeline = (await profiles.get(f"/v1/customers/{ada}/timeline")).json()["items"]
    assert [(entry["type"], entry["title"]) for entry in timeline] == [
        ("purchase.recorded", "Bought 3 pieces")
    ]
    assert timeline[0]["occurred_at"] == "1997-01-01T12:00:00Z"
    assert timeline[0]["data"]["total"] == {"amount": 4433, "currency": "USD"}


@pytest.mark.capability("P4")
async def test_recording_an_order_twice_changes_nothing_the_second_time(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    by_reference = order(1, None, customer={"source": "shop", "external_id": "ada"})
    del by_reference["customer_id"]

    first = await profiles.post("/v1/purchases", json=order(1, ada))
    again = await profiles.post(
        "/v1/purchases", json=by_reference | {"occurred_at": "1997-01-01T13:00:00+01:00"}
    )

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert len(await published(databases["profiles"])) == 2
    assert len((await profiles.get(f"/v1/customers/{ada}/timeline")).json()["items"]) == 1


@pytest.mark.parametrize(
    "difference",
    [
        {"occurred_at": "1997-01-01T12:00:01Z"},
        {"shop": "Elsewhere"},
        {"lines": [{"quantity": 1, "total": {"amount": 2933, "currency": "USD"}}]},
    ],
)
async def test_another_content_under_the_same_external_id_is_a_conflict(
    profiles: httpx2.AsyncClient, ada: str, difference: dict[str, object]
) -> None:
    first = (await profiles.post("/v1/purchases", json=order(1, ada))).json()

    other = await profiles.post("/v1/purchases", json=order(1, ada) | difference)

    assert (other.status_code, other.json()["code"]) == (409, "purchase_differs")
    assert other.json()["purchase_id"] == first["id"]


async def test_the_same_order_of_another_customer_is_a_conflict(
    profiles: httpx2.AsyncClient, ada: str
) -> None:
    eve = (await profiles.post("/v1/customers", json={"name": "Eve"})).json()["id"]
    await profiles.post("/v1/purchases", json=order(1, ada))

    assert (await profiles.post("/v1/purchases", json=order(1, eve))).status_code == 409


async def test_a_purchase_of_nobody_is_not_recorded(profiles: httpx2.AsyncClient) -> None:
    unknown = await profiles.post("/v1/purchases", json=order(1, str(uuid4())))

    assert (unknown.status_code, unknown.json()["code"]) == (404, "customer_not_found")
    nothing: dict[str, object] = {"count": 0, "customers": 0, "totals": [], "refunded": [], "net": []}
    assert (await profiles.get("/v1/purchases/totals")).json() == nothing
    assert (await profiles.get(f"/v1/purchases/{uuid4()}")).json()["code"] == "purchase_not_found"


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"customer": {"source": "shop", "external_id": "ada"}}, ""),
        ({"occurred_at": "1997-01-01T12:00:00"}, "/occurred_at"),
        ({"occurred_at": 852120000}, "/occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "/occurred_at"),
        ({"occurred_at": "1899-12-31T23:59:59Z"}, "/occurred_at"),
        ({"occurred_at": "3000-01-01T00:00:00Z"}, "/occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59.999999Z"}, "/occurred_at"),
        ({"currency": "usd"}, "/currency"),
        ({"currency": "EUR"}, ""),
        ({"lines": []}, "/lines"),
        ({"lines": [{"quantity": 0, "total": {"amount": 1, "currency": "USD"}}]}, "/lines/0/quantity"),
        ({"lines": [{"quantity": 1, "total": {"amount": "1", "currency": "USD"}}]}, "/lines/0/total/amount"),
        ({"lines": [{"quantity": 1, "total": {"amount": -1, "currency": "USD"}}]}, "/lines/0"),
        (
            {"lines": [{"quantity": 1, "total": {"amount": 2**53 + 1, "currency": "USD"}}]},
            "/lines/0/total/amount",
        ),
        ({"discount": 5}, "/discount"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_pointer(
    profiles: httpx2.AsyncClient, ada: str, members: dict[str, object], pointer: str
) -> None:
    answer = await profiles.post("/v1/purchases", json=order(1, ada) | members)

    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@pytest.mark.capability("P4")
async def test_a_batch_judges_each_purchase_for_itself_and_can_be_sent_again(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    items = [
        order(1, ada),
        order(2, ada, 1000, 500),
        order(2, ada, 1000, 500),
        order(2, ada, 7),
        order(3, str(uuid4())),
        order(4, ada) | {"currency": "dollars"},
        order(5, None, customer={"source": "shop", "external_id": "ada"}),
    ]
    del items[6]["customer_id"]

    first = (await profiles.post("/v1/purchases/batch", json={"items": items})).json()
    again = (await profiles.post("/v1/purchases/batch", json={"items": items})).json()

    statuses = [verdict["status"] for verdict in first["items"]]
    assert statuses == ["created", "created", "unchanged", "failed", "failed", "failed", "created"]
    assert [v.get("problem", {}).get("code") if v["problem"] else None for v in first["items"][3:6]] == [
        "purchase_differs",
        "customer_not_found",
        "invalid_request",
    ]
    assert first["items"][5]["problem"]["errors"][0]["pointer"] == "/items/5/currency"
    assert first["items"][1]["purchase_id"] == first["items"][2]["purchase_id"]
    assert again["counts"] == {"unchanged": 4, "failed": 3}
    assert len(await published(databases["profiles"])) == 1 + 3


@pytest.mark.capability("P4")
async def test_the_same_purchases_sent_at_once_are_recorded_once(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    ada = (await profiles.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    items = [order(n, ada, 100 + n) for n in range(100)]
    orders = [items, items[::-1], items[50:] + items[:50]]

    answers = await asyncio.gather(
        *(profiles.post("/v1/purchases/batch", json={"items": orders[n % 3]}) for n in range(9))
    )

    assert sum(answer.json()["counts"].get("created", 0) for answer in answers) == 100
    assert sum(answer.json()["counts"].get("unchanged", 0) for answer in answers) == 800
    totals = (await profiles.get("/v1/purchases/totals")).json()
    assert (totals["count"], totals["customers"]) == (100, 1)
    assert totals["totals"] == [{"amount": sum(100 + n for n in range(100)), "currency": "USD"}]
    assert len(await published(committed["profiles"])) == 101


async def test_totals_keep_currencies_apart(profiles: httpx2.AsyncClient, ada: str) -> None:
    eve = (await profiles.post("/v1/customers", json={"name": "Eve"})).json()["id"]
    for number, (customer, amount, currency) in enumerate(
        [(ada, 100, "USD"), (ada, 0, "USD"), (eve, 250, "EUR"), (eve, 5, "USD"), (eve, 700, "JPY")]
    ):
        await profiles.post("/v1/purchases", json=order(number, customer, amount, currency=currency))

    by_currency = [("EUR", 250), ("JPY", 700), ("USD", 105)]
    money = [{"amount": amount, "currency": currency} for currency, amount in by_currency]
    nothing = [{"amount": 0, "currency": currency} for currency, _ in by_currency]
    assert (await profiles.get("/v1/purchases/totals")).json() == {
        "count": 5,
        "customers": 2,
        "totals": money,
        "refunded": nothing,
        "net": money,
    }


async def test_a_customers_purchases_are_listed_the_newest_first(
    profiles: httpx2.AsyncClient, ada: str
) -> None:
    for day in (3, 1, 2, 5, 4):
        await profiles.post("/v1/purchases", json=order(day, ada, occurred_at=f"1997-01-0{day}T12:00:00Z"))

    seen, cursor = [], None
    for _ in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await profiles.get(f"/v1/customers/{ada}/purchases", params=params)).json()
        seen += [item["external_id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen == ["o-5", "o-4", "o-3", "o-2", "o-1"]
    assert cursor is None


def usd(amount: int) -> dict[str, object]:
    return {"amount": amount, "currency": "USD"}


async def test_a_line_tells_price_and_discount_and_the_purchase_its_channel(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    line = {"product": "CD", "quantity": 2, "price": usd(1500), "discount": usd(67), "total": usd(2933)}
    recorded = await profiles.post("/v1/purchases", json=order(1, ada, lines=[line], channel="web"))
    assert recorded.status_code == 201, recorded.text
    assert (recorded.json()["channel"], recorded.json()["net"]) == ("web", usd(2933))
    shown = recorded.json()["lines"][0]
    assert (shown["price"], shown["discount"], shown["refunded"]) == (usd(1500), usd(67), usd(0))
    told = PurchaseRecorded.model_validate_json((await published(databases["profiles"]))[-1].data)
    assert told.channel == "web"
    assert told.lines[0].price is not None
    assert told.lines[0].price.amount == 1500

    for wrong in ({"discount": usd(66)}, {"price": {"amount": 1500, "currency": "EUR"}}, {"price": usd(-1)}):
        refused = await profiles.post("/v1/purchases", json=order(2, ada, lines=[line | wrong]))
        assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/lines/0"]


def brought(number: int, name: str | None, external_id: str, **members: object) -> dict[str, Any]:
    """An order that brings its customer along."""
    customer = {"source": "till", "external_id": external_id, "name": name} | members
    body = order(number, None, customer={k: v for k, v in customer.items() if v is not None})
    del body["customer_id"]
    return body


@pytest.mark.capability("P7")
async def test_a_purchase_brings_its_customer_along(profiles: httpx2.AsyncClient, ada: str) -> None:
    points = [{"kind": "email", "value": "Zoe@example.com"}]
    first = await profiles.post("/v1/purchases", json=brought(1, "Zoë", "z-1", contact_points=points))
    assert first.status_code == 201, first.text
    zoe = (await profiles.get(f"/v1/customers/{first.json()['customer_id']}")).json()
    assert (zoe["name"], zoe["source"], zoe["channel"]) == ("Zoë", "till", "purchase")
    assert zoe["contact_points"][0]["value"] == "zoe@example.com"

    second = await profiles.post("/v1/purchases", json=brought(2, "Another name", "z-1"))
    assert second.json()["customer_id"] == zoe["id"]
    assert (await profiles.get(f"/v1/customers/{zoe['id']}")).json() == zoe
    nobody = await profiles.post("/v1/purchases", json=brought(3, None, "z-2"))
    assert (nobody.status_code, nobody.json()["code"]) == (404, "customer_not_found")


@pytest.mark.capability("P7")
async def test_in_a_batch_whose_customer_cannot_be_created_fails_alone(profiles: httpx2.AsyncClient) -> None:
    points = [{"kind": "email", "value": "zoe@example.com"}]
    unreadable = [{"kind": "phone", "value": "no number"}]
    items = [
        brought(1, "Zoë", "z-1", contact_points=points),
        brought(2, "Zoë", "z-1"),
        brought(3, "Eve", "e-1", contact_points=points),
        brought(4, "Bob", "b-1", contact_points=unreadable),
        brought(5, "Bob", "b-1"),
        brought(6, None, "z-1"),
        brought(7, None, "n-1"),
    ]
    body = (await profiles.post("/v1/purchases/batch", json={"items": items})).json()
    assert body["counts"] == {"created": 3, "failed": 4}
    problems = [verdict["problem"] for verdict in body["items"] if verdict["problem"]]
    assert [problem["code"] for problem in problems] == [
        *("contact_point_taken", "invalid_contact_point", "invalid_contact_point", "customer_not_found")
    ]
    pointers = [fault["pointer"] for problem in problems for fault in problem.get("errors", ())]
    assert pointers == [f"/items/{index}/customer/contact_points/0/value" for index in (3, 4)]
    assert (await profiles.get("/v1/customers/totals")).json()["count"] == 1


async def test_customers_brought_by_many_purchases_at_once_are_created_once(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    items = [brought(n, f"Customer {n % 10}", f"c-{n % 10}") for n in range(40)]
    answers = await asyncio.gather(
        *(
            profiles.post("/v1/purchases/batch", json={"items": items[::step]})
            for step in (1, -1, 1, -1, 1, -1)
        )
    )
    assert sum(answer.json()["counts"].get("created", 0) for answer in answers) == 40
    assert all("failed" not in answer.json()["counts"] for answer in answers)
    assert (await profiles.get("/v1/customers/totals")).json()["count"] == 10
    assert len(await published(committed["profiles"])) == 50
