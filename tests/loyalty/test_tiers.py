"""Tiers over HTTP and by events: reached at once, lost late, explained, and no matter of what is spent."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from tests.conftest import ClientFactory
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.loyalty.purchases import refunded
from tests.loyalty.tiers import DAY, END, LADDER, NEW, Json, pass_time, tier, told

from crm_shared.callers import Role
from crm_shared.contracts.loyalty import TierDowngradeAnnounced
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published


async def test_without_a_ladder_there_are_no_tiers(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent
) -> None:
    who = uuid7()
    await receive(purchased(who, 90_000))
    assert (await loyalty.get("/v1/tiers")).status_code == 404
    assert (await loyalty.get(f"/v1/accounts/{who}/tier")).status_code == 404


async def test_a_purchase_raises_its_customer_at_once_and_says_so(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent, sessions: Sessions, ladder: Json
) -> None:
    who = uuid7()
    await receive(purchased(who, 9_999))
    below = await tier(loyalty, who)
    assert (below["tier"], below["next"]) == (None, {"tier": "silver", "threshold": 10_000, "missing": 1})
    await receive(purchased(who, 1), purchased(who, 40_000, currency="EUR"))
    await receive(purchased(who, 50_000))

    found = await tier(loyalty, who)
    assert (found["tier"], found["why"], found["total"]) == ("gold", "reached", 60_000)
    assert datetime.fromisoformat(found["until"]) == END
    assert (found["benefits"]["discount_percent"], found["next"]) == (5, None)
    assert await told(sessions) == [(None, "silver"), ("silver", "gold")]
    changes = (await loyalty.get(f"/v1/accounts/{who}/tier/changes")).json()["items"]
    assert [(each["previous"], each["tier"], each["total"]) for each in changes] == [
        ("silver", "gold", 60_000),
        (None, "silver", 10_000),
    ]


async def test_a_tier_takes_its_discount_off_a_basket(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent, ladder: Json
) -> None:
    who = uuid7()
    body = {"customer_id": str(who), "basket": {"currency": "USD", "lines": [{"price": 1000}]}}
    totals = []
    for cents in (10_000, 40_000):
        await receive(purchased(who, cents))
        quote = await loyalty.post("/v1/quotes", json=body, headers=fresh_key())
        assert quote.status_code in (200, 201), quote.text
        totals.append((quote.json()["total"], [each["kind"] for each in quote.json()["effects"]]))
    assert totals == [(1000, []), (950, ["tier"])]


async def test_spending_points_never_costs_a_tier(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, purchased: MakeEvent, ladder: Json
) -> None:
    who = uuid7()
    await receive(purchased(who, 50_000))
    await give(who, 1000)
    before = await tier(loyalty, who)
    while points := (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"]:
        spent = await loyalty.post(
            f"/v1/accounts/{who}/spend", json={"points": min(points, 400)}, headers=fresh_key()
        )
        assert spent.status_code in (200, 201), spent.text
        assert await tier(loyalty, who) == before


async def test_a_refund_lowers_what_is_counted_and_the_tier_goes_with_the_period(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    sessions: Sessions,
    clock: FrozenClock,
    ladder: Json,
) -> None:
    who = uuid7()
    purchase = purchased(who, 60_000)
    await receive(purchase)
    await receive(refunded(purchase, 45_000))
    found = await tier(loyalty, who)
    assert (found["tier"], found["why"], found["total"], found["falls_to"]) == (
        "gold",
        "held",
        15_000,
        "silver",
    )

    await pass_time(sessions, clock, END + 30 * DAY - timedelta(seconds=1))
    assert (await tier(loyalty, who))["why"] == "grace"
    announced = [row for row in await published(sessions) if row.type == TierDowngradeAnnounced.type]
    assert len(announced) == 1
    event = TierDowngradeAnnounced.model_validate_json(announced[0].data)
    assert (event.tier, event.falls_to, event.falls_at) == ("gold", "silver", END + 30 * DAY)

    await pass_time(sessions, clock, END + 30 * DAY)
    assert (await tier(loyalty, who))["tier"] == "silver"
    assert await told(sessions) == [(None, "gold"), ("gold", "silver")]
    await pass_time(sessions, clock, END + 800 * DAY)
    assert (await told(sessions))[2:] == [("silver", None)], "and nothing is left in the end"


async def test_another_ladder_does_not_let_the_day_be_forgotten_on_which_a_tier_is_lost(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    sessions: Sessions,
    clock: FrozenClock,
    ladder: Json,
) -> None:
    who = uuid7()
    await receive(purchased(who, 60_000))
    assert (await loyalty.put("/v1/tiers", json=LADDER, headers={"If-Match": '"1"'})).status_code == 200
    await pass_time(sessions, clock, clock.now())

    await pass_time(sessions, clock, END + 400 * DAY)

    assert await told(sessions) == [(None, "gold"), ("gold", None)], "it was held for the year after"


async def test_the_year_of_tiers_begins_with_the_programmes_own(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent, ladder: Json
) -> None:
    terms = {"time_zone": "Asia/Shanghai", "expiry": "never", "notice_days": 0}
    written = await loyalty.put("/v1/programme/points-policy", json=terms, headers={"If-Match": '"1"'})
    assert written.status_code == 200, written.text
    who = uuid7()
    await receive(purchased(who, 10_000))

    found = await tier(loyalty, who)

    assert datetime.fromisoformat(found["until"]) == END - timedelta(hours=8)


async def test_whoever_buys_enough_again_keeps_the_tier_for_another_year(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    sessions: Sessions,
    clock: FrozenClock,
    ladder: Json,
) -> None:
    who = uuid7()
    await receive(purchased(who, 60_000))
    await pass_time(sessions, clock, END + 300 * DAY)
    await receive(purchased(who, 55_000, at=clock.now()))
    await pass_time(sessions, clock, END + 500 * DAY)
    assert (await tier(loyalty, who))["tier"] == "gold"
    assert await told(sessions) == [(None, "gold")]


async def test_a_tier_by_invitation_is_given_by_hand_and_ends_by_itself(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions, clock: FrozenClock, ladder: Json
) -> None:
    who = uuid7()
    await give(who, 1)
    until = clock.now() + 10 * DAY
    body = {"tier": "black", "until": until.isoformat(), "reason": "Opened the shop with us"}
    given = await loyalty.put(f"/v1/accounts/{who}/tier/grant", json=body)
    assert (given.status_code, given.json()["tier"], given.json()["why"]) == (200, "black", "granted")
    assert given.json()["granted"]["by"] == "tester"
    assert (await loyalty.put(f"/v1/accounts/{who}/tier/grant", json=body)).json() == given.json()
    await pass_time(sessions, clock, until)
    assert (await tier(loyalty, who))["tier"] is None
    assert await told(sessions) == [(None, "black"), ("black", None)]

    for wrong, status in (({"tier": "tin"}, 404), ({"until": "2020-01-01T00:00:00Z"}, 422)):
        later = body | {"until": (clock.now() + DAY).isoformat()} | wrong
        assert (await loyalty.put(f"/v1/accounts/{who}/tier/grant", json=later)).status_code == status


async def test_what_was_given_by_hand_can_be_ended(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent, clock: FrozenClock, ladder: Json
) -> None:
    who = uuid7()
    await receive(purchased(who, 10_000))
    body = {"tier": "gold", "until": (clock.now() + DAY).isoformat(), "reason": "Sorry"}
    await loyalty.put(f"/v1/accounts/{who}/tier/grant", json=body)
    for _ in range(2):
        ended = await loyalty.delete(f"/v1/accounts/{who}/tier/grant")
        assert (ended.status_code, ended.json()["tier"], ended.json()["granted"]) == (200, "silver", None)


async def test_another_ladder_is_previewed_over_everybody_and_then_reaches_them(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    sessions: Sessions,
    clock: FrozenClock,
    ladder: Json,
) -> None:
    spent = {uuid7(): cents for cents in (5_000, 10_000, 30_000, 30_001, 80_000)}
    await receive(*(purchased(who, cents) for who, cents in spent.items()))
    other = LADDER | {
        "tiers": [
            {"key": "silver", "names": {"en": "Silver"}, "threshold": 20_000},
            {"key": "gold", "names": {"en": "Gold"}, "threshold": 30_001},
        ]
    }
    for period in ("calendar_year", "rolling", "anniversary"):
        preview = (await loyalty.post("/v1/tiers/preview", json=other | {"period": {"kind": period}})).json()
        if period == "anniversary":  # they joined just now, and bought before
            assert {move["tier"] for move in preview["moves"]} == {None}
            continue
        moves = {(move["previous"], move["tier"]): move["customers"] for move in preview["moves"]}
        assert (preview["customers"], preview["stay"]) == (5, 3)
        assert moves == {("silver", "gold"): 1, ("silver", None): 1}
    assert [await tier(loyalty, who) for who in spent][3]["tier"] == "silver", "nothing was written"

    written = await loyalty.put("/v1/tiers", json=other, headers={"If-Match": '"1"'})
    assert written.status_code == 200
    await pass_time(sessions, clock, clock.now())
    tiers = [(await tier(loyalty, who))["tier"] for who in spent]
    assert tiers == [None, "silver", "silver", "gold", "gold"], "up at once, down at the end of the period"
    versions = (await loyalty.get("/v1/tiers/versions")).json()["items"]
    assert [each["version"] for each in versions] == [2, 1]
    assert (await loyalty.get("/v1/tiers", params={"version": 1})).json()["tiers"][0]["threshold"] == 10_000


@pytest.mark.parametrize(
    ("bought", "today", "counts"),
    [
        ("2025-02-26", "2025-02-27", True),
        ("2025-02-27", "2025-02-28", False),
        ("2025-02-28", "2025-02-28", True),
        ("2028-02-27", "2028-02-28", True),
        ("2028-02-28", "2028-02-29", False),
        ("2028-02-28", "2029-02-27", False),
        ("2028-02-29", "2029-02-27", True),
        ("2029-02-27", "2029-02-28", False),
    ],
)
async def test_the_year_of_who_joined_on_29_february_ends_the_same_day_for_all_who_ask(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    clock: FrozenClock,
    bought: str,
    today: str,
    counts: bool,
) -> None:
    who, terms = uuid7(), LADDER | {"period": {"kind": "anniversary"}}
    noon = "T12:00:00+00:00"
    clock.at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert (await loyalty.put("/v1/tiers", json=terms, headers=NEW)).status_code == 200
    await receive(purchased(who, 1, at=clock.at - DAY))
    clock.at = datetime.fromisoformat(today + noon)
    await receive(purchased(who, 60_000, at=datetime.fromisoformat(bought + noon)))

    preview = (await loyalty.post("/v1/tiers/preview", json=terms)).json()
    found = await tier(loyalty, who)

    assert found["total"] == (60_000 if counts else 0)
    assert (preview["moves"], preview["stay"]) == ([], 1)
    assert found["until"] is None or datetime.fromisoformat(found["until"]) > clock.at


@pytest.mark.parametrize(
    ("basis", "expected"), [("spend", 50_000), ("net_spend", 26_000), ("orders", 2), ("points_earned", 259)]
)
async def test_each_basis_counts_what_it_says(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent, basis: str, expected: int
) -> None:
    terms = LADDER | {"basis": basis, "currency": "USD" if basis.endswith("spend") else None}
    assert (await loyalty.put("/v1/tiers", json=terms, headers=NEW)).status_code == 200
    who = uuid7()
    whole, part, kept = purchased(who, 20_000), purchased(who, 10_050), purchased(who, 19_950)
    old = purchased(who, 70_000, at=datetime(2025, 12, 31, tzinfo=UTC))
    await receive(whole, part, kept, old)
    await receive(refunded(whole, 20_000))
    await receive(refunded(part, 4_000))
    assert (await tier(loyalty, who))["total"] == expected


async def test_many_purchases_at_once_raise_once(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    committed: dict[str, Sessions],
    sessions: Sessions,
) -> None:
    assert (await loyalty.put("/v1/tiers", json=LADDER, headers=NEW)).status_code == 200
    who = uuid7()
    await asyncio.gather(*(receive(purchased(who, 5_000)) for _ in range(10)))
    assert (await tier(loyalty, who))["total"] == 50_000
    assert await told(sessions) == [(None, "silver"), ("silver", "gold")]


async def test_the_erased_leave_no_tier(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    erased: MakeEvent,
    sessions: Sessions,
    clock: FrozenClock,
    ladder: Json,
) -> None:
    who = uuid7()
    await receive(purchased(who, 60_000))
    await receive(erased(who))
    await pass_time(sessions, clock, END + 60 * DAY)
    assert (await loyalty.get(f"/v1/accounts/{who}/tier/changes")).json()["items"] == []


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"tiers": LADDER["tiers"][:1] * 2}, "/tiers"),
        ({"tiers": LADDER["tiers"][1::-1]}, "/tiers"),
        ({"currency": None}, ""),
        ({"time_zone": "UTC"}, "/time_zone"),
        ({"period": {"kind": "rolling", "months": 0}}, "/period/months"),
    ],
)
async def test_a_ladder_that_makes_no_sense_is_refused(
    loyalty: httpx2.AsyncClient, wrong: Json, pointer: str
) -> None:
    refused = await loyalty.put("/v1/tiers", json=LADDER | wrong, headers=NEW)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_only_managers_decide_on_tiers_and_customers_see_their_own(
    client: ClientFactory, give: Give, ladder: Json
) -> None:
    who = uuid7()
    await give(who, 1)
    agent, own = client("loyalty", Role.AGENT), client("loyalty", Role.CUSTOMER, customer_id=who)
    assert (await agent.put("/v1/tiers", json=LADDER, headers={"If-Match": '"1"'})).status_code == 403
    assert (await agent.post("/v1/tiers/preview", json=LADDER)).status_code == 403
    assert (await own.get(f"/v1/accounts/{who}/tier")).status_code == 200
    assert (await own.get(f"/v1/accounts/{uuid7()}/tier")).status_code == 404
