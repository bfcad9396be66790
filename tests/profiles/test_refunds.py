"""Refunds: what is given back of a purchase, each time once, and never more than is left."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chance import examples
from tests.patience import patiently

from crm_profiles.state import STATES
from crm_shared.contracts.profiles import PurchaseRefunded
from crm_shared.database import Sessions
from crm_shared.operate import republish_state
from crm_shared.testing import published

Order = dict[str, Any]


def usd(amount: int) -> dict[str, object]:
    return {"amount": amount, "currency": "USD"}


def refund(number: object, *lines: tuple[int, int, int], **members: object) -> dict[str, Any]:
    body: dict[str, Any] = {
        "source": "shop",
        "external_id": f"r-{number}",
        "occurred_at": "2026-02-28T12:00:00Z",
    }
    if lines:
        body["lines"] = [{"line": n, "quantity": q, "amount": usd(amount)} for n, q, amount in lines]
    return body | members


async def buy(profiles: httpx2.AsyncClient, *lines: tuple[int, int]) -> Order:
    """An order of (quantity, amount) lines, of a new customer."""
    ada = (await profiles.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    body = {
        "source": "shop",
        "external_id": f"o-{uuid4()}",
        "customer_id": ada,
        "occurred_at": "2026-02-20T12:00:00Z",
        "currency": "USD",
        "lines": [
            {"product": f"CD {n}", "brand": "Blue", "quantity": quantity, "total": usd(amount)}
            for n, (quantity, amount) in enumerate(lines)
        ],
    }
    answer = await profiles.post("/v1/purchases", json=body)
    assert answer.status_code == 201, answer.text
    order: Order = answer.json()
    return order


async def give_back(profiles: httpx2.AsyncClient, order: Order, body: dict[str, Any]) -> httpx2.Response:
    path = f"/v1/purchases/{order['id']}/refunds"
    return await patiently(lambda: profiles.post(path, json=body))


async def read(profiles: httpx2.AsyncClient, order: Order) -> Order:
    found: Order = (await profiles.get(f"/v1/purchases/{order['id']}")).json()
    return found


@pytest.mark.capability("P4")
async def test_a_refund_names_its_lines_and_the_purchase_shows_what_is_left(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    order = await buy(profiles, (2, 3000), (1, 500))
    told = await give_back(profiles, order, refund(1, (1, 1, 1500), reason="It arrived broken"))
    assert told.status_code == 201, told.text
    assert told.json()["total"] == usd(1500)

    purchase = await read(profiles, order)
    assert (purchase["total"], purchase["refunded"], purchase["net"]) == (usd(3500), usd(1500), usd(2000))
    assert (purchase["status"], purchase["version"]) == ("partly_refunded", 2)
    assert [(line["refunded_quantity"], line["refunded"]) for line in purchase["lines"]] == [
        (1, usd(1500)),
        (0, usd(0)),
    ]
    assert purchase["refunds"] == [told.json()]
    totals = (await profiles.get("/v1/purchases/totals")).json()
    assert [totals[name] for name in ("totals", "refunded", "net")] == [[usd(3500)], [usd(1500)], [usd(2000)]]
    summary = (await profiles.get(f"/v1/customers/{order['customer_id']}/summary/profiles")).json()
    assert summary["purchases"]["net"] == [usd(2000)]

    row = (await published(databases["profiles"]))[-1]
    event = PurchaseRefunded.model_validate_json(row.data)
    assert (row.type, row.key, row.version) == (PurchaseRefunded.type, order["customer_id"], 2)
    assert (event.lines[0].product, event.lines[0].quantity, event.lines[0].amount.amount) == (
        "CD 0",
        1,
        1500,
    )
    assert (event.refunded_total.amount, event.status) == (1500, "partly_refunded")
    assert "broken" not in row.data
    timeline = (await profiles.get(f"/v1/customers/{order['customer_id']}/timeline")).json()["items"]
    assert (timeline[0]["type"], timeline[0]["title"]) == ("purchase.refunded", "Gave back 1 piece")


async def test_without_lines_all_that_is_left_is_given_back(profiles: httpx2.AsyncClient) -> None:
    order = await buy(profiles, (2, 3000), (1, 500))
    await give_back(profiles, order, refund(1, (1, 1, 1500)))

    rest = await give_back(profiles, order, refund(2))

    lines = [(line["line"], line["quantity"], line["amount"]["amount"]) for line in rest.json()["lines"]]
    assert lines == [(1, 1, 1500), (2, 1, 500)]
    purchase = await read(profiles, order)
    assert (purchase["status"], purchase["net"], purchase["version"]) == ("refunded", usd(0), 3)
    nothing = await give_back(profiles, order, refund(3))
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_left_to_refund")
    assert (await give_back(profiles, order, refund(2))).status_code == 200


async def test_a_free_order_is_given_back_with_its_last_piece(profiles: httpx2.AsyncClient) -> None:
    order = await buy(profiles, (2, 0))
    await give_back(profiles, order, refund(1, (1, 1, 0)))
    assert (await read(profiles, order))["status"] == "partly_refunded"
    await give_back(profiles, order, refund(2, (1, 1, 0)))
    assert (await read(profiles, order))["status"] == "refunded"


@pytest.mark.capability("P4")
async def test_telling_of_a_refund_again_changes_nothing(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    order = await buy(profiles, (2, 3000))
    first = await give_back(profiles, order, refund(1, (1, 1, 1500)))
    by_name = f"/v1/purchases/by-external-id/shop/{order['external_id']}/refunds"
    again = await profiles.post(
        by_name, json=refund(1, (1, 1, 1500), occurred_at="2026-02-28T13:00:00+01:00")
    )

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert (await read(profiles, order))["version"] == 2
    assert [row.type for row in await published(databases["profiles"])].count(PurchaseRefunded.type) == 1


async def test_another_content_under_the_same_external_id_is_a_conflict(profiles: httpx2.AsyncClient) -> None:
    order, other = await buy(profiles, (2, 3000)), await buy(profiles, (2, 3000))
    first = (await give_back(profiles, order, refund(1, (1, 1, 1500)))).json()

    for target, body in (
        (order, refund(1, (1, 1, 1400))),
        (order, refund(1, (1, 1, 1500), reason="Changed their mind")),
        (order, refund(1)),
        (other, refund(1, (1, 1, 1500))),
    ):
        refused = await give_back(profiles, target, body)
        assert (refused.status_code, refused.json()["code"]) == (409, "refund_differs")
        assert refused.json()["refund_id"] == first["id"]


@pytest.mark.parametrize("line", [(1, 3, 0), (1, 0, 3001), (2, 2, 1)])
async def test_more_than_is_left_is_refused_and_says_what_is_left(
    profiles: httpx2.AsyncClient, line: tuple[int, int, int]
) -> None:
    order = await buy(profiles, (2, 3000), (1, 500))
    refused = await give_back(profiles, order, refund(1, line))

    assert (refused.status_code, refused.json()["code"]) == (409, "refund_exceeds_purchase")
    assert refused.json()["line"] == line[0]
    assert refused.json()["left"]["quantity"] == (2 if line[0] == 1 else 1)
    assert await read(profiles, order) == order


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"lines": []}, "/lines"),
        ({"lines": [{"line": 2, "quantity": 1, "amount": usd(1)}]}, "/lines/0/line"),
        ({"lines": [{"line": 1, "quantity": 0, "amount": usd(0)}]}, "/lines/0"),
        ({"lines": [{"line": 1, "quantity": 1, "amount": usd(-1)}]}, "/lines/0"),
        (
            {"lines": [{"line": 1, "quantity": 1, "amount": {"amount": 1, "currency": "EUR"}}]},
            "/lines/0/amount/currency",
        ),
        ({"lines": [{"line": 1, "quantity": 1, "amount": usd(1)}] * 2}, ""),
        ({"occurred_at": "yesterday"}, "/occurred_at"),
        ({"why": "?"}, "/why"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_pointer(
    profiles: httpx2.AsyncClient, members: dict[str, object], pointer: str
) -> None:
    order = await buy(profiles, (2, 3000))
    answer = await give_back(profiles, order, refund(1) | members)

    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_nothing_is_given_back_of_what_is_not_there(profiles: httpx2.AsyncClient) -> None:
    for path in (f"/v1/purchases/{uuid4()}/refunds", "/v1/purchases/by-external-id/shop/none/refunds"):
        answer = await profiles.post(path, json=refund(1))
        assert (answer.status_code, answer.json()["code"]) == (404, "purchase_not_found")


async def test_of_somebody_who_was_erased_nothing_more_is_written(profiles: httpx2.AsyncClient) -> None:
    order = await buy(profiles, (2, 3000))
    await give_back(profiles, order, refund(1, (1, 1, 1500), reason="Mr Lovelace fetched it"))
    answer = await profiles.post("/v1/privacy/erasures", json={"customer_id": order["customer_id"]})
    assert answer.is_success, answer.text

    refused = await give_back(profiles, order, refund(2))
    assert (refused.status_code, refused.json()["code"]) == (410, "customer_was_erased")
    kept = await read(profiles, order)
    assert (kept["refunded"], kept["refunds"][0]["reason"]) == (usd(1500), None)


async def test_a_purchase_is_not_refunded_without_end(profiles: httpx2.AsyncClient) -> None:
    order = await buy(profiles, (1, 3000))
    for number in range(100):
        assert (await give_back(profiles, order, refund(number, (1, 0, 1)))).status_code == 201
    refused = await give_back(profiles, order, refund("last"))
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_refunds")


@pytest.mark.capability("P4")
async def test_fifty_refunds_at_once_never_give_back_more_than_was_bought(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    order = await buy(profiles, (20, 2000), (5, 100))
    bodies = [refund(n, (1, 1, 100), (2, n % 2, 3)) for n in range(50)]

    answers = await asyncio.gather(*(give_back(profiles, order, body) for body in bodies))

    statuses = Counter(answer.status_code for answer in answers)
    purchase = await read(profiles, order)
    assert statuses.keys() == {201, 409}
    assert len(purchase["refunds"]) == statuses[201]
    assert purchase["version"] == 1 + statuses[201]
    assert sum(r["total"]["amount"] for r in purchase["refunds"]) == purchase["refunded"]["amount"]
    for line in purchase["lines"]:
        assert 0 <= line["refunded_quantity"] <= line["quantity"]
        assert 0 <= line["refunded"]["amount"] <= line["total"]["amount"]
    versions = [r["purchase_version"] for r in purchase["refunds"]]
    assert versions == list(range(2, 2 + statuses[201]))


async def test_one_refund_told_fifty_times_at_once_is_given_once(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    order, other = await buy(profiles, (20, 2000)), await buy(profiles, (20, 2000))
    answers = await asyncio.gather(
        *(give_back(profiles, each, refund(1, (1, 1, 100))) for each in [order, other] * 25)
    )

    statuses = Counter(answer.status_code for answer in answers)
    assert (statuses[201], statuses[200], statuses[409]) == (1, 24, 25)
    refunded = [(await read(profiles, each))["refunded"]["amount"] for each in (order, other)]
    assert sorted(refunded) == [0, 100]


@settings(max_examples=examples(25))
@given(
    lines=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=1, max_size=3),
    asked=st.lists(
        st.lists(
            st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 30)),
            max_size=3,
            unique_by=lambda line: line[0],
        ),
        max_size=6,
    ),
)
async def test_whatever_is_asked_the_books_agree(
    profiles: httpx2.AsyncClient, lines: list[tuple[int, int]], asked: list[list[tuple[int, int, int]]]
) -> None:
    order = await buy(profiles, *lines)
    left = {number: list(line) for number, line in enumerate(lines, start=1)}
    given_back = 0
    for number, wanted in enumerate(asked):
        answer = await give_back(profiles, order, refund(f"{order['id']}-{number}", *wanted))
        parts = wanted or [(n, pieces, amount) for n, (pieces, amount) in left.items() if pieces or amount]
        possible = bool(parts) and all(
            n in left and q + amount > 0 and q <= left[n][0] and amount <= left[n][1]
            for n, q, amount in parts
        )
        assert answer.is_success == possible, answer.text
        if possible:
            given_back += sum(amount for _, _, amount in parts)
            for n, q, amount in parts:
                left[n][0] -= q
                left[n][1] -= amount

    purchase = await read(profiles, order)
    gross, refunded, net = (purchase[name]["amount"] for name in ("total", "refunded", "net"))
    assert (gross, refunded, net) == (sum(a for _, a in lines), given_back, gross - refunded)
    shown = {line["line"]: line for line in purchase["lines"]}
    for n, (quantity, amount) in left.items():
        assert shown[n]["quantity"] - shown[n]["refunded_quantity"] == quantity
        assert shown[n]["total"]["amount"] - shown[n]["refunded"]["amount"] == amount


async def test_the_tables_tell_of_refunds_as_they_were_told(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    order = await buy(profiles, (2, 3000), (1, 500))
    for number in (1, 2):
        await give_back(profiles, order, refund(number, (1, 1, 1500)))
    before = [row.data for row in await published(databases["profiles"]) if row.type == PurchaseRefunded.type]

    await republish_state(databases["profiles"], STATES["refunds"])

    told = [row.data for row in await published(databases["profiles"]) if row.type == PurchaseRefunded.type]
    assert told == before * 2
    refunds = (await profiles.get(f"/v1/customers/{order['customer_id']}/refunds")).json()["items"]
    assert {UUID(each["purchase_id"]) for each in refunds} == {UUID(order["id"])}
