"""Whatever happens to the same customers at once waits in turn: nobody waits in a circle."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, text
from tests.loyalty.accounts import differences, insist
from tests.loyalty.care.conftest import BIRTHDAY, TEMPLATE, complaint, person
from tests.loyalty.conftest import Give, MakeEvent, Put
from tests.loyalty.events import talk
from tests.loyalty.purchases import refunded
from tests.loyalty.test_recovery import TERMS, upheld
from tests.loyalty.test_rewards import GIFT
from tests.loyalty.tiers import LADDER, NEW

from crm_loyalty.care.occasions import OCCASION
from crm_loyalty.coupons import series
from crm_loyalty.handlers import due_work_of
from crm_loyalty.ledger import accounts
from crm_loyalty.schemas.tiers import TierGrantIn
from crm_loyalty.tiers import standings, tiers
from crm_shared import due, permission_copies
from crm_shared.contracts.base import Event
from crm_shared.contracts.permissions import Consent, ConsentState, PermissionState
from crm_shared.contracts.profiles import ConsentChanged
from crm_shared.contracts.tickets import TicketClosed, TicketOpened
from crm_shared.database import Sessions, unavailable
from crm_shared.due import DueRow
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived

Json = dict[str, Any]
Receive = Callable[..., Coroutine[None, None, None]]
Turn = Callable[[], Coroutine[None, None, None]]


@pytest.fixture
def turn(
    sessions: Sessions, clock: FrozenClock, apps: Callable[[str], FastAPI]
) -> Callable[[], Awaitable[None]]:
    """All that is due, as one worker of several does it."""
    work = due_work_of(apps("loyalty").state.settings)

    async def run() -> None:
        while True:
            try:
                if not await due.run(sessions, work, clock, limit=20):
                    return
            except Exception as error:
                if not unavailable(error):
                    raise

    return run


async def prepare(loyalty: httpx2.AsyncClient, *tags: str) -> None:
    """Tiers, plans that give points and coupons within a budget, compensations, a reward."""
    coupon = {"names": {"en": "A tenth"}, "value": "percent", "basis_points": 1000}
    plan = BIRTHDAY | {"budget": 100, "action": BIRTHDAY["action"] | {"coupon": "tenth"}}
    for path, body in (
        ("/v1/tiers", LADDER),
        ("/v1/coupon-series/tenth", coupon),
        ("/v1/care/templates/birthday", TEMPLATE),
        ("/v1/care/plans/first", plan | {"audience": {"tags": list(tags[:1])}}),
        ("/v1/care/plans/second", plan | {"audience": {"tags": list(tags[1:])}}),
        ("/v1/rewards/mug", GIFT),
    ):
        written = await loyalty.put(path, json=body, headers=NEW)
        assert written.status_code == 200, written.text
    terms = TERMS | {"monthly_budget": 100_000}
    written = await loyalty.put("/v1/programme/recovery-policy", json=terms, headers={"If-Match": '"1"'})
    assert written.status_code == 200, written.text
    assert (await insist(loyalty, "/v1/rewards/mug/restock", "restock", {"change": 100})).is_success


def consented(customer_id: UUID, version: int) -> Event:
    yes = Consent(
        purpose="greeting",
        channel="email",
        state=ConsentState.GRANTED,
        basis="consent",
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )
    said = ConsentChanged(
        customer_id=customer_id, version=version, permission=PermissionState(consents=[yes])
    )
    return arrived(said)


async def begun(sessions: Sessions, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """The work, once it waits for a lock, as it must for one of ours."""
    task = asyncio.create_task(work)
    async with sessions() as onlooker:
        for _ in range(500):
            if await onlooker.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return task
            await asyncio.sleep(0.01)
    raise AssertionError("the work waits for nobody")


async def test_who_changes_a_tier_does_not_wait_for_the_worker_that_waits_for_them(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    clock: FrozenClock,
    turn: Turn,
    circles: list[str],
) -> None:
    assert (await loyalty.put("/v1/tiers", json=LADDER, headers=NEW)).status_code == 200
    who = uuid7()
    await receive(purchased(who, 10_000))
    assert (await loyalty.put("/v1/tiers", json=LADDER, headers={"If-Match": '"1"'})).status_code == 200
    until = clock.now() + timedelta(days=5)
    body = TierGrantIn(tier="black", until=until, reason="An old friend")

    async with committed["loyalty"].begin() as session:
        await standings.lock(session, [who])
        worker = await begun(committed["loyalty"], turn())
        await tiers.grant(session, who, body, at=clock.now(), by="tester")
    await worker

    assert circles == []
    assert (await loyalty.get(f"/v1/accounts/{who}/tier")).json()["tier"] == "black"
    clock.at = until
    await turn()
    assert (await loyalty.get(f"/v1/accounts/{who}/tier")).json()["tier"] == "silver"


async def test_a_poll_locks_accounts_before_what_its_other_events_lock(
    committed: dict[str, Sessions],
    receive: Receive,
    purchased: MakeEvent,
    give: Give,
    clock: FrozenClock,
    circles: list[str],
) -> None:
    who = uuid7()
    await give(who, 1)
    await receive(consented(who, 2))

    async with committed["loyalty"].begin() as session:
        await accounts.lock(session, [who])
        poll = await begun(committed["loyalty"], receive(consented(who, 3), purchased(who, 100)))
        at = clock.now()
        assert await permission_copies.may_write(session, [who], purpose="greeting", channel="email", at=at)
    await poll

    assert circles == []


async def test_a_poll_locks_the_accounts_of_who_may_earn_by_events_before_what_others_lock(
    committed: dict[str, Sessions],
    forget_rules: None,
    receive: Receive,
    give: Give,
    put: Put,
    clock: FrozenClock,
    circles: list[str],
) -> None:
    await put("talk", event={"types": ["profiles.interaction.recorded"]}, rate={"kind": "fixed", "points": 5})
    who = uuid7()
    await give(who, 1)
    await receive(consented(who, 2))

    async with committed["loyalty"].begin() as session:
        await accounts.lock(session, [who])
        poll = await begun(committed["loyalty"], receive(consented(who, 3), talk(who)))
        at = clock.now()
        assert await permission_copies.may_write(session, [who], purpose="greeting", channel="email", at=at)
    await poll

    assert circles == []


async def test_care_locks_all_accounts_before_it_counts_what_it_gives(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    give: Give,
    clock: FrozenClock,
    turn: Turn,
    apps: Callable[[str], FastAPI],
    circles: list[str],
) -> None:
    clock.at = datetime(2026, 3, 2, 17, tzinfo=UTC)
    early, late = uuid7(), uuid7()
    await receive(person(early, tags=["early"]), person(late, tags=["late"]))
    await give(late, 1)
    await prepare(loyalty, "early", "late")
    await turn()
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)

    async with committed["loyalty"].begin() as session:
        await accounts.lock(session, [late])
        worker = await begun(committed["loyalty"], turn())
        terms = await series.get(session, "tenth")
        key = apps("loyalty").state.settings.coupon_key
        await series.issue_to(session, terms, [late], key=key, at=clock.now())
    await worker

    assert circles == []


async def test_the_end_of_a_complaint_waits_for_the_worker_before_it_locks_what_that_waits_for(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    clock: FrozenClock,
    turn: Turn,
    circles: list[str],
) -> None:
    who, ticket = uuid7(), uuid7()
    await receive(person(who, tags=["early"]), complaint(TicketOpened, who, ticket, 1))
    await prepare(loyalty, "early", "late")
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    occasions = "/v1/care/plans/first/occasions"
    assert [each["state"] for each in (await loyalty.get(occasions)).json()["items"]] == ["held"]
    clock.advance(timedelta(minutes=1))
    ended = complaint(TicketClosed, who, ticket, 2)

    async with committed["loyalty"].begin() as session:
        claimed = select(DueRow.ref).where(DueRow.kind == OCCASION).with_for_update()
        assert len(list(await session.scalars(claimed))) == 1
        poll = await begun(committed["loyalty"], receive(purchased(who, 100), ended))
        await accounts.lock(session, [who])
    await poll

    assert circles == []
    await turn()
    assert [each["state"] for each in (await loyalty.get(occasions)).json()["items"]] == ["done"]


@dataclass
class Crowd:
    """Some customers to whom everything happens."""

    people: list[UUID]
    loyalty: httpx2.AsyncClient
    receive: Receive
    purchased: MakeEvent
    at: datetime

    async def shop(self, number: int) -> None:
        """Polls of purchases, refunds, consents and talks, in any order."""
        dice = Random(number)
        for step in range(3):
            bought = [self.purchased(who, 2_000, at=self.at) for who in dice.sample(self.people, 3)]
            spoken = [consented(who, 2 + number * 100 + step) for who in dice.sample(self.people, 3)]
            poll = [*bought, *spoken, *(talk(who) for who in dice.sample(self.people, 3))]
            dice.shuffle(poll)
            await self.receive(*poll)
            await self.receive(spoken[0], refunded(bought[0], 1_000))

    async def order(self, number: int) -> None:
        """A reward, and every other time not after all."""
        placed = await self.post(number, "reward-orders", {"reward": "mug"})
        if number % 2:
            cancel = f"/v1/reward-orders/{placed['id']}/cancel"
            assert (await insist(self.loyalty, cancel, f"cancel {number}")).is_success

    async def pass_on(self, number: int) -> None:
        to = self.people[(number + 2) % len(self.people)]  # the next one may be the same by then
        await self.post(number, "transfers", {"to": str(to), "points": 3})

    async def report(self, number: int) -> None:
        """An event, told of twice at once."""
        review = {
            "type": "review_written",
            "customer_id": str(self.people[number % len(self.people)]),
            "source": "shop",
            "external_id": f"review {number // 2}",
            "occurred_at": self.at.isoformat(),
        }
        answer = await insist(self.loyalty, "/v1/earning-events", f"report {number}", review)
        assert answer.is_success or answer.json()["code"] == "event_differs", answer.text

    async def spend(self, number: int) -> None:
        await self.post(number, "spend", {"points": 1})

    async def approve(self, recovery_id: str) -> None:
        path = f"/v1/recoveries/{recovery_id}/approve"
        assert (await insist(self.loyalty, path, recovery_id, {"note": "sorry"})).is_success

    async def post(self, number: int, what: str, body: Json) -> Json:
        who = self.people[number % len(self.people)]
        answer = await insist(self.loyalty, f"/v1/accounts/{who}/{what}", f"{what} {number}", body)
        assert answer.is_success, answer.text
        made: Json = answer.json()
        return made


async def test_everything_may_happen_to_the_same_customers_at_once(
    committed: dict[str, Sessions],
    forget_rules: None,
    loyalty: httpx2.AsyncClient,
    give: Give,
    put: Put,
    receive: Receive,
    purchased: MakeEvent,
    merged: MakeEvent,
    unmerged: MakeEvent,
    clock: FrozenClock,
    turn: Turn,
    circles: list[str],
) -> None:
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    crowd = Crowd([uuid7() for _ in range(6)], loyalty, receive, purchased, clock.at)
    first, second, *_ = crowd.people
    await receive(*(person(who) for who in crowd.people))
    for who in crowd.people:
        await give(who, 10_000)
    await prepare(loyalty)
    types = ["review_written", "profiles.interaction.recorded", "profiles.consent.changed"]
    await put("events", event={"types": types}, rate={"kind": "fixed", "points": 5}, budget=150)
    await receive(*(upheld(who, clock) for who in crowd.people))
    proposed = (await loyalty.get("/v1/recoveries?limit=50")).json()["items"]

    async def join_and_part() -> None:
        for number in range(2):
            merge_id = uuid7()
            await receive(merged(first, second, merge_id, version=2 + 2 * number))
            await receive(unmerged(first, second, merge_id, version=3 + 2 * number))

    await asyncio.gather(
        *(crowd.approve(each["id"]) for each in proposed),
        join_and_part(),
        *(turn() for _ in range(2)),
        *(crowd.shop(number) for number in range(2)),
        *(crowd.order(number) for number in range(6)),
        *(crowd.report(number) for number in range(8)),
        *(crowd.pass_on(number) for number in range(4)),
        *(crowd.spend(number) for number in range(24)),
    )
    for _ in ("first", "second"):  # one customer's plans take turns, a moment apart
        clock.advance(timedelta(minutes=1))
        await turn()

    assert circles == []
    assert await differences(committed["loyalty"]) == []
    done = [each["state"] for each in (await loyalty.get("/v1/care/plans/second/occasions")).json()["items"]]
    assert set(done) == {"done"}
