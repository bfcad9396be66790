"""The programme's report: each figure equals what a plain count over the ledger gives."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from tests.conftest import ClientFactory
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.loyalty.events import talk
from tests.loyalty.figures import given, report
from tests.loyalty.purchases import refunded

from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key


async def spend(loyalty: httpx2.AsyncClient, customer: UUID, points: int) -> None:
    answer = await loyalty.post(
        f"/v1/accounts/{customer}/spend", json={"points": points}, headers=fresh_key()
    )
    assert answer.status_code == 201, answer.text


async def test_every_figure_is_what_the_ledger_says(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions, clock: FrozenClock
) -> None:
    ann, ben, cem = (uuid7() for _ in range(3))
    await give(ann, 1000)
    await give(ann, 300, expires_at=clock.now() + timedelta(days=20))
    await give(ben, 200, expires_at=clock.now() + timedelta(days=400))
    await give(ben, 70, expires_at=clock.now() + timedelta(hours=1))
    await give(cem, 40, expires_at=clock.now() + timedelta(days=90))
    await spend(loyalty, ann, 250)
    clock.advance(timedelta(hours=2))
    while await due.run(sessions, due_work, clock):
        pass
    clock.advance(timedelta(days=2))
    await give(cem, 11, expires_at=clock.now() + timedelta(minutes=1))
    clock.advance(timedelta(hours=1))
    day = clock.now().date()

    found = await report(loyalty, str(day - timedelta(days=10)), str(day))

    async with sessions() as session:
        rows = await session.execute(
            text("SELECT programme_account, amount FROM entries WHERE programme_account IS NOT NULL")
        )
        entries = list(rows)
        lots = list(await session.scalars(text("SELECT remaining FROM lots")))
    issued = -sum(amount for name, amount in entries if name == "issued")
    expired = sum(amount for name, amount in entries if name == "expired")
    redeemed = sum(amount for name, amount in entries if name == "redeemed")
    assert (issued, expired, redeemed, sum(lots)) == (1621, 70, 250, 1301)
    assert (found["breakage"]["numerator"], found["breakage"]["denominator"]) == (expired, issued)
    assert (found["redemption"]["numerator"], found["redemption"]["rate"]) == (redeemed, 0.1542)
    active = found["active_members"]
    assert (active["numerator"], active["denominator"], active["rate"]) == (3, 3, 1.0)
    liability = found["liability"]
    assert (liability["points"], liability["value"]) == (sum(lots), {"amount": 1301, "currency": "USD"})
    assert {part["bucket"]: part["points"] for part in liability["parts"] if part["points"]} == {
        "overdue": 11,
        "within_30_days": 50,
        "within_90_days": 40,
        "later": 200,
        "never": 1000,
    }
    assert all(part["definition"] for part in (liability, active, *liability["parts"]))


async def test_points_are_told_apart_by_what_they_were_given_for(
    loyalty: httpx2.AsyncClient,
    give: Give,
    put: Callable[..., Awaitable[None]],
    receive: Receive,
    purchased: MakeEvent,
    clock: FrozenClock,
) -> None:
    ann = uuid7()
    await put("talk", event={"types": ["profiles.interaction.recorded"]}, rate={"kind": "fixed", "points": 5})
    await receive(purchased(ann, 10_000), talk(ann))
    await give(ann, 40)
    for points in (30, -10):
        body = {"points": points, "reason": "A mistake"}
        key = fresh_key()
        assert (await loyalty.post(f"/v1/accounts/{ann}/adjust", json=body, headers=key)).is_success
    balance = (await loyalty.get(f"/v1/accounts/{ann}")).json()["balance"]

    parts = await given(loyalty)

    bought = balance - (5 + 40 + 30 - 10)
    assert bought > 0
    assert parts == {"purchases": bought, "events": 5, "other": 40, "adjustments": 30}
    shares = await report(loyalty, "2024-01-01", "2028-12-31")
    assert shares["redemption"]["denominator"] == shares["breakage"]["denominator"] == sum(parts.values())


async def test_what_was_outside_the_days_does_not_count(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    ann = uuid7()
    await give(ann, 100)
    tomorrow = clock.now().date() + timedelta(days=1)

    found = await report(loyalty, str(tomorrow), str(tomorrow))

    assert found["breakage"]["denominator"] == 0
    assert found["breakage"]["rate"] is None
    assert (found["active_members"]["numerator"], found["active_members"]["denominator"]) == (0, 1)
    assert found["liability"]["points"] == 100


async def test_a_cohort_is_who_bought_first_in_a_month_and_repeats_who_came_back(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    purchased: MakeEvent,
    merged: MakeEvent,
) -> None:
    once, twice, late, one, other = (uuid7() for _ in range(5))
    january, february = (datetime(2026, month, 10, 12, tzinfo=UTC) for month in (1, 2))
    await receive(*(created(id) for id in (once, twice, late, one, other)))
    await receive(
        purchased(once, 100, at=january),
        purchased(twice, 100, at=january),
        purchased(twice, 100, at=february),
        purchased(late, 100, at=february),
        purchased(one, 100, at=january),
        purchased(other, 100, at=february),
    )
    before = (await report(loyalty, "2026-01-01", "2026-02-28"))["repeat_rate"]
    await receive(merged(other, one, uuid7()))
    after = (await report(loyalty, "2026-01-01", "2026-02-28"))["repeat_rate"]

    def shares(cohorts: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
        return [(each["month"], each["numerator"], each["denominator"]) for each in cohorts]

    assert shares(before) == [("2026-01-01", 1, 3), ("2026-02-01", 0, 2)]
    assert shares(after) == [("2026-01-01", 2, 3), ("2026-02-01", 0, 1)]


async def test_who_bought_what_cost_nothing_has_bought(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent
) -> None:
    free, paid, returned = (uuid7() for _ in range(3))
    january, february = (datetime(2026, month, 10, 12, tzinfo=UTC) for month in (1, 2))
    whole = purchased(returned, 100, at=january)
    await receive(
        purchased(free, 0, at=january),
        purchased(free, 0, at=february),
        purchased(paid, 0, at=january),
        purchased(paid, 100, at=february),
        whole,
    )
    await receive(refunded(whole, 100))

    [cohort] = (await report(loyalty, "2026-01-01", "2026-02-28"))["repeat_rate"]

    assert (cohort["month"], cohort["numerator"], cohort["denominator"]) == ("2026-01-01", 2, 2)


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        ("2026-03-02", "2026-03-01", "period_ends_before_it_begins"),
        ("1990-01-01", "2026-03-01", "period_too_long"),
    ],
)
async def test_days_that_make_no_period_are_refused(
    loyalty: httpx2.AsyncClient, first: str, last: str, code: str
) -> None:
    answer = await loyalty.get(f"/v1/programme/report?from={first}&to={last}")
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_the_report_is_for_those_who_lead(client: ClientFactory) -> None:
    path = "/v1/programme/report?from=2026-03-01&to=2026-03-02"
    assert (await client("loyalty", Role.AGENT).get(path)).status_code == 403
    assert (await client("loyalty", Role.SUPERVISOR).get(path)).status_code == 200
