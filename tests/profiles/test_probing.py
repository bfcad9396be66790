"""Who sees contact points masked does not learn whose one is, either."""

from typing import Any

import httpx2
from tests.conftest import ClientFactory
from tests.profiles.conftest import Work


async def create(profiles: httpx2.AsyncClient, name: str, **members: object) -> str:
    answer = await profiles.post("/v1/customers", json={"name": name} | members)
    assert answer.status_code == 201, answer.text
    identity: str = answer.json()["id"]
    return identity


async def test_who_sees_contact_points_masked_does_not_learn_whose_one_is(
    client: ClientFactory, profiles: httpx2.AsyncClient
) -> None:
    point = {"kind": "phone", "value": "+8613812345678"}
    ada = await create(profiles, "Ada", contact_points=[point])
    eve = await create(profiles, "Eve")
    order: dict[str, Any] = {
        "source": "shop",
        "external_id": "o-1",
        "customer": {"source": "shop", "external_id": "m", "name": "Mallory", "contact_points": [point]},
        "occurred_at": "2026-02-27T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": 1, "currency": "USD"}}],
    }
    body: dict[str, Any] = {"name": "Mallory", "contact_points": [point]}
    item = {"source": "shop", "external_id": "9"} | body
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/customers", body),
        ("PATCH", f"/v1/customers/{eve}", body),
        ("PUT", "/v1/customers/by-external-id/shop/9", body),
        ("POST", f"/v1/customers/{eve}/contact-points", point),
        ("POST", "/v1/purchases", order),
        ("POST", "/v1/customers/batch", {"items": [item]}),
        ("POST", "/v1/purchases/batch", {"items": [order]}),
    ]
    blind = client("profiles", pii=False)
    for method, path, told in asked:
        for caller, names in ((profiles, True), (blind, False)):
            answer = await caller.request(method, path, json=told)
            assert "contact_point_taken" in answer.text, answer.text
            assert (ada in answer.text) is names, (path, answer.text)


async def test_who_sees_contact_points_masked_cannot_try_which_one_is_somebodys(
    client: ClientFactory, profiles: httpx2.AsyncClient
) -> None:
    ada = await create(profiles, "Ada", contact_points=[{"kind": "phone", "value": "+8613812345678"}])
    points = f"/v1/customers/{ada}/contact-points/phone"
    blind = client("profiles", pii=False)

    tried = [await blind.delete(f"{points}/{value}") for value in ("+8613812345678", "+8613800005678")]

    assert [(answer.status_code, answer.json()["code"]) for answer in tried] == [
        (403, "personal_data_hidden")
    ] * 2
    assert (await profiles.get(f"/v1/customers/{ada}")).json()["version"] == 1


async def test_a_row_that_failed_names_the_holder_to_who_sees_contact_points(
    client: ClientFactory, profiles: httpx2.AsyncClient, work: Work
) -> None:
    ann = await create(profiles, "Ann", contact_points=[{"kind": "email", "value": "ann@example.com"}])
    content = b"id,name,email\n1,Eve,ann@example.com\n"
    query, headers = {"source": "shop", "name": "a.csv", "start": "true"}, {"Content-Type": "text/csv"}
    taken = await profiles.post("/v1/imports", params=query, content=content, headers=headers)
    assert taken.status_code in (201, 202), taken.text
    await work()
    for caller, holder in ((profiles, ann), (client("profiles", pii=False), None)):
        [row] = (await caller.get(f"/v1/imports/{taken.json()['id']}/rows")).json()["items"]
        assert (row["status"], row["customer_id"]) == ("failed", holder)
        assert row["faults"][0]["code"] == "contact_point_taken"
