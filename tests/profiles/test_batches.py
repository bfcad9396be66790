"""Batches of customers: every item for itself, safe to repeat and to send twice at once."""

import asyncio
from collections import Counter
from typing import Any

import httpx2
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_shared.database import Sessions
from crm_shared.testing import published

NAMES = ["王小明", "Ольга Иванова", "محمد علي", "Zoë Żółć", "さくら", "김민준", "Αθηνά"]


def item(number: int, **members: object) -> dict[str, object]:
    return {
        "source": "shop",
        "external_id": f"c-{number}",
        "name": f"{NAMES[number % len(NAMES)]} {number}",
        "region": "US",
        "contact_points": [
            {"kind": "phone", "value": f"(212) 555-{number % 10000:04d}"},
            {"kind": "email", "value": f"Customer.{number}@Example.com"},
        ],
    } | members


async def send(profiles: httpx2.AsyncClient, items: list[dict[str, object]]) -> dict[str, Any]:
    answer = await profiles.post("/v1/customers/batch", json={"items": items})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert [verdict["index"] for verdict in body["items"]] == list(range(len(items)))
    assert body["counts"] == Counter(verdict["status"] for verdict in body["items"])
    return body


async def test_a_batch_creates_changes_and_leaves_alone(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    await send(profiles, [item(n) for n in range(5)])

    body = await send(
        profiles, [item(0), item(1, name="Changed"), item(2, contact_points=[]), item(7), {**item(3)}]
    )

    statuses = [verdict["status"] for verdict in body["items"]]
    assert statuses == ["unchanged", "updated", "updated", "created", "unchanged"]
    events = await published(databases["profiles"])
    assert [row.version for row in events] == [1] * 5 + [2, 2, 1]


async def test_sending_a_batch_again_changes_nothing(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    items = [item(n) for n in range(50)]
    first = await send(profiles, items)

    again = await send(profiles, items)

    assert again["counts"] == {"unchanged": 50}
    assert [v["customer_id"] for v in again["items"]] == [v["customer_id"] for v in first["items"]]
    assert len(await published(databases["profiles"])) == 50


async def test_bad_items_fail_alone_with_a_pointer_into_the_batch(profiles: httpx2.AsyncClient) -> None:
    items: list[dict[str, object]] = [
        item(0),
        {"source": "shop", "external_id": "c-1"},
        item(2, name="王\t小明", nickname="小明"),
        item(3, contact_points=[{"kind": "phone", "value": "没有号码"}]),
        item(4, time_zone="火星/奥林匹斯"),
        item(5, birth_date="вчера"),
        item(6),
        item(6, name="twice"),
        item(8, contact_points=[{"kind": "email", "value": "customer.0@example.com"}]),
        item(9),
    ]

    body = await send(profiles, items)

    assert body["counts"] == {"created": 3, "failed": 7}
    problems = {v["index"]: v["problem"] for v in body["items"] if v["status"] == "failed"}
    pointers = {
        index: [fault["pointer"] for fault in problem.get("errors", [])]
        for index, problem in problems.items()
    }
    assert pointers == {
        1: ["/items/1/name"],
        2: ["/items/2/nickname"],
        3: ["/items/3/contact_points/0/value"],
        4: ["/items/4/time_zone"],
        5: ["/items/5/birth_date"],
        7: [],
        8: [],
    }
    assert problems[7]["code"] == "repeated_item"
    assert problems[8]["code"] == "contact_point_taken"
    assert problems[8]["customer_id"] == body["items"][0]["customer_id"]
    assert problems[8]["status"] == 409
    assert (await profiles.get("/v1/customers/totals")).json() == {"count": 3}


async def test_a_refused_item_leaves_its_external_id_and_its_other_contact_points_free(
    profiles: httpx2.AsyncClient,
) -> None:
    await send(profiles, [item(0)])
    taken = {"kind": "email", "value": "customer.0@example.com"}
    free = {"kind": "email", "value": "free@example.com"}

    refused = await send(profiles, [item(1, contact_points=[taken, free]), item(2, contact_points=[free])])
    again = await send(profiles, [item(1, contact_points=[]), item(2, contact_points=[free])])

    problems = [verdict["problem"] for verdict in refused["items"]]
    assert [problem["code"] for problem in problems] == ["contact_point_taken"] * 2
    assert problems[1]["customer_id"] is None, "who wanted it first was not created"
    assert again["counts"] == {"created": 2}


@pytest.mark.parametrize(
    "body",
    [{}, {"items": []}, {"items": {}}, {"items": [1]}, {"items": [{}] * 1001}, {"items": [{}], "more": 1}],
)
async def test_a_batch_that_is_none_is_refused_as_a_whole(
    profiles: httpx2.AsyncClient, body: dict[str, object]
) -> None:
    answer = await profiles.post("/v1/customers/batch", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(("/items", "/more"))


@pytest.mark.capability("P3")
async def test_batches_about_the_same_customers_at_once_converge(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    items = [item(n) for n in range(120)]
    orders = [items, items[::-1], items[60:] + items[:60], items[::2] + items[1::2]]

    bodies = await asyncio.gather(*(send(profiles, orders[n % 4]) for n in range(12)))

    totals: Counter[str] = sum((Counter(body["counts"]) for body in bodies), Counter())
    assert totals == {"created": 120, "unchanged": 120 * 11}
    assert (await profiles.get("/v1/customers/totals")).json() == {"count": 120}
    assert len(await published(committed["profiles"])) == 120


async def test_customers_who_swap_their_contact_points_at_once_end_with_one_holder_each(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    points = [{"kind": "email", "value": f"{name}@example.com"} for name in "ab"]
    for n, point in enumerate(points):
        await send(profiles, [item(n, contact_points=[point])])

    for _ in range(10):
        answers = await asyncio.gather(
            *(
                profiles.put(
                    f"/v1/customers/by-external-id/shop/c-{n}",
                    json={"name": "Ada", "contact_points": chosen},
                )
                for n in (0, 1)
                for chosen in ([], [points[0]], [points[1]], points)
            )
        )
        assert {answer.status_code for answer in answers} <= {200, 409}
        listed = (await profiles.get("/v1/customers")).json()["items"]
        held = [point["value"] for customer in listed for point in customer["contact_points"]]
        assert len(held) == len(set(held))


async def test_the_number_of_statements_does_not_depend_on_the_number_of_items(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], engines: dict[str, AsyncEngine]
) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    async def counted(items: list[dict[str, object]]) -> int:
        statements.clear()
        await send(profiles, items)
        return len(statements)

    event.listen(engines["profiles"].sync_engine, "before_cursor_execute", note)
    try:
        created = [await counted([item(n) for n in range(a, b)]) for a, b in ((0, 2), (2, 200))]
        mixed = [
            await counted([item(n, name="Changed", contact_points=[]) for n in range(a, b)])
            for a, b in ((0, 2), (2, 200))
        ]
    finally:
        event.remove(engines["profiles"].sync_engine, "before_cursor_execute", note)

    assert created[0] == created[1] < 12
    assert mixed[0] == mixed[1] < 12
