"""An erasure through the whole system: topics are clear in time, and a new broker brings nobody back."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import create_async_engine
from tests.canaries import Canary, left_over, on_topics, planted, until
from tests.capabilities.conftest import LIMITS, FreshKey
from tests.system.invariants import SERVICES

from crm_local.apache_kafka import ApacheKafka
from crm_local.ports import free_block
from crm_local.system import System
from crm_profiles.state import STATES
from crm_shared.callers import Role
from crm_shared.database import async_url, create_sessions
from crm_shared.operate import republish_state

APACHE = os.environ.get("CRM_TEST_KAFKA") == "apache"

RETENTION, SEGMENT = 20, 5
FORGETFUL = {"TOPIC_RETENTION_DAYS": str(RETENTION / 86400), "TOPIC_SEGMENT_SECONDS": str(SEGMENT)}
"""Topics that are clear half a minute after an erasure."""
BUSY = 90
"""Seconds that a crowded machine may add where a receipt counts in days."""


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own, with nobody on file, on a broker of the kind that is tested."""
    broker = ApacheKafka(tmp_path_factory.mktemp("kafka"), free_block()) if APACHE else None
    if broker:
        broker.start()
    folder = tmp_path_factory.mktemp("system")
    with System.throwaway(folder, broker=broker, environment=LIMITS | FORGETFUL).start() as started:
        yield started
    if broker:
        broker.stop()


@pytest_asyncio.fixture
async def admin(forgetful: System) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=forgetful.address,
        headers={"Authorization": f"Bearer {forgetful.token(Role.ADMIN)}"},
        auth=FreshKey(),
        timeout=15,
    ) as client:
        yield client


@pytest.mark.capability("P15")
@pytest.mark.timeout(420)
async def test_an_erased_person_leaves_the_topics_in_time_and_does_not_return_with_a_new_broker(
    forgetful: System, admin: httpx2.AsyncClient
) -> None:
    canary = await planted(admin, admin)
    planted_on = await on_topics(forgetful, canary)
    assert {"profiles.events", "profiles.customers.state", "tickets.events"} <= planted_on.keys()

    receipt = await erased(admin, canary)
    if APACHE:  # the embedded broker deletes and compacts in its own way
        clear_at = datetime.fromisoformat(receipt["topics_clear_at"])
        await asyncio.sleep((clear_at - datetime.now(UTC)).total_seconds())

        async def clear() -> bool:
            return await on_topics(forgetful, canary) == {}

        await until(clear, within=BUSY)

    await new_broker(forgetful)
    assert await on_topics(forgetful, canary) | await left_over(forgetful, canary) == {}

    await tell_states_again(forgetful)
    assert await on_topics(forgetful, canary) | await left_over(forgetful, canary) == {}


async def erased(admin: httpx2.AsyncClient, canary: Canary) -> dict[str, str]:
    """The receipt, once every service has confirmed."""
    asked = await admin.post("/v1/privacy/erasures", json={"customer_id": canary.ids["customer_id"]})
    assert asked.status_code == 202, asked.text

    async def complete() -> dict[str, str] | None:
        receipt: dict[str, str] = (await admin.get(asked.headers["Location"])).json()
        return receipt if receipt["complete"] else None

    receipt: dict[str, str] = await until(complete, within=60)
    return receipt


async def new_broker(system: System) -> None:
    """The broker loses everything, and has again what outboxes hold."""
    lost = await outboxes(system, "SELECT cluster_id FROM broker")
    await asyncio.to_thread(system.wipe_broker)

    async def noticed() -> bool:
        known = await outboxes(system, "SELECT cluster_id FROM broker")
        return all(known[service] not in (None, lost[service]) for service in SERVICES)

    await until(noticed, within=90)
    await all_sent(system)


async def tell_states_again(system: System) -> None:
    """What `republish --from-state` does for each kind of state."""
    engine = create_async_engine(async_url(system.databases["profiles"].app_url))
    for walk in STATES.values():
        await republish_state(create_sessions(engine), walk)
    await engine.dispose()
    await all_sent(system)


async def all_sent(system: System) -> None:
    async def sent() -> bool:
        left = await outboxes(system, "SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        return not any(left.values())

    await until(sent, within=90)
    await asyncio.to_thread(system.wait_until_ready)


async def outboxes(system: System, question: str) -> dict[str, Any]:
    """The answer of each service's database."""
    answers = {}
    for service in SERVICES:
        connection = await asyncpg.connect(system.databases[service].owner_url)
        answers[service] = await connection.fetchval(question)
        await connection.close()
    return answers
