"""Which message a purchase is credited to: what was given back wholly is credited to none."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import httpx2
import pytest
from tests.patience import patiently
from tests.profiles.merging import merged, undone

from crm_profiles.handlers import subscriptions
from crm_shared.contracts import loyalty
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, handle

DAY = timedelta(days=1)
BEGIN = datetime.fromisoformat("2026-01-10T12:00:00Z")


class Sent(NamedTuple):
    """A message as the test remembers it."""

    id: UUID
    at: datetime
    failed: bool


async def customer(profiles: httpx2.AsyncClient) -> str:
    identity: str = (await profiles.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    return identity


async def buy(profiles: httpx2.AsyncClient, who: str, at: datetime) -> str:
    total = {"amount": 100, "currency": "USD"}
    body: dict[str, Any] = {"source": "shop", "external_id": str(uuid7()), "customer_id": who}
    body |= {"occurred_at": at.isoformat(), "currency": "USD", "lines": [{"quantity": 2, "total": total}]}
    answer = await profiles.post("/v1/purchases", json=body)
    assert answer.status_code == 201, answer.text
    identity: str = answer.json()["id"]
    return identity


async def give_back(profiles: httpx2.AsyncClient, purchase: str, at: datetime, *, amount: int = 100) -> None:
    line = {"line": 1, "quantity": 1, "amount": {"amount": amount, "currency": "USD"}}
    body: dict[str, Any] = {"source": "shop", "external_id": str(uuid7()), "occurred_at": at.isoformat()}
    body |= {"lines": [line]}
    answer = await patiently(lambda: profiles.post(f"/v1/purchases/{purchase}/refunds", json=body))
    assert answer.status_code == 201, answer.text


async def send(sessions: Sessions, who: str, message: Sent, *, at: datetime) -> None:
    kind = loyalty.MessageFailed if message.failed else loyalty.MessageSent
    facts = {"purpose": "greeting", "channel": "email", "sent_at": message.at}
    facts |= {"failed_at": message.at} if message.failed else {}
    event = arrived(kind(customer_id=UUID(who), version=1, message_id=message.id, **facts))
    async with sessions.begin() as session:
        await handle(session, subscriptions, [event], at=at)


async def credited(profiles: httpx2.AsyncClient, who: str) -> dict[str, list[str]]:
    found = (await profiles.get(f"/v1/customers/{who}/messages?limit=200")).json()["items"]
    return {item["id"]: sorted(item["purchase_ids"]) for item in found}


def recomputed(bought: Mapping[str, datetime], kept: set[str], sent: list[Sent]) -> dict[str, list[str]]:
    """What crediting each purchase that was kept, one by one, gives."""
    found: dict[str, list[str]] = {str(message.id): [] for message in sent}
    for purchase in kept:
        at = bought[purchase]
        before = [m for m in sent if not m.failed and m.at <= at < m.at + 7 * DAY]
        if before:
            found[str(max(before, key=lambda m: (m.at, m.id)).id)].append(purchase)
    return {message: sorted(purchases) for message, purchases in found.items()}


@pytest.mark.capability("P20")
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_comes_first_credits_are_what_a_plain_recomputation_gives(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock, seed: int
) -> None:
    random = Random(seed)
    ada = await customer(profiles)
    bought: dict[str, datetime] = {}
    kept: set[str] = set()
    sent: list[Sent] = []
    for _ in range(25):
        at = BEGIN + timedelta(hours=random.randrange(400))
        match random.choice(["buy", "send", "refund", "part"]):
            case "buy":
                purchase = await buy(profiles, ada, at)
                bought[purchase] = at
                kept.add(purchase)
            case "send":
                sent.append(Sent(uuid7(), at, random.random() < 0.2))
                await send(databases["profiles"], ada, sent[-1], at=clock.now())
            case "refund" if kept:
                purchase = random.choice(sorted(kept))
                amount = (await profiles.get(f"/v1/purchases/{purchase}")).json()["net"]["amount"]
                await give_back(profiles, purchase, clock.now(), amount=amount)
                kept.remove(purchase)
            case "part" if kept:
                purchase = random.choice(sorted(kept))
                found = (await profiles.get(f"/v1/purchases/{purchase}")).json()
                if found["lines"][0]["refunded_quantity"] == 0:
                    await give_back(profiles, purchase, clock.now(), amount=1)
    assert await credited(profiles, ada) == recomputed(bought, kept, sent)


async def test_a_refund_and_a_message_at_once_leave_no_credit(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions], clock: FrozenClock
) -> None:
    for _ in range(5):
        ada = await customer(profiles)
        purchase = await buy(profiles, ada, BEGIN + DAY)
        message = Sent(uuid7(), BEGIN, failed=False)
        await asyncio.gather(
            give_back(profiles, purchase, clock.now()),
            send(committed["profiles"], ada, message, at=clock.now()),
        )
        assert await credited(profiles, ada) == {str(message.id): []}


async def test_who_is_merged_and_who_is_two_again_is_credited_by_the_messages_of_that_person(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    ann, bea = await customer(profiles), await customer(profiles)
    first, second = Sent(uuid7(), BEGIN, False), Sent(uuid7(), BEGIN + DAY, False)
    await send(databases["profiles"], ann, first, at=clock.now())
    await send(databases["profiles"], bea, second, at=clock.now())
    before = await buy(profiles, ann, BEGIN + 2 * DAY)
    merge_id = await merged(profiles, {"id": ann}, {"id": bea})
    since = await buy(profiles, ann, BEGIN + 3 * DAY)
    assert await credited(profiles, ann) == {str(first.id): [], str(second.id): sorted([before, since])}

    await undone(profiles, merge_id)
    assert await credited(profiles, ann) == {str(first.id): sorted([before, since])}
    assert await credited(profiles, bea) == {str(second.id): []}
