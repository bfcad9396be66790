"""Care across services: from what profiles knows to the message in its log, also where loyalty came later."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from tests.flows.conftest import Settle
from tests.loyalty.care.conftest import Care

from crm_loyalty.carriers import sending
from crm_loyalty.handlers import due_work_of
from crm_profiles.state import STATES
from crm_shared.database import Sessions
from crm_shared.operate import republish_state
from crm_shared.outbox import Outbox
from crm_shared.testing import FrozenClock

Customer = Callable[..., Awaitable[UUID]]

MING: dict[str, Any] = {
    "language": "zh",
    "time_zone": "Asia/Shanghai",
    "birth_date": "1990-03-03",
    "contact_points": [{"kind": "email", "value": "ming@shop.example"}],
}


@pytest.fixture
def care(
    loyalty: httpx2.AsyncClient,
    databases: dict[str, Sessions],
    clock: FrozenClock,
    settle: Settle,
    apps: Callable[[str], FastAPI],
) -> Care:
    settings = apps("loyalty").state.settings
    send = sending.sender(sending.carriers_of(settings))
    return Care(loyalty, databases["loyalty"], clock, settle, due_work_of(settings), send)


async def messages_of(profiles: httpx2.AsyncClient, who: UUID) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await profiles.get(f"/v1/customers/{who}/messages")).json()["items"]
    return items


async def test_a_greeting_that_went_out_stands_in_the_message_log_and_counts_for_everybodys_caps(
    care: Care,
    customer: Customer,
    settle: Settle,
    profiles: httpx2.AsyncClient,
    databases: dict[str, Sessions],
) -> None:
    who = await customer(**MING)
    await settle()
    await care.write()
    await care.at("2026-03-02T17:00:00Z")
    assert await care.occasions() == [("planned", None)]
    await care.at("2026-03-03T01:00:00Z")
    await settle()
    [logged] = await messages_of(profiles, who)
    assert (logged["purpose"], logged["channel"], logged["campaign"], logged["language"]) == (
        "greeting",
        "email",
        "birthday",
        "zh",
    )
    async with databases["tickets"]() as session:
        counted = await session.execute(text("SELECT customer_id, purpose FROM sent_messages"))
    assert counted.all() == [(who, "greeting")]
    async with databases["loyalty"]() as session:
        own = await session.execute(text("SELECT count(*) FROM sent_messages"))
    assert own.scalar_one() == 1, "what comes back to us is what we had counted"


async def test_a_consent_that_profiles_takes_back_before_the_day_stops_the_greeting(
    care: Care, customer: Customer, settle: Settle, profiles: httpx2.AsyncClient
) -> None:
    who = await customer(**MING)
    await settle()
    await care.write()
    await care.at("2026-03-02T17:00:00Z")
    said = await profiles.put(f"/v1/customers/{who}/consents/greeting/email", json={"state": "denied"})
    assert said.status_code == 200, said.text
    await settle()
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("skipped", "consent_denied")]


async def test_a_loyalty_that_comes_later_cares_for_those_who_were_there_before(
    care: Care,
    customer: Customer,
    settle: Settle,
    profiles: httpx2.AsyncClient,
    databases: dict[str, Sessions],
) -> None:
    other = [{"kind": "email", "value": "other@shop.example"}]
    greeted, silent = await customer(**MING), await customer(**MING | {"contact_points": other})
    await profiles.put(f"/v1/customers/{silent}/consents/greeting/email", json={"state": "denied"})
    async with databases["profiles"].begin() as session:
        await session.execute(Outbox.metadata.tables["outbox"].delete())
    for noun in ("customers", "permissions"):
        await republish_state(databases["profiles"], STATES[noun])
    await settle()
    await care.write()
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("done", None), ("skipped", "consent_denied")]
    assert [each["customer_id"] for each in await care.mailbox()] == [str(greeted)]


@pytest.mark.parametrize(
    "lost",
    ["DELETE FROM addressees", "UPDATE addressees SET birthday = NULL, time_zone = NULL, email = NULL"],
)
async def test_a_copy_that_was_emptied_or_lacks_new_columns_becomes_right_when_told_anew(
    care: Care, customer: Customer, settle: Settle, databases: dict[str, Sessions], lost: str
) -> None:
    await customer(**MING)
    await republish_state(databases["profiles"], STATES["customers"])
    await settle()
    async with databases["loyalty"].begin() as session:
        await session.execute(text(lost))
    await republish_state(databases["profiles"], STATES["customers"])
    await settle()
    await care.write()
    assert await care.dry_run("2026-03-03") == {}, "the inbox remembers what was told like this before"

    await republish_state(databases["profiles"], STATES["customers"], anew=True)
    await settle()
    care.clock.advance(timedelta(minutes=10))
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions() == [("done", None)]
