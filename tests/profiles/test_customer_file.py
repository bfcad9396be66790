"""Notes and the file: what whoever speaks with a customer should know."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from crm_profiles.handlers import subscriptions
from crm_profiles.models.base import Base
from crm_shared import customers
from crm_shared.callers import Role
from crm_shared.contracts.profiles import CustomerMerged
from crm_shared.contracts.tickets import (
    TicketClosed,
    TicketOpened,
    TicketResolved,
    TicketResponded,
    TicketState,
)
from crm_shared.database import Sessions
from crm_shared.testing import arrived, handle

NOON = datetime(2026, 2, 20, 12, tzinfo=UTC)
STEPS: tuple[tuple[type[TicketState], str], ...] = (
    (TicketOpened, "open"),
    (TicketResponded, "responded"),
    (TicketResolved, "resolved"),
    (TicketClosed, "closed"),
)


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> str:
    identity: str = (await profiles.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    return identity


def life(customer: str, kind: str = "complaint", number: int = 7) -> list[TicketState]:
    """All events of a ticket from its opening to its closing."""
    ticket_id = uuid4()
    events: list[TicketState] = []
    for version, (step, status) in enumerate(STEPS, start=1):
        told: dict[str, Any] = {
            "customer_id": customer,
            "version": version,
            "ticket_id": ticket_id,
            "number": number,
            "kind": kind,
            "severity": "high",
            "status": status,
            "title": "It arrived broken",
            "opened_at": NOON,
        }
        if step is TicketResolved:
            told["resolution"] = "A new disc was sent."
        events.append(arrived(step.model_validate(told)))
    return events


async def tell(sessions: Sessions, *events: TicketState) -> None:
    async with sessions.begin() as session:
        await handle(session, subscriptions, list(events))


async def read(profiles: httpx2.AsyncClient, customer: str) -> dict[str, Any]:
    answer = await profiles.get(f"/v1/customers/{customer}/file")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.capability("P6")
async def test_a_closed_complaint_stands_on_the_file(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    await tell(databases["profiles"], *life(ada), *life(ada, "enquiry", 8), *life(ada, number=9)[:2])

    complaints = (await read(profiles, ada))["complaints"]
    assert (complaints["count"], complaints["open"]) == (2, 1)
    closed = next(ticket for ticket in complaints["newest"] if ticket["number"] == 7)
    assert (closed["status"], closed["resolution"]) == ("closed", "A new disc was sent.")
    assert closed["resolved_at"] == closed["closed_at"] == "2026-03-01T00:00:00Z"
    page = (await profiles.get(f"/v1/customers/{ada}/file/tickets", params={"kind": "enquiry"})).json()
    assert [ticket["number"] for ticket in page["items"]] == [8]


async def test_an_older_version_of_a_ticket_changes_nothing(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    events = life(ada)
    await tell(databases["profiles"], *events)
    before = (await read(profiles, ada))["complaints"]
    async with databases["profiles"].begin() as session:
        await handle(session, subscriptions, [*events], consumer="another inbox, which knows nothing of it")
    assert (await read(profiles, ada))["complaints"] == before


async def test_tickets_of_nobody_on_file_are_dropped_and_merged_ones_move(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    eve = (await profiles.post("/v1/customers", json={"name": "Eve"})).json()["id"]
    await tell(databases["profiles"], *life(str(uuid4())), *life(eve)[:2])
    async with databases["profiles"].begin() as session:
        merge = CustomerMerged(
            customer_id=UUID(eve), version=2, survivor_id=UUID(ada), merge_id=uuid4(), sequence=1
        )
        await customers.link(session, Base.metadata, [merge])
    file = await read(profiles, eve)
    assert (file["customer_id"], file["complaints"]["count"]) == (ada, 1)


async def test_refunds_stand_on_the_file(profiles: httpx2.AsyncClient, ada: str) -> None:
    total = {"amount": 1000, "currency": "USD"}
    order = {
        "source": "shop",
        "external_id": "o-1",
        "customer_id": ada,
        "occurred_at": "2026-02-20T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": total}],
    }
    await profiles.post("/v1/purchases", json=order)
    refund = {
        "source": "shop",
        "external_id": "r-1",
        "occurred_at": "2026-02-21T12:00:00Z",
        "reason": "Broken",
    }
    await profiles.post("/v1/purchases/by-external-id/shop/o-1/refunds", json=refund)

    refunds = (await read(profiles, ada))["refunds"]
    assert (refunds["count"], refunds["newest"][0]["reason"], refunds["newest"][0]["total"]) == (
        1,
        "Broken",
        total,
    )


@pytest.mark.capability("P18")
async def test_needs_and_notes_stand_on_the_file_pinned_ones_first(
    profiles: httpx2.AsyncClient, ada: str
) -> None:
    path, follow_up = f"/v1/customers/{ada}/notes", str(uuid4())
    pinned = await profiles.post(
        path, json={"text": "Her son plays too", "kind": "relationship", "pinned": True}
    )
    await profiles.post(path, json={"text": "Rings in the morning"})
    need = {"kind": "need", "text": "A turntable", "about": "turntable", "follow_up_id": follow_up}
    need = (await profiles.post(path, json=need | {"due_on": "2026-04-01"})).json()

    file = await read(profiles, ada)
    assert [note["text"] for note in file["notes"]["first"]] == ["Her son plays too", "Rings in the morning"]
    assert file["needs"] == {"count": 1, "first": [need]}
    assert (need["follow_up_id"], need["due_on"], need["author"]) == (follow_up, "2026-04-01", "tester")
    assert pinned.headers["Location"] == f"{path}/{pinned.json()['id']}"

    async def listed(**params: str | bool) -> list[str]:
        items = (await profiles.get(path, params=params)).json()["items"]
        return [note["text"] for note in items]

    assert await listed() == ["A turntable", "Rings in the morning", "Her son plays too"]
    assert await listed(kind="need") == await listed(due_by="2026-04-01") == ["A turntable"]
    assert await listed(pinned=True) == ["Her son plays too"]
    assert await listed(due_by="2026-03-31") == []


async def test_a_note_is_changed_and_thrown_away(profiles: httpx2.AsyncClient, ada: str) -> None:
    note = await profiles.post(f"/v1/customers/{ada}/notes", json={"text": "A turntable", "about": "music"})
    path = note.headers["Location"]

    changed = await profiles.patch(path, json={"about": None, "kind": "need"})
    assert (changed.json()["about"], changed.json()["kind"], changed.json()["version"]) == (None, "need", 2)
    assert (await profiles.patch(path, json={"kind": "need"})).json() == changed.json()
    assert (await profiles.patch(path, json={"text": None})).status_code == 422
    assert (await profiles.patch(path, json={"text": "x"}, headers={"If-Match": '"1"'})).status_code == 412
    assert (await profiles.delete(path, headers={"If-Match": '"1"'})).status_code == 412
    gone = await profiles.delete(path, headers={"If-Match": '"2"'})
    assert gone.json() == changed.json()
    assert (await profiles.get(path)).json()["code"] == "note_not_found"


async def test_the_notes_of_one_customer_are_not_anothers(profiles: httpx2.AsyncClient, ada: str) -> None:
    eve = (await profiles.post("/v1/customers", json={"name": "Eve"})).json()["id"]
    note = (await profiles.post(f"/v1/customers/{ada}/notes", json={"text": "A turntable"})).json()
    assert (await profiles.get(f"/v1/customers/{eve}/notes/{note['id']}")).status_code == 404
    for path in (f"/v1/customers/{uuid4()}/notes", f"/v1/customers/{uuid4()}/file"):
        assert (await profiles.get(path)).json()["code"] == "customer_not_found"
    nobody = await profiles.post(f"/v1/customers/{uuid4()}/notes", json={"text": "x"})
    assert nobody.json()["code"] == "customer_not_found"


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.PARTNER])
async def test_what_the_staff_writes_is_for_the_staff(client: Any, ada: str, role: Role) -> None:
    reader = client("profiles", role, customer_id=UUID(ada))
    for path in ("file", "notes", "interactions", "file/tickets"):
        assert (await reader.get(f"/v1/customers/{ada}/{path}")).status_code == 403
