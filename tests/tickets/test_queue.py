"""The queue: by level, severity and time left, and in order again at once when a level changes."""

import asyncio
import random
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from crm_shared.contracts.profiles import CustomerErased, CustomerMerged, CustomerUnmerged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, published

from .conftest import Arrive, Open, levelled, named


async def queue(tickets: httpx2.AsyncClient, limit: int = 200) -> list[dict[str, Any]]:
    """The whole queue, page by page."""
    items: list[dict[str, Any]] = []
    parameters: dict[str, str | int] = {"limit": limit}
    while True:
        page = (await tickets.get("/v1/queue", params=parameters)).json()
        items += page["items"]
        if not page["has_more"]:
            return items
        parameters["cursor"] = page["next_cursor"]


@pytest.mark.capability("T8")
async def test_a_vip_comes_first_and_a_change_of_level_moves_the_ticket_at_once(
    tickets: httpx2.AsyncClient, open_ticket: Open, arrive: Arrive
) -> None:
    vip, ordinary = uuid7(), uuid7()
    await arrive(levelled(vip, "vip"), levelled(ordinary, "ordinary"))
    first = await open_ticket(ordinary, severity="critical")
    second = await open_ticket(vip, severity="low")
    assert [item["id"] for item in await queue(tickets)] == [second["id"], first["id"]]

    await arrive(levelled(ordinary, "vip", version=2))
    assert [item["id"] for item in await queue(tickets)] == [first["id"], second["id"]]
    await arrive(levelled(vip, "potential", version=2))
    assert [item["level"] for item in await queue(tickets)] == ["vip", "potential"]


@pytest.mark.capability("T8")
async def test_the_queue_is_ordered_by_level_then_severity_then_time_left(
    tickets: httpx2.AsyncClient, open_ticket: Open, arrive: Arrive, clock: FrozenClock
) -> None:
    dice = random.Random(7)
    customers = {level: uuid7() for level in ("vip", "important", "ordinary", "potential")}
    await arrive(*(levelled(customer_id, level) for level, customer_id in customers.items()))
    start = clock.at
    for _ in range(40):
        clock.at = start.replace(hour=dice.randrange(24))
        level = dice.choice(list(customers))
        severity, kind = (
            dice.choice(["low", "normal", "high", "critical"]),
            dice.choice(["praise", "enquiry"]),
        )
        await open_ticket(customers[level], severity=severity, kind=kind)
    clock.at = start

    items = await queue(tickets, limit=7)
    assert len({item["id"] for item in items}) == 40
    expected = sorted(
        items,
        key=lambda item: (
            list(customers).index(item["level"]),
            ["critical", "high", "normal", "low"].index(item["severity"]),
            item["due_at"],
            item["id"],
        ),
    )
    assert items == expected


async def test_a_settled_ticket_leaves_the_queue(tickets: httpx2.AsyncClient, open_ticket: Open) -> None:
    ticket = await open_ticket(uuid7())
    path = f"/v1/tickets/{ticket['id']}"
    await tickets.post(f"{path}/respond", json={"message": "Soon."})
    assert len(await queue(tickets)) == 1
    await tickets.post(f"{path}/resolve", json={"resolution": "Done."})
    assert await queue(tickets) == []


async def test_a_ticket_may_come_before_anything_is_known_of_its_customer(
    tickets: httpx2.AsyncClient, open_ticket: Open, arrive: Arrive
) -> None:
    ann = uuid7()
    ticket = await open_ticket(ann)
    assert (ticket["level"], ticket["customer_name"]) == (None, None)

    await arrive(levelled(ann, "important"))
    await arrive(named(ann, "Ann"))
    (item,) = await queue(tickets)
    assert (item["level"], item["customer_name"]) == ("important", "Ann")


async def test_an_older_event_does_not_undo_a_newer_one(
    tickets: httpx2.AsyncClient, open_ticket: Open, arrive: Arrive
) -> None:
    ann = uuid7()
    await arrive(levelled(ann, "vip", version=3), levelled(ann, "ordinary", version=2))
    await arrive(levelled(ann, "potential", version=1), named(ann, "Ann", version=2), named(ann, "Anna"))
    ticket = await open_ticket(ann)
    assert (ticket["level"], ticket["customer_name"]) == ("vip", "Ann")


async def test_the_better_the_level_the_sooner_a_response_is_due(open_ticket: Open, arrive: Arrive) -> None:
    ann, bea = uuid7(), uuid7()
    await arrive(levelled(ann, "vip"))
    assert (await open_ticket(ann))["respond_due_at"] == "2026-03-02T15:00:00Z"
    assert (await open_ticket(bea))["respond_due_at"] == "2026-03-03T09:00:00Z"
    assert (await open_ticket(bea, kind="praise"))["respond_due_at"] == "2026-03-04T09:00:00Z"


async def test_tickets_go_to_the_survivor_of_a_merge_and_back_when_it_is_undone(
    tickets: httpx2.AsyncClient, open_ticket: Open, arrive: Arrive
) -> None:
    ann, bea, merge = uuid7(), uuid7(), uuid7()
    await arrive(levelled(ann, "vip"), levelled(bea, "ordinary"))
    await open_ticket(bea)
    await arrive(CustomerMerged(customer_id=bea, version=2, survivor_id=ann, merge_id=merge))
    later = await open_ticket(bea)

    assert {(item["customer_id"], item["level"]) for item in await queue(tickets)} == {(str(ann), "vip")}
    assert (later["customer_id"], later["level"]) == (str(ann), "vip")
    mine = (await tickets.get("/v1/tickets", params={"customer_id": str(bea)})).json()
    assert len(mine["items"]) == 2

    await arrive(CustomerUnmerged(customer_id=bea, version=3, survivor_id=ann, merge_id=merge))
    assert {(item["customer_id"], item["level"]) for item in await queue(tickets)} == {(str(bea), "ordinary")}


async def test_an_erased_customer_leaves_no_ticket_and_gets_none(
    tickets: httpx2.AsyncClient, open_ticket: Open, arrive: Arrive, sessions: Sessions
) -> None:
    ann = uuid7()
    ticket = await open_ticket(ann)
    await arrive(named(ann, "Ann"), CustomerErased(customer_id=ann, version=2, erasure_id=uuid7()))

    assert (await tickets.get(f"/v1/tickets/{ticket['id']}")).status_code == 404
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM ticket_events")) == 0
    assert [row.type for row in await published(sessions)] == ["tickets.erasure.confirmed.v1"]
    again = await tickets.post(
        "/v1/tickets", json={"customer_id": str(ann), "kind": "praise", "title": "Thanks"}
    )
    assert (again.status_code, again.json()["code"]) == (410, "customer_was_erased")


async def test_a_ticket_that_is_opened_while_the_level_changes_ends_in_its_place(
    tickets: httpx2.AsyncClient, committed: dict[str, Sessions], open_ticket: Open, arrive: Arrive
) -> None:
    customers = [uuid7() for _ in range(12)]

    async def rise(version: int) -> None:
        level = "vip" if version == 3 else "ordinary"
        await arrive(*(levelled(customer_id, level, version) for customer_id in customers))

    await asyncio.gather(rise(1), *(open_ticket(one) for one in customers), rise(3), rise(2))
    assert {item["level"] for item in await queue(tickets)} == {"vip"}
    assert len(await queue(tickets)) == 12


async def test_a_ticket_that_is_opened_while_its_customer_is_merged_ends_with_the_survivor(
    tickets: httpx2.AsyncClient, committed: dict[str, Sessions], open_ticket: Open, arrive: Arrive
) -> None:
    ann, bea = uuid7(), uuid7()
    await arrive(levelled(ann, "vip"))
    merged = CustomerMerged(customer_id=bea, version=2, survivor_id=ann, merge_id=uuid7())
    opened = [open_ticket(bea) for _ in range(8)]
    await asyncio.gather(*opened[:4], arrive(merged), *opened[4:])
    assert {(item["customer_id"], item["level"]) for item in await queue(tickets)} == {(str(ann), "vip")}


async def test_the_queue_is_read_by_one_scan_of_its_index(
    committed: dict[str, Sessions], tickets: httpx2.AsyncClient, open_ticket: Open
) -> None:
    await open_ticket(uuid7())
    async with committed["tickets"]() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(
            await session.scalars(
                text(
                    "EXPLAIN SELECT id FROM tickets WHERE tickets.status IN ('open', 'responded')"
                    " AND (level_rank, severity_rank, due_at, id)"
                    " > (1, 2, '2026-03-02T09:00:00Z', '0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d')"
                    " ORDER BY level_rank, severity_rank, due_at, id LIMIT 21"
                )
            )
        )
    assert "ix_tickets_queue" in plan
    assert "Index Cond: (ROW(" in plan
    assert "Sort" not in plan
