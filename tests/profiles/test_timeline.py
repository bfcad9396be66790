"""The timeline and the summary: what happened in all services, on the customer's file."""

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from tests.conftest import ClientFactory

from crm_local.provisioning import Databases
from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import TimelineFilters
from crm_profiles.handlers import subscriptions
from crm_profiles.models.base import Base
from crm_profiles.models.timeline import TimelineEntry
from crm_profiles.schemas.summary import ProfileSummaryOut
from crm_shared import customers
from crm_shared.callers import Role
from crm_shared.contracts.base import Envelope, Event
from crm_shared.contracts.loyalty import PointsAdjusted, PointsEarned, PointsReleased
from crm_shared.contracts.profiles import CustomerMerged
from crm_shared.contracts.segmentation import LevelChanged
from crm_shared.contracts.tickets import TicketClosed, TicketOpened
from crm_shared.database import Sessions, async_url
from crm_shared.pages import Cursors, PageRequest
from crm_shared.testing import handle

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEMS = {"timeline": "items", "summary/profiles": "timeline"}


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> str:
    body = {"name": "Ada", "contact_points": [{"kind": "email", "value": "ada@example.com"}]}
    answer = await profiles.put("/v1/customers/by-external-id/shop/ada", json=body)
    identity: str = answer.json()["id"]
    return identity


def arrived(event_class: type[Event], customer: str, minutes: int, **data: Any) -> Event:
    """An event as the worker would have it from the topic."""
    envelope = Envelope(
        id=uuid4(),
        source=f"/crm/{event_class.service()}",
        type=event_class.type,
        subject="",
        key=customer,
        time=NOON + timedelta(minutes=minutes),
    )
    return event_class.received({"customer_id": customer, "version": 1} | data, envelope)


def points(customer: str, minutes: int, amount: int = 29) -> Event:
    account = {"account_id": str(uuid4()), "lot_id": str(uuid4()), "balance": amount, "held": 0}
    data = {"points": amount, "reference": "p-1", "effective_at": NOON.isoformat()}
    return arrived(PointsEarned, customer, minutes, **account, **data)


def ticket(event_class: type[Event], customer: str, minutes: int) -> Event:
    return arrived(
        event_class,
        customer,
        minutes,
        ticket_id=str(uuid4()),
        number=7,
        kind="complaint",
        severity="high",
        status="closed",
        title="It arrived broken",
        opened_at=NOON.isoformat(),
    )


async def tell(sessions: Sessions, *events: Event) -> None:
    async with sessions.begin() as session:
        await handle(session, subscriptions, list(events))


async def entries(profiles: httpx2.AsyncClient, customer: str, **params: Any) -> list[dict[str, Any]]:
    answer = await profiles.get(f"/v1/customers/{customer}/timeline", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_what_happens_in_other_services_stands_on_the_timeline(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    await tell(
        databases["profiles"],
        points(ada, 1),
        arrived(
            LevelChanged,
            ada,
            2,
            level="vip",
            reason="spent 1000",
            thresholds_version=1,
            business_day="2026-03-01",
        ),
        ticket(TicketOpened, ada, 3),
        arrived(
            PointsReleased,
            ada,
            4,
            account_id=str(uuid4()),
            hold_id=str(uuid4()),
            points=5,
            balance=29,
            held=0,
            reference="h",
            effective_at=NOON.isoformat(),
            ran_out=True,
        ),
        arrived(
            PointsAdjusted,
            ada,
            5,
            account_id=str(uuid4()),
            points=4,
            change=-4,
            balance=25,
            held=0,
            reference="a",
            effective_at=NOON.isoformat(),
        ),
    )

    assert [(entry["type"], entry["title"]) for entry in await entries(profiles, ada)] == [
        ("points.adjusted", "Points were put right by -4"),
        ("points.released", "5 reserved points are free again"),
        ("ticket.opened", "Ticket 7 was opened: It arrived broken"),
        ("level.changed", "Level is now vip"),
        ("points.earned", "Earned 29 points"),
    ]


@pytest.mark.capability("P6")
async def test_a_closed_complaint_shows_on_the_file(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    await tell(databases["profiles"], ticket(TicketOpened, ada, 1), ticket(TicketClosed, ada, 2))

    [closed] = await entries(profiles, ada, type="ticket.closed")
    assert (closed["data"]["kind"], closed["data"]["title"]) == ("complaint", "It arrived broken")


async def test_an_event_that_comes_twice_stands_there_once(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    event = points(ada, 1)

    await tell(databases["profiles"], event, event)
    async with databases["profiles"].begin() as session:
        await handle(session, subscriptions, [event], consumer="another inbox, which knows nothing of it")

    assert len(await entries(profiles, ada)) == 1


async def test_the_timeline_is_walked_by_cursor_and_filtered_by_type(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    told = [points(ada, minute // 2, minute) for minute in range(9)]
    await tell(databases["profiles"], *told, *(ticket(TicketOpened, ada, minute) for minute in range(9)))
    seen, cursor = [], None
    while True:
        params: dict[str, Any] = {"limit": 2, "type": ["points.earned", "points.spent"]} | (
            {"cursor": cursor} if cursor else {}
        )
        page = (await profiles.get(f"/v1/customers/{ada}/timeline", params=params)).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert sorted(entry["id"] for entry in seen) == sorted(str(event.id) for event in told)
    instants = [(entry["occurred_at"], entry["id"]) for entry in seen]
    assert instants == sorted(instants, reverse=True)
    assert (await profiles.get(f"/v1/customers/{ada}/timeline", params={"type": "x"})).status_code == 422


@pytest.mark.capability("P5")
async def test_the_timeline_is_filtered_by_family_and_period(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    await tell(
        databases["profiles"],
        *(each for minute in range(4) for each in (points(ada, minute), ticket(TicketOpened, ada, minute))),
        ticket(TicketClosed, ada, 9),
    )

    async def found(**params: Any) -> list[tuple[str, str]]:
        return [
            (entry["type"], entry["occurred_at"][14:16]) for entry in await entries(profiles, ada, **params)
        ]

    assert await found(family="ticket") == [
        ("ticket.closed", "09"),
        *(("ticket.opened", f"0{minute}") for minute in (3, 2, 1, 0)),
    ]
    period = {"from": "2026-03-01T12:01:00Z", "to": "2026-03-01T12:03:00Z"}
    assert await found(family="points", **period) == [("points.earned", "02"), ("points.earned", "01")]
    assert len(await found(**period)) == 4
    assert await found(family="ticket", type="ticket.closed") == [("ticket.closed", "09")]
    assert await found(family="points", type="ticket.closed") == []
    assert (await profiles.get(f"/v1/customers/{ada}/timeline?family=weather")).status_code == 422
    backwards = {"from": period["to"], "to": period["from"]}
    refused = await profiles.get(f"/v1/customers/{ada}/timeline", params=backwards)
    assert (refused.status_code, refused.json()["code"]) == (422, "period_empty")
    assert refused.json()["errors"][0]["pointer"] == "from"


async def plan(connection: AsyncConnection, statement: str, parameters: Any) -> tuple[list[str], int]:
    """The nodes of the statement's plan, and how many blocks it read."""
    explained = await connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters
    )
    node = explained.scalar_one()[0]["Plan"]
    read, nodes = node["Shared Hit Blocks"] + node["Shared Read Blocks"], [node["Node Type"]]
    while "Plans" in node:
        [node] = node["Plans"]
        nodes.append(node["Node Type"])
    return nodes, read


@pytest.mark.capability("P5")
async def test_the_thousandth_page_of_the_timeline_costs_what_the_first_does(
    committed: dict[str, Sessions], addresses: Mapping[str, Databases]
) -> None:
    ada, cursors = uuid4(), Cursors("cursors of the tests, thirty-two bytes and more")
    owner = create_async_engine(async_url(addresses["profiles"].owner_url))
    async with owner.begin() as connection:
        await connection.exec_driver_sql(
            f"""
            INSERT INTO timeline_entries
                (id, customer_id, origin_customer_id, type, occurred_at, recorded_at, title, data)
            SELECT gen_random_uuid(), '{ada}', '{ada}',
                   CASE n % 2 WHEN 0 THEN 'points.earned' ELSE 'ticket.opened' END,
                   timestamptz '2026-01-01' - n * interval '1 minute', now(), 'x', '{{}}'
            FROM generate_series(1, 100000) AS n
            """
        )
        await connection.exec_driver_sql("ANALYZE timeline_entries")
    await owner.dispose()
    statements: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    async with committed["profiles"].begin() as session:
        connection = await session.connection()
        event.listen(connection.sync_connection, "before_cursor_execute", remember)
        deep = [datetime(2026, 1, 1, tzinfo=UTC) - timedelta(minutes=50_000), UUID(int=2**128 - 1)]
        for filters in (TimelineFilters(), TimelineFilters(family="ticket")):
            first = await timeline.list_(session, ada, filters, page=PageRequest(cursors, None, 50))
            assert first.next_cursor is not None
            asked, _ = orjson.loads(urlsafe_b64decode(first.next_cursor + "==")[16:])
            cursor = cursors.encode(deep, asked)
            later = await timeline.list_(session, ada, filters, page=PageRequest(cursors, cursor, 50))
            assert len(first.items) == len(later.items) == 50
        event.remove(connection.sync_connection, "before_cursor_execute", remember)
        costs = [await plan(connection, *statement) for statement in statements]

    assert [nodes for nodes, _ in costs] == [["Limit", "Index Scan"]] * 4
    assert max(read for _, read in costs) < 150, "a page of fifty reads little more than fifty rows"


async def test_the_summary_holds_profile_purchases_and_the_newest_entries(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    for number, (amount, currency) in enumerate([(2933, "USD"), (1500, "USD"), (700, "JPY")]):
        order = {
            "source": "shop",
            "external_id": str(number),
            "customer_id": ada,
            "occurred_at": f"1997-01-0{number + 1}T12:00:00Z",
            "currency": currency,
            "lines": [{"quantity": 1, "total": {"amount": amount, "currency": currency}}],
        }
        assert (await profiles.post("/v1/purchases", json=order)).status_code == 201
    await tell(databases["profiles"], *(points(ada, minute, minute) for minute in range(1, 13)))

    answer = await profiles.get(f"/v1/customers/{ada}/summary/profiles")

    summary = ProfileSummaryOut.model_validate(answer.json())
    assert (summary.customer.id, summary.customer.name) == (UUID(ada), "Ada")
    assert [point.value for point in summary.customer.contact_points] == ["ada@example.com"]
    assert [known.external_id for known in summary.customer.external_ids] == ["ada"]
    assert summary.purchases.count == 3
    assert [(t.amount, t.currency) for t in summary.purchases.totals] == [(700, "JPY"), (4433, "USD")]
    assert summary.purchases.first_at == datetime(1997, 1, 1, 12, tzinfo=UTC)
    assert summary.purchases.last_at == datetime(1997, 1, 3, 12, tzinfo=UTC)
    assert [entry.data["points"] for entry in summary.timeline] == list(range(12, 2, -1))


async def test_the_summary_of_a_new_customer_is_empty_but_whole(
    profiles: httpx2.AsyncClient, ada: str
) -> None:
    summary = (await profiles.get(f"/v1/customers/{ada}/summary/profiles")).json()

    nothing = {"count": 0, "totals": [], "refunded": [], "net": [], "first_at": None, "last_at": None}
    assert summary["purchases"] == nothing
    assert summary["last_contacted"] is None
    assert summary["timeline"] == []


async def test_an_absorbed_id_answers_with_the_survivor_and_says_so(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    eve = (await profiles.post("/v1/customers", json={"name": "Eve"})).json()["id"]
    await tell(databases["profiles"], points(eve, 1))
    async with databases["profiles"].begin() as session:
        merge = CustomerMerged(
            customer_id=UUID(eve), version=2, survivor_id=UUID(ada), merge_id=uuid4(), sequence=1
        )
        await customers.link(session, Base.metadata, [merge])
    await tell(databases["profiles"], points(eve, 2))

    read = await profiles.get(f"/v1/customers/{eve}")
    changed = await profiles.patch(f"/v1/customers/{eve}", json={"name": "Ada E."})

    assert (read.json()["id"], read.json()["merged_from"]) == (ada, eve)
    assert read.headers["Content-Location"] == f"/v1/customers/{ada}"
    assert (changed.json()["id"], changed.json()["name"]) == (ada, "Ada E.")
    assert (await profiles.get(f"/v1/customers/{eve}/summary/profiles")).json()["customer"]["id"] == ada
    assert len(await entries(profiles, eve)) == len(await entries(profiles, ada)) == 2


async def test_what_is_told_of_somebody_who_is_not_on_file_is_dropped(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    await tell(databases["profiles"], points(str(uuid4()), 1), points(ada, 2))

    async with databases["profiles"]() as session:
        owners = list(await session.scalars(select(TimelineEntry.customer_id)))
    assert owners == [UUID(ada)]


async def test_what_staff_write_for_each_other_is_shown_to_staff_only(
    client: ClientFactory, profiles: httpx2.AsyncClient, ada: str
) -> None:
    left = {"reason": "price", "note": "Difficult on the phone."}
    assert (await profiles.post(f"/v1/customers/{ada}/exit", json=left)).status_code == 201
    managed = {"manager": "li.na", "reason": "Nobody else wants them."}
    assert (await profiles.put(f"/v1/customers/{ada}/manager", json=managed)).status_code == 200
    partner, own = client("profiles", Role.PARTNER), client("profiles", Role.CUSTOMER, customer_id=UUID(ada))
    for path in ("timeline", "summary/profiles"):
        told = (await profiles.get(f"/v1/customers/{ada}/{path}")).text
        assert "Difficult on the phone." in told
        assert "Nobody else wants them." in told
        for reader in (partner, own):
            answer = await reader.get(f"/v1/customers/{ada}/{path}")
            entries = {each["type"]: each["data"] for each in answer.json()[ITEMS[path]]}
            assert entries["customer.left"] == {"reason": "price"}
            assert entries["manager.assigned"] == {"manager": "li.na"}
