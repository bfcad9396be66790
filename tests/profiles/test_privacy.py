"""Erasure: forgotten here at once, everywhere by events, with a receipt."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text
from tests.conftest import ClientFactory

from crm_profiles.handlers import subscriptions
from crm_profiles.privacy import privacy
from crm_shared.callers import Role
from crm_shared.contracts.erasure import (
    ErasureConfirmed,
    LoyaltyErasureConfirmed,
    SegmentationErasureConfirmed,
    TicketsErasureConfirmed,
)
from crm_shared.contracts.profiles import CustomerErased
from crm_shared.database import Sessions
from crm_shared.outbox import Outbox
from crm_shared.testing import FrozenClock, arrived, handle, published

Work = Callable[[], Awaitable[None]]

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
    assert await tables_with(databases["profiles"], "canary") == []


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


async def test_a_batch_of_purchases_brings_nobody_back(profiles: httpx2.AsyncClient, ada: str) -> None:
    await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})

    def order(number: str, customer: str) -> dict[str, object]:
        reached = {"name": ADA["name"], "contact_points": ADA["contact_points"]}
        return {
            "source": "shop",
            "external_id": number,
            "customer": {"source": "shop", "external_id": customer, **reached},
            "occurred_at": "2026-01-01T12:00:00Z",
            "currency": "USD",
            "lines": [{"quantity": 1, "total": {"amount": 2933, "currency": "USD"}}],
        }

    items = [order("o-2", "ada"), order("o-3", "ada-by-another-name")]
    answer = await profiles.post("/v1/purchases/batch", json={"items": items})
    assert [item["problem"]["code"] for item in answer.json()["items"]] == ["person_suppressed"] * 2
    assert (await profiles.get("/v1/customers/totals")).json()["count"] == 1
    returned = await profiles.post("/v1/purchases", json=items[0])
    assert returned.status_code == 201, "one person at a time may return of their own will"


async def test_former_contact_points_are_suppressed_too(profiles: httpx2.AsyncClient, ada: str) -> None:
    moved = {"contact_points": [{"kind": "email", "value": "new@example.com"}]}
    assert (await profiles.patch(f"/v1/customers/{ada}", json=moved)).status_code == 200
    await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})

    asked = {"contact_points": ADA["contact_points"]}
    [item] = (await profiles.post("/v1/privacy/suppressions/check", json=asked)).json()["items"]
    assert item["suppressed"] is True


async def test_an_erasure_that_a_service_does_not_confirm_in_time_is_overdue(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock, ada: str
) -> None:
    erasure = (await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})).json()
    assert (await listed(profiles, "open"), await listed(profiles, "overdue")) == ([erasure["id"]], [])
    within = timedelta(minutes=15)

    clock.advance(timedelta(minutes=16))
    assert await listed(profiles, "overdue") == [erasure["id"]]
    receipt = (await profiles.get(f"/v1/privacy/erasures/{erasure['id']}")).json()
    assert receipt["overdue"] is True
    assert [part["state"] for part in receipt["services"]] == ["answered", *["overdue"] * 3]
    async with databases["profiles"]() as session:
        assert await privacy.count_overdue(session, within=within, at=clock.now()) == 1

    for event_class in (SegmentationErasureConfirmed, TicketsErasureConfirmed, LoyaltyErasureConfirmed):
        async with databases["profiles"].begin() as session:
            await handle(session, subscriptions, [confirmation(event_class, ada, erasure["id"])])
    assert (await listed(profiles, "overdue"), await listed(profiles, "complete")) == ([], [erasure["id"]])
    async with databases["profiles"]() as session:
        assert await privacy.count_overdue(session, within=within, at=clock.now()) == 0


async def listed(profiles: httpx2.AsyncClient, state: str) -> list[str]:
    page = (await profiles.get("/v1/privacy/erasures", params={"state": state})).json()
    return [item["id"] for item in page["items"]]


async def test_what_a_service_removes_later_is_added_to_its_receipt(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    erasure = (await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})).json()
    for _ in range(2):
        async with databases["profiles"].begin() as session:
            await handle(session, subscriptions, [confirmation(LoyaltyErasureConfirmed, ada, erasure["id"])])

    receipt = (await profiles.get(f"/v1/privacy/erasures/{erasure['id']}")).json()
    assert receipt["services"][3]["removed"] == {"accounts": 2}


async def test_an_erasure_waits_for_writes_under_way_and_writes_wait_for_it(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions]
) -> None:
    """Whichever comes first: in the end nothing is held about the customer, and nobody waits in a circle."""
    for round_ in range(5):
        body = {
            "name": "Canary",
            "contact_points": [{"kind": "email", "value": f"canary{round_}@example.com"}],
        }
        customer = (await profiles.post("/v1/customers", json=body)).json()["id"]
        path = f"/v1/customers/{customer}"
        answers = await asyncio.gather(
            *(profiles.patch(path, json={"name": f"Canary {n}"}) for n in range(4)),
            profiles.post("/v1/privacy/exports", json={"customer_id": customer}),
            profiles.post("/v1/privacy/erasures", json={"customer_id": customer}),
            *(profiles.patch(path, json={"tags": [f"canary {n}"]}) for n in range(4)),
            profiles.post("/v1/privacy/exports", json={"customer_id": customer}),
        )
        assert {answer.status_code for answer in answers} <= {200, 202, 404}
    assert await tables_with(committed["profiles"], "canary") == []


async def tables_with(sessions: Sessions, canary: str) -> list[str]:
    async with sessions() as session:
        tables = await session.scalars(
            text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        )
        return [
            table
            for table in tables.all()
            if await session.scalar(
                text(f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE :sign"), {"sign": f"%{canary}%"}
            )
        ]


async def test_the_tombstone_is_sent_a_second_time_when_the_topics_segment_is_over(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock, work: Work, ada: str
) -> None:
    """Since it was sent, that is: a segment lasts from its first record on."""
    await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})
    clock.advance(timedelta(hours=26))
    await work()
    [unsent] = await erasures_told(databases["profiles"])
    await sent(databases["profiles"], clock)

    clock.advance(timedelta(hours=24))
    await work()
    assert [row.sent_at for row in await erasures_told(databases["profiles"])] != [None]
    clock.advance(timedelta(hours=2))
    await work()
    [again] = await erasures_told(databases["profiles"])
    assert (again.id, again.sent_at) == (unsent.id, None)

    await sent(databases["profiles"], clock)
    clock.advance(timedelta(days=3))
    await work()
    assert [row.sent_at for row in await erasures_told(databases["profiles"])] != [None]


async def sent(sessions: Sessions, clock: FrozenClock) -> None:
    async with sessions.begin() as session:
        await session.execute(text("UPDATE outbox SET sent_at = :at"), {"at": clock.now()})


async def erasures_told(sessions: Sessions) -> list[Outbox]:
    return [row for row in await published(sessions) if row.type == CustomerErased.type]
