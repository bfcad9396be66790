"""P12: duplicates are found with reasons, merged after a preview, and parted again in every service."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from tests.capabilities.conftest import Sign, Until

from crm_shared.callers import Role

pytestmark = pytest.mark.capability("P12")


async def make(agent: httpx2.AsyncClient, name: str, **members: Any) -> str:
    answer = await agent.post("/v1/customers", json={"name": name, **members})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def buy(agent: httpx2.AsyncClient, customer: str, cents: int) -> None:
    order = {
        "source": "shop",
        "external_id": str(uuid4()),
        "customer_id": customer,
        "occurred_at": "2026-02-01T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": cents, "currency": "USD"}}],
    }
    answer = await agent.post("/v1/purchases", json=order)
    assert answer.status_code == 201, answer.text


async def test_a_pair_is_found_merged_and_parted_again_in_every_service(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, sign_in: Sign, until: Until
) -> None:
    name, email = f"Ann {uuid4().hex}", f"{uuid4().hex}@example.com"
    ann = await make(agent, name, birth_date="1988-04-12", language="en")
    bea = await make(agent, name, birth_date="1988-04-12", contact_points=[{"kind": "email", "value": email}])
    await buy(agent, ann, 1_000)
    await buy(agent, bea, 2_000)
    ticket = {"customer_id": bea, "kind": "enquiry", "title": "Where is it?"}
    ticket_id = (await agent.post("/v1/tickets", json=ticket)).json()["id"]

    async def points(customer: str) -> Any:
        answer = await agent.get(f"/v1/accounts/{customer}")
        return answer.json().get("balance")

    async def value(customer: str) -> Any:
        return (await agent.get(f"/v1/rfm/{customer}")).json()["monetary"]["amount"]

    async def standings(*expected: tuple[str, int, int]) -> bool:
        found = [(who, await points(who), await value(who)) for who, _, _ in expected]
        return found == list(expected)

    async def found() -> Any:
        return (await agent.get("/v1/duplicates", params={"customer_id": ann})).json()["items"]

    [pair] = await until(found)
    assert {pair["first_id"], pair["second_id"]} == {ann, bea}
    assert {each["reason"] for each in pair["reasons"]} == {"same_name", "same_birth_date"}
    await until(lambda: standings((ann, 10, 1_000), (bea, 20, 2_000)))

    wish = {"survivor_id": ann, "absorbed_id": bea}
    preview = (await agent.post("/v1/merges/preview", json=wish)).json()
    assert preview["moves"]["purchases"] == 1
    assert (await agent.post("/v1/merges", json=wish)).status_code == 403
    merge = await manager.post("/v1/merges", json=wish)
    assert merge.status_code == 201, merge.text

    read = await agent.get(f"/v1/customers/{bea}")
    assert (read.json()["id"], read.json()["merged_from"]) == (ann, bea)
    assert read.headers["Content-Location"] == f"/v1/customers/{ann}"
    await until(lambda: standings((ann, 30, 3_000), (bea, 30, 3_000)))
    own = sign_in(Role.CUSTOMER, UUID(bea))
    assert (await own.get(f"/v1/customers/{bea}")).json()["id"] == ann
    await buy(agent, bea, 500)

    undone = await manager.post(f"/v1/merges/{merge.json()['id']}/undo", json={"reason": "sisters"})
    assert undone.status_code == 200, undone.text
    await until(lambda: standings((ann, 10, 1_000), (bea, 25, 2_500)))
    assert (await agent.get(f"/v1/tickets/{ticket_id}")).json()["customer_id"] == bea
    restored = (await agent.get(f"/v1/customers/{bea}")).json()
    assert (restored["id"], restored["merged_from"], restored["language"]) == (bea, None, None)
    assert [point["kind"] for point in restored["contact_points"]] == ["email"]
