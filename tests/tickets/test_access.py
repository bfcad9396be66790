"""Who may see and do what with tickets, how they are listed, and what the summary says."""

from collections.abc import Callable

import httpx2
import pytest

from crm_shared.callers import Role
from crm_shared.contracts.profiles import CustomerMerged
from crm_shared.ids import uuid7

from .conftest import Arrive, Open, named

Client = Callable[..., httpx2.AsyncClient]


async def test_a_customer_opens_and_sees_only_their_own_tickets(client: Client, open_ticket: Open) -> None:
    ann, bea = uuid7(), uuid7()
    own = client("tickets", Role.CUSTOMER, customer_id=ann)
    body = {"kind": "enquiry", "title": "Where is it?"}
    mine = await own.post("/v1/tickets", json=body | {"customer_id": str(ann)})
    assert mine.status_code == 201
    theirs = await open_ticket(bea)

    assert (await own.post("/v1/tickets", json=body | {"customer_id": str(bea)})).status_code == 404
    assert (await own.get(f"/v1/tickets/{mine.json()['id']}")).status_code == 200
    hidden = await own.get(f"/v1/tickets/{theirs['id']}")
    assert (hidden.status_code, hidden.json()["code"]) == (404, "ticket_not_found")
    assert [item["id"] for item in (await own.get("/v1/tickets")).json()["items"]] == [mine.json()["id"]]
    assert (await own.get("/v1/tickets", params={"customer_id": str(bea)})).status_code == 404
    assert (await own.get(f"/v1/customers/{ann}/summary/tickets")).status_code == 200
    assert (await own.get(f"/v1/customers/{bea}/summary/tickets")).status_code == 404


async def test_another_role_lets_a_customer_do_no_more_than_that_role_may(
    client: Client, open_ticket: Open
) -> None:
    ann, bea = uuid7(), uuid7()
    theirs = await open_ticket(bea)
    both = client("tickets", Role.CUSTOMER, Role.PARTNER, customer_id=ann)
    body = {"kind": "enquiry", "title": "Where is it?", "customer_id": str(bea)}
    assert (await both.post("/v1/tickets", json=body)).status_code == 404
    assert (await both.get(f"/v1/tickets/{theirs['id']}")).status_code == 200


async def test_a_merged_customer_still_sees_their_tickets(
    client: Client, open_ticket: Open, arrive: Arrive
) -> None:
    ann, bea = uuid7(), uuid7()
    ticket = await open_ticket(bea)
    await arrive(CustomerMerged(customer_id=bea, version=2, survivor_id=ann, merge_id=uuid7()))
    own = client("tickets", Role.CUSTOMER, customer_id=bea)
    assert (await own.get(f"/v1/tickets/{ticket['id']}")).status_code == 200
    assert len((await own.get("/v1/tickets")).json()["items"]) == 1


@pytest.mark.parametrize("path", ["/v1/queue", "/v1/tickets/{}/steps"])
async def test_what_staff_works_with_is_not_for_customers(
    client: Client, open_ticket: Open, path: str
) -> None:
    ticket = await open_ticket(uuid7())
    own = client("tickets", Role.CUSTOMER, customer_id=uuid7())
    assert (await own.get(path.format(ticket["id"]))).status_code == 403


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.PARTNER])
async def test_only_staff_takes_steps(client: Client, open_ticket: Open, role: Role) -> None:
    ticket = await open_ticket(uuid7())
    other = client("tickets", role, customer_id=uuid7() if role is Role.CUSTOMER else None)
    for step in ("respond", "resolve", "close"):
        assert (await other.post(f"/v1/tickets/{ticket['id']}/{step}", json={})).status_code == 403


async def test_names_are_for_those_who_may_see_personal_data(
    client: Client, open_ticket: Open, arrive: Arrive
) -> None:
    ann = uuid7()
    await arrive(named(ann, "Ann"))
    ticket = await open_ticket(ann)
    assert ticket["customer_name"] == "Ann"
    discreet = client("tickets", Role.AGENT, pii=False)
    assert (await discreet.get(f"/v1/tickets/{ticket['id']}")).json()["customer_name"] is None


async def test_tickets_are_listed_newest_first_by_customer_and_status(
    tickets: httpx2.AsyncClient, open_ticket: Open
) -> None:
    ann = uuid7()
    opened = [await open_ticket(ann) for _ in range(3)]
    await open_ticket(uuid7())
    await tickets.post(f"/v1/tickets/{opened[1]['id']}/respond", json={"message": "Soon."})

    async def numbers(**parameters: str) -> list[int]:
        page = (await tickets.get("/v1/tickets", params=parameters)).json()
        return [item["number"] for item in page["items"]]

    first, second, third = (ticket["number"] for ticket in opened)
    assert await numbers(customer_id=str(ann)) == [third, second, first]
    assert await numbers(customer_id=str(ann), status="open") == [third, first]
    assert len(await numbers()) == 4

    page = (await tickets.get("/v1/tickets", params={"limit": 2})).json()
    cursor = page["next_cursor"]
    rest = (await tickets.get("/v1/tickets", params={"limit": 2, "cursor": cursor})).json()
    assert [item["number"] for item in page["items"] + rest["items"]] == await numbers()
    wrong = await tickets.get("/v1/tickets", params={"status": "open", "cursor": cursor})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")


async def test_the_summary_counts_by_status_and_shows_the_most_urgent_first(
    tickets: httpx2.AsyncClient, open_ticket: Open
) -> None:
    ann = uuid7()
    low, high, done = [await open_ticket(ann, severity=each) for each in ("low", "high", "critical")]
    for step, body in (("respond", {"message": "Soon."}), ("resolve", {"resolution": "Done."})):
        await tickets.post(f"/v1/tickets/{done['id']}/{step}", json=body)

    summary = (await tickets.get(f"/v1/customers/{ann}/summary/tickets")).json()
    assert summary["counts"] == {"open": 2, "responded": 0, "resolved": 1, "closed": 0}
    assert [item["id"] for item in summary["open"]] == [high["id"], low["id"]]
    assert summary["open"][0]["opened_at"] == "2026-03-02T09:00:00.000000Z"

    nobody = (await tickets.get(f"/v1/customers/{uuid7()}/summary/tickets")).json()
    assert nobody["open"] == []
    assert set(nobody["counts"].values()) == {0}
