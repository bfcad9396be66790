"""Backtests: who gains and who loses by other rules, from purchases that were really made."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from tests.loyalty.conftest import MakeEvent, Put, Receive

from crm_loyalty.earning import backtests
from crm_loyalty.handlers import jobs as work
from crm_loyalty.rules.comparing import Replay
from crm_loyalty.rules.conditions import CustomerFacts, Purchase
from crm_loyalty.rules.earning import Cap, Fixed, Policy, Rounding, Rule
from crm_loyalty.rules.periods import Period
from crm_loyalty.rules.tally import FEW
from crm_shared import jobs
from crm_shared.contracts.base import Event
from crm_shared.contracts.segmentation import MembershipEntered, MembershipLeft
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived

Backtest = Callable[..., Awaitable[Any]]

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
YEAR = {"since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}


def membership(customer_id: UUID, version: int, *, entered: bool = True) -> Event:
    made = MembershipEntered if entered else MembershipLeft
    return arrived(
        made(
            customer_id=customer_id,
            version=version,
            segment="readers",
            segment_version=1,
            reason="books",
            occurred_at=NOON + timedelta(days=version),
        )
    )


def rule(key: str, rate: dict[str, Any], **terms: Any) -> dict[str, Any]:
    return {"key": key, "description": key, "rate": rate} | terms


@pytest.fixture
def backtest(loyalty: httpx2.AsyncClient, sessions: Sessions, clock: FrozenClock) -> Backtest:
    """Runs one to its end and gives its report."""

    async def run(**body: Any) -> Any:
        started = await loyalty.post("/v1/earning-rules/backtests", json=YEAR | body)
        assert started.status_code == 202, started.text
        assert started.json()["report"] is None
        assert await jobs.run(sessions, work, clock)
        done = (await loyalty.get(started.headers["Location"])).json()
        assert done["job"]["state"] == "succeeded", done
        return done["report"]

    return run


async def test_it_says_who_gains_and_who_loses_and_by_which_rule(
    receive: Receive, bought: MakeEvent, backtest: Backtest
) -> None:
    ann, bob, carl = uuid7(), uuid7(), uuid7()
    await receive(bought(ann, ("jazz", 20_000)), bought(bob, ("pop", 500)), bought(carl, ("pop", 300)))
    await receive(bought(ann, ("jazz", 100)), bought(carl, ("rock", 99), at=NOON + timedelta(days=400)))
    jazz = rule("jazz", {"kind": "per_amount", "points": 2, "per_amount": 100}, currency="USD")
    some = rule("some", {"kind": "fixed", "points": 3})

    report = await backtest(rules=[jazz | {"when": {"categories": ["jazz"]}}, some], without=["base"])

    figures = {name: figure["value"] for name, figure in report.items() if "definition" in figure}
    assert figures == {
        "purchases": 4,
        "events": 0,
        "customers": 3,
        "before": 209,
        "after": 402 + 12,
        "liability_change": 205,
        "recorded": 209,
        "gaining": 1,
        "losing": 1,
        "unchanged": 1,
    }
    assert report["rules"] == {
        "base": {"before": 209, "after": 0},
        "jazz": {"before": 0, "after": 402},
        "some": {"before": 0, "after": 12},
    }
    assert report["most_gained"] == [{"customer_id": str(ann), "before": 201, "after": 408}]
    assert report["most_lost"] == [{"customer_id": str(bob), "before": 5, "after": 3}]
    bands = {(b["at_least"], b["at_most"]): b["customers"] for b in report["distribution"] if b["customers"]}
    assert bands == {(100, 999): 1, (0, 0): 1, (-9, -1): 1}


@pytest.mark.parametrize("limit", [{"budget": 60}, {"caps": [{"period": "month", "points": 35}]}, {}])
async def test_the_same_rules_would_have_given_what_they_gave(
    receive: Receive,
    bought: MakeEvent,
    put: Put,
    backtest: Backtest,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, Any],
) -> None:
    monkeypatch.setattr(backtests, "CHUNK", 7)
    rate = {"kind": "fixed", "points": 9}
    await put("base", rate=rate, when={"purchase_numbers": [1, 2, 3, 5, 8, 13]}, **limit)
    people = [uuid7() for _ in range(5)]
    for day in range(8):
        await receive(*(bought(person, ("a", 1), at=NOON + timedelta(days=day)) for person in people))

    report = await backtest()

    assert report["recorded"]["value"] == report["before"]["value"] == report["after"]["value"] > 0
    assert report["unchanged"]["value"] == report["customers"]["value"] == 5
    assert report["purchases"]["value"] == 40


async def test_who_was_merged_counts_once(
    receive: Receive, bought: MakeEvent, merged: MakeEvent, backtest: Backtest
) -> None:
    ann, anne = uuid7(), uuid7()
    await receive(bought(ann, ("a", 500)), bought(anne, ("a", 500)), merged(anne, ann, uuid7()))

    report = await backtest(rules=[rule("more", {"kind": "fixed", "points": 1})])

    assert report["most_gained"] == [{"customer_id": str(ann), "before": 10, "after": 12}]


async def test_it_writes_nothing_and_goes_with_whom_it_names(
    receive: Receive,
    bought: MakeEvent,
    erased: MakeEvent,
    backtest: Backtest,
    sessions: Sessions,
) -> None:
    ann, bob = uuid7(), uuid7()
    await receive(bought(ann, ("a", 500)), bought(bob, ("a", 500)))

    async def books() -> list[tuple[UUID, int]]:
        async with sessions() as session:
            rows = await session.execute(text("SELECT customer_id, balance FROM accounts ORDER BY 1"))
            return [(row.customer_id, row.balance) for row in rows]

    before = await books()
    await backtest(rules=[rule("more", {"kind": "fixed", "points": 1})])
    assert await books() == before

    await receive(erased(ann))
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM jobs")) == 0
        assert await session.scalar(text("SELECT count(*) FROM purchases")) == 1


async def test_it_can_be_cancelled(
    loyalty: httpx2.AsyncClient, sessions: Sessions, clock: FrozenClock
) -> None:
    started = await loyalty.post("/v1/earning-rules/backtests", json=YEAR)
    cancelled = await loyalty.post(started.headers["Location"] + "/cancel")
    again = await loyalty.post(started.headers["Location"] + "/cancel")

    assert (cancelled.json()["job"]["state"], again.json()["code"]) == ("cancelled", "job_ended")
    assert not await jobs.run(sessions, work, clock)


async def test_a_time_that_ends_before_it_begins_is_refused(loyalty: httpx2.AsyncClient) -> None:
    answer = await loyalty.post(
        "/v1/earning-rules/backtests", json={"since": YEAR["until"], "until": YEAR["since"]}
    )

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/until")


@pytest.mark.parametrize("limit", [{"budget": 320}, {"caps": [{"period": "month", "points": 70}]}, {}])
async def test_events_are_reckoned_anew_among_the_purchases_with_what_was_known_then(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    bought: MakeEvent,
    put: Put,
    backtest: Backtest,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, Any],
) -> None:
    monkeypatch.setattr(backtests, "CHUNK", 7)
    readers = {"segments": {"any_of": ["readers"]}}
    await put("base", rate={"kind": "fixed", "points": 9}, when=readers, **limit)
    review = {"types": ["review_written"], "properties": [{"name": "stars", "at_least": 3}]}
    await put("review", event=review, rate={"kind": "fixed", "points": 20}, when=readers, **limit)
    people = [uuid7() for _ in range(4)]
    for day in range(6):
        at = NOON + timedelta(days=day)
        await receive(*(bought(person, ("a", 1), at=at) for person in people))
        for stars, person in enumerate(people, start=2):
            body = {
                "type": "review_written",
                "customer_id": str(person),
                "source": "shop",
                "external_id": f"{day} {person}",
                "occurred_at": at.isoformat(),
                "properties": {"stars": stars},
            }
            assert (await loyalty.post("/v1/earning-events", json=body)).status_code == 201
        await receive(membership(people[day % 4], day + 1, entered=day < 4))

    report = await backtest()

    assert report["recorded"]["value"] == report["before"]["value"] == report["after"]["value"] > 0
    assert (report["purchases"]["value"], report["events"]["value"]) == (24, 24)
    assert report["rules"]["review"]["before"] > 0


def test_with_a_budget_only_caps_of_the_time_that_is_reached_are_remembered() -> None:
    """Else a backtest of years with a cap per day would need room for every customer's every day."""
    rule = Rule("r", 1, Fixed(10), caps=(Cap(Period.DAY, 15),), budget=10**9)
    replay, whole = (Replay([rule], [], Policy("UTC", Rounding.DOWN)) for _ in range(2))
    people = [uuid7() for _ in range(FEW // 2)]
    most = 0
    for day in range(8):
        at = NOON + timedelta(days=day)
        for customer_id in people:
            for each in (replay, whole):
                each.reckon(customer_id, Purchase(at, 100, "USD", ()), CustomerFacts())
        replay.pass_to(at)
        most = max(most, len(replay.tallies[0].used))

    assert most <= 2 * FEW < len(whole.tallies[0].used)
    replay.settle()
    whole.settle()
    assert replay.found == whole.found
    assert replay.found.before == len(people) * 8 * 10
