"""Contact points, external ids and tags come and go one by one, each change with its version."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from crm_shared.database import Sessions
from crm_shared.testing import published

Json = dict[str, Any]


async def create(profiles: httpx2.AsyncClient, **members: object) -> str:
    answer = await profiles.post("/v1/customers", json={"name": "Ada", "region": "CN"} | members)
    assert answer.status_code == 201, answer.text
    path: str = answer.headers["Location"]
    return path


async def members_changed(profiles: httpx2.AsyncClient, path: str) -> list[list[str]]:
    """By each version after the first, the newest first."""
    rows = (await profiles.get(f"{path}/history")).json()["items"][:-1]
    return [[change["member"] for change in row["changes"]] for row in rows]


async def test_a_contact_point_comes_and_goes(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    path = await create(profiles)
    body = {"kind": "phone", "value": "138 1234 5678"}

    added = await profiles.post(f"{path}/contact-points", json=body, params={"channel": "interview"})
    again = await profiles.post(f"{path}/contact-points", json=body)
    gone = await profiles.delete(f"{path}/contact-points/phone/13812345678")
    still = await profiles.delete(f"{path}/contact-points/phone/13812345678")

    assert [answer.status_code for answer in (added, again, gone, still)] == [201, 200, 200, 200]
    assert added.json()["contact_points"] == [{"kind": "phone", "value": "+8613812345678"}]
    assert (again.json(), still.json()) == (added.json(), gone.json())
    assert gone.json()["contact_points"] == []
    assert [row.version for row in await published(databases["profiles"])] == [1, 2, 3]
    assert await members_changed(profiles, path) == [["contact_points"], ["contact_points"]]
    newest = (await profiles.get(f"{path}/history")).json()["items"]
    assert [row["channel"] for row in newest] == ["api", "interview", "api"]
    await create(profiles, contact_points=[body])


async def test_a_tag_comes_and_goes(profiles: httpx2.AsyncClient) -> None:
    path = await create(profiles, tags=["b"])

    added = await profiles.put(f"{path}/tags/%E6%96%B0 a")
    again = await profiles.put(f"{path}/tags/%E6%96%B0 a")
    gone = await profiles.delete(f"{path}/tags/b")
    still = await profiles.delete(f"{path}/tags/b")

    assert [answer.status_code for answer in (added, again, gone, still)] == [201, 200, 200, 200]
    assert (added.json()["tags"], gone.json()["tags"]) == (["b", "新 a"], ["新 a"])
    assert (again.json(), still.json()) == (added.json(), gone.json())
    assert await members_changed(profiles, path) == [["tags"], ["tags"]]


async def test_an_external_id_comes_and_goes(profiles: httpx2.AsyncClient) -> None:
    path = await create(profiles)
    one = f"{path}/external-ids/shop/c-1"

    added, again = await profiles.put(one), await profiles.put(one)
    upserted = await profiles.put("/v1/customers/by-external-id/shop/c-1", json={"name": "Augusta"})
    gone, still = await profiles.delete(one), await profiles.delete(one)
    other = await profiles.put("/v1/customers/by-external-id/shop/c-1", json={"name": "Eve"})

    codes = [answer.status_code for answer in (added, again, upserted, gone, still, other)]
    assert codes == [201, 200, 200, 200, 200, 201]
    assert added.json()["external_ids"] == [{"source": "shop", "external_id": "c-1"}]
    assert (again.json(), still.json()) == (added.json(), gone.json())
    assert upserted.json()["id"] == added.json()["id"] != other.json()["id"]
    assert await members_changed(profiles, path) == [["external_ids"], ["name"], ["external_ids"]]


async def test_what_belongs_to_somebody_else_is_a_conflict_that_names_them(
    profiles: httpx2.AsyncClient,
) -> None:
    point = {"kind": "email", "value": "ada@example.com"}
    ada = await profiles.put(
        "/v1/customers/by-external-id/shop/c-1", json={"name": "Ada", "contact_points": [point]}
    )
    eve = await create(profiles)

    for answer, code in (
        (await profiles.post(f"{eve}/contact-points", json=point), "contact_point_taken"),
        (await profiles.put(f"{eve}/external-ids/shop/c-1"), "external_id_taken"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, code)
        assert answer.json()["customer_id"] == ada.json()["id"]
    assert (await profiles.get(eve)).json()["version"] == 1
    assert (await profiles.get(ada.headers["Location"])).json() == ada.json()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "contact-points", {"kind": "email", "value": "ada@example.com"}),
        ("DELETE", "contact-points/email/ada@example.com", None),
        ("PUT", "external-ids/shop/c-1", None),
        ("DELETE", "external-ids/shop/c-1", None),
        ("PUT", "tags/vip", None),
        ("DELETE", "tags/vip", None),
    ],
)
async def test_each_is_refused_for_who_is_stale_and_for_nobody(
    profiles: httpx2.AsyncClient, method: str, path: str, body: Json | None
) -> None:
    customer = await create(profiles)
    await profiles.patch(customer, json={"name": "Augusta"})

    stale = await profiles.request(method, f"{customer}/{path}", json=body, headers={"If-Match": '"1"'})
    absent = await profiles.request(method, f"/v1/customers/{uuid4()}/{path}", json=body)

    assert (stale.status_code, absent.status_code) == (412, 404)
    assert (await profiles.get(customer)).json()["version"] == 2


async def test_there_is_a_limit(profiles: httpx2.AsyncClient) -> None:
    points = [{"kind": "social", "value": f"x:{n}"} for n in range(20)]
    path = await create(profiles, tags=[str(n) for n in range(50)], contact_points=points)

    for answer in (
        await profiles.put(f"{path}/tags/one-more"),
        await profiles.post(f"{path}/contact-points", json={"kind": "social", "value": "one-more"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")


async def test_one_external_id_given_to_many_at_once_names_one(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    paths = [await create(profiles) for _ in range(6)]
    key = "external-ids/shop/c-1"

    answers = await asyncio.gather(
        *(profiles.put(f"{path}/{key}") for path in paths),
        *(profiles.put("/v1/customers/by-external-id/shop/c-1", json={"name": f"E{n}"}) for n in range(4)),
        *(profiles.delete(f"{path}/{key}") for path in paths),
    )

    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    customers = (await profiles.get("/v1/customers")).json()["items"]
    assert sum(len(customer["external_ids"]) for customer in customers) <= 1
