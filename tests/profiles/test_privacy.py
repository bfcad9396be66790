"""Erasure: forgotten here at once, everywhere by events, with a receipt."""

from collections.abc import Callable
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text

from crm_profiles.handlers import subscriptions
from crm_shared.callers import Role
from crm_shared.contracts.erasure import (
    ErasureConfirmed,
    LoyaltyErasureConfirmed,
    SegmentationErasureConfirmed,
    TicketsErasureConfirmed,
)
from crm_shared.contracts.profiles import CustomerErased
from crm_shared.database import Sessions
from crm_shared.testing import arrived, handle, published

ClientFactory = Callable[..., httpx2.AsyncClient]

ADA = {
    "name": "Ada Canary-Lovelace",
    "contact_points": [{"kind": "email", "value": "canary@example.com"}],
    "tags": ["canary"],
}
PATH = "/v1/customers/by-external-id/shop/ada"


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> str:
    answer = await profiles.put(PATH, json=ADA)
    await profiles.post("/v1/customers", json={"name": "Eve"}, headers={"Idempotency-Key": "eve"})
    await profiles.patch(
        f"/v1/customers/{answer.json()['id']}", json={"region": "GB"}, headers={"Idempotency-Key": "ada"}
    )
    order = {
        "source": "shop",
        "external_id": "o-1",
        "customer_id": answer.json()["id"],
        "occurred_at": "1997-01-01T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": 2933, "currency": "USD"}}],
    }
    assert (await profiles.post("/v1/purchases", json=order)).status_code == 201
    identity: str = answer.json()["id"]
    return identity


def confirmation(event_class: type[ErasureConfirmed], customer: str, erasure: str) -> ErasureConfirmed:
    event = event_class(
        customer_id=UUID(customer),
        version=1,
        erasure_id=UUID(erasure),
        service_name=event_class.service(),
        removed={"accounts": 1},
        kept={"entries": "bookkeeping"},
    )
    return arrived(event)


async def test_an_erased_customer_is_found_nowhere(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    answer = await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})

    assert answer.status_code == 202, answer.text
    for path in ("", "/summary/profiles", "/timeline", "/purchases"):
        assert (await profiles.get(f"/v1/customers/{ada}{path}")).status_code == 404
    async with databases["profiles"]() as session:
        tables = await session.scalars(
            text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        )
        for table in tables.all():
            found = await session.scalar(
                text(f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE '%canary%'")
            )
            assert found == 0, table


async def test_an_erasure_tells_all_services_and_keeps_the_books(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    erasure = (await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})).json()

    [row] = [row for row in await published(databases["profiles"]) if row.key == ada]
    told = CustomerErased.model_validate_json(row.data)
    assert (row.type, str(told.erasure_id), told.version) == (CustomerErased.type, erasure["id"], 3)
    [ours] = [part for part in erasure["services"] if part["confirmed_at"]]
    assert ours["service"] == "profiles"
    assert ours["removed"].items() >= {"customers": 1, "contact_points": 1, "external_ids": 1}.items()
    assert "purchases" in ours["kept"]
    assert (await profiles.get("/v1/purchases/totals")).json()["count"] == 1


async def test_asking_again_gives_the_same_erasure(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    first = await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})
    again = await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})

    assert again.json() == first.json()
    assert (await profiles.get(first.headers["Location"])).json() == first.json()
    assert (
        len([row for row in await published(databases["profiles"]) if row.type == CustomerErased.type]) == 1
    )


async def test_the_receipt_is_complete_when_every_service_has_confirmed(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    erasure = (await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})).json()
    path = f"/v1/privacy/erasures/{erasure['id']}"
    classes = [SegmentationErasureConfirmed, TicketsErasureConfirmed, LoyaltyErasureConfirmed]

    complete = [erasure["complete"]]
    for event_class in classes:
        async with databases["profiles"].begin() as session:
            await handle(session, subscriptions, [confirmation(event_class, ada, erasure["id"])])
        complete.append((await profiles.get(path)).json()["complete"])

    assert complete == [False, False, False, True]
    receipt = (await profiles.get(path)).json()
    assert [part["service"] for part in receipt["services"]] == [
        "profiles",
        "segmentation",
        "tickets",
        "loyalty",
    ]
    assert receipt["services"][3]["removed"] == {"accounts": 1}
    assert receipt["services"][3]["kept"] == {"entries": "bookkeeping"}
    assert receipt["topics_clear_at"] == "2026-03-11T09:00:00Z"


async def test_a_confirmation_of_an_erasure_that_nobody_asked_for_is_passed_over(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    stray = confirmation(TicketsErasureConfirmed, str(uuid4()), str(uuid4()))

    async with databases["profiles"].begin() as session:
        assert await handle(session, subscriptions, [stray]) == [stray]


async def test_who_comes_back_after_an_erasure_is_somebody_new(
    profiles: httpx2.AsyncClient, ada: str
) -> None:
    await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})

    returned = await profiles.put(PATH, json=ADA)

    assert returned.status_code == 201
    assert returned.json()["id"] != ada


async def test_only_admins_erase_and_read_receipts(
    client: ClientFactory, profiles: httpx2.AsyncClient, ada: str
) -> None:
    agent = client("profiles", Role.AGENT, Role.MANAGER)

    assert (await agent.post("/v1/privacy/erasures", json={"customer_id": ada})).status_code == 403
    assert (await agent.get(f"/v1/privacy/erasures/{uuid4()}")).status_code == 403
    unknown = await profiles.post("/v1/privacy/erasures", json={"customer_id": str(uuid4())})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "customer_not_found")
    assert (await profiles.get(f"/v1/privacy/erasures/{uuid4()}")).json()["code"] == "erasure_not_found"
