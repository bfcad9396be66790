"""May we write: what is said in profiles is what tickets and loyalty know, before and after merges."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.flows.conftest import LISTENERS, Settle

from crm_profiles.state import STATES
from crm_shared import permission_copies
from crm_shared.contracts.profiles import CustomerMerged, MessageLogged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.operate import republish_state
from crm_shared.outbox import Outbox
from crm_shared.permission_copies import Message
from crm_shared.permissions import Decision, Reason
from crm_shared.testing import FrozenClock, arrived, handle

Customer = Callable[..., Awaitable[UUID]]
SENDERS = ("tickets", "loyalty")
NOON = datetime.fromisoformat("2026-03-02T12:00:00Z")


async def may(
    sessions: Sessions,
    *customers: UUID,
    purpose: str = "marketing",
    channel: str = "email",
    at: datetime = NOON,
) -> dict[UUID, Decision]:
    async with sessions.begin() as session:
        return await permission_copies.may_write(session, customers, purpose=purpose, channel=channel, at=at)


async def reasons(sessions: Sessions, customer: UUID, **asked: Any) -> list[Reason]:
    decision = (await may(sessions, customer, **asked))[customer]
    return [refusal.reason for refusal in decision.refusals]


async def state(profiles: httpx2.AsyncClient, who: UUID, state: str, purpose: str = "marketing") -> None:
    answer = await profiles.put(f"/v1/customers/{who}/consents/{purpose}/email", json={"state": state})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("sender", SENDERS)
async def test_what_customers_say_reaches_whoever_writes_to_them(
    customer: Customer,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    clock: FrozenClock,
    sender: str,
) -> None:
    yes, no, silent = await customer(), await customer(), await customer()
    await state(profiles, yes, "granted")
    await state(profiles, no, "denied")
    await settle()
    decisions = await may(databases[sender], yes, no, silent)
    assert {who: [r.reason for r in decision.refusals] for who, decision in decisions.items()} == {
        yes: [],
        no: [Reason.CONSENT_DENIED],
        silent: [Reason.CONSENT_MISSING],
    }
    clock.advance(timedelta(minutes=1))
    await state(profiles, yes, "denied")
    await settle()
    assert await reasons(databases[sender], yes) == [Reason.CONSENT_DENIED]


@pytest.mark.parametrize("sender", SENDERS)
async def test_copies_decide_as_profiles_does(
    customer: Customer,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    sender: str,
) -> None:
    who = await customer(time_zone="Asia/Shanghai")
    await state(profiles, who, "granted")
    await settle()
    night = datetime.fromisoformat("2026-03-02T14:00:00Z")
    asked = {"purpose": "marketing", "channel": "email", "at": night.isoformat()}
    shown = (await profiles.get(f"/v1/customers/{who}/contact-decision", params=asked)).json()
    decision = (await may(databases[sender], who, at=night))[who]
    assert [refusal.reason for refusal in decision.refusals] == [Reason.QUIET_HOURS]
    assert [reason["reason"] for reason in shown["reasons"]] == ["quiet_hours"]
    assert decision.next_at == datetime.fromisoformat(shown["next_at"])

    await profiles.patch(f"/v1/customers/{who}", json={"time_zone": "Europe/Berlin"})
    await settle()
    assert (await may(databases[sender], who, at=night))[who].allowed
    await profiles.put(
        f"/v1/customers/{who}/quiet-hours",
        json={"windows": [{"days": [1], "start": "14:30", "end": "15:30"}]},
    )
    await settle()
    assert await reasons(databases[sender], who, at=night) == [Reason.QUIET_HOURS]


@pytest.mark.parametrize("sender", SENDERS)
async def test_a_new_policy_holds_for_whoever_writes(
    customer: Customer,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    sender: str,
) -> None:
    who = await customer()
    read = await profiles.get("/v1/contact-policy")
    policy = {name: part for name, part in read.json().items() if name != "version"}
    policy["purposes"]["marketing"]["consent"] = "opt_out"
    written = await profiles.put(
        "/v1/contact-policy", json=policy, headers={"If-Match": read.headers["etag"]}
    )
    assert written.status_code == 200, written.text
    assert await reasons(databases[sender], who) == [Reason.CONSENT_MISSING]
    await settle()
    assert await reasons(databases[sender], who) == []


@pytest.mark.parametrize("sender", SENDERS)
async def test_a_merge_lets_the_newest_statement_count_in_copies_too(
    customer: Customer,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    clock: FrozenClock,
    sender: str,
) -> None:
    survivor, absorbed = await customer(), await customer()
    await state(profiles, survivor, "granted")
    clock.advance(timedelta(minutes=1))
    await state(profiles, absorbed, "denied")
    await settle()
    merge = CustomerMerged(
        customer_id=absorbed, version=9, survivor_id=survivor, merge_id=uuid7(), sequence=1
    )
    async with databases[sender].begin() as session:
        await handle(session, LISTENERS[sender], [arrived(merge)])
    assert await reasons(databases[sender], survivor) == [Reason.CONSENT_DENIED]
    assert await reasons(databases[sender], absorbed) == [Reason.CONSENT_DENIED]


@pytest.mark.parametrize("sender", SENDERS)
async def test_everybodys_messages_count_for_a_cap_and_failed_ones_do_not(
    customer: Customer, settle: Settle, databases: dict[str, Sessions], sender: str
) -> None:
    who = await customer()
    sessions = databases[sender]

    def logged(message: UUID, version: int, *, failed: bool = False) -> MessageLogged:
        event = MessageLogged(
            customer_id=who,
            version=version,
            message_id=message,
            purpose="survey",
            channel="sms",
            sent_at=NOON - timedelta(days=1),
            failed=failed,
        )
        return arrived(event)

    ids = [uuid7() for _ in range(4)]
    async with sessions.begin() as session:
        await permission_copies.keep_messages(session, [logged(id, 1) for id in ids], at=NOON)
    assert await reasons(sessions, who, purpose="survey") == []
    own = Message(uuid7(), who, "survey", "email", NOON)
    async with sessions.begin() as session:
        await permission_copies.count_messages(session, [own], at=NOON)
        await permission_copies.count_messages(session, [own], at=NOON)
    assert await reasons(sessions, who, purpose="survey") == [Reason.FREQUENCY_CAP]
    async with sessions.begin() as session:
        await permission_copies.keep_messages(session, [logged(ids[0], 2, failed=True)], at=NOON)
    assert await reasons(sessions, who, purpose="survey") == []


@pytest.mark.parametrize("sender", SENDERS)
async def test_who_is_new_learns_from_the_tables_whom_they_may_write_to(
    customer: Customer,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    sender: str,
) -> None:
    who = await customer()
    await state(profiles, who, "granted")
    async with databases["profiles"].begin() as session:
        await session.execute(Outbox.metadata.tables["outbox"].delete())
    await settle()
    assert await reasons(databases[sender], who) == [Reason.CONSENT_MISSING]
    await republish_state(databases["profiles"], STATES["permissions"])
    await settle()
    assert await reasons(databases[sender], who) == []
