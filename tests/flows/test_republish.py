"""Topics filled from the tables: who has had the events sees no difference, who is new catches up."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from tests.flows.conftest import Settle

from crm_profiles.state import STATES
from crm_shared.database import Sessions
from crm_shared.operate import republish_state
from crm_shared.outbox import Outbox
from crm_shared.testing import FrozenClock, published

Customer = Callable[..., Awaitable[UUID]]
Purchase = Callable[..., Awaitable[None]]


async def republish(sessions: Sessions, *, anew: bool = False) -> None:
    for walk in STATES.values():
        await republish_state(sessions, walk, anew=anew)


@pytest.mark.parametrize("anew", [False, True])
async def test_who_has_had_the_events_sees_no_difference(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    databases: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    anew: bool,
) -> None:
    who = await customer(contact_points=[{"kind": "email", "value": "Ming@example.com"}])
    await purchase(who, 30_000, clock.now())
    await settle()
    before = {name: len(await published(databases[name])) for name in ("segmentation", "tickets", "loyalty")}

    await republish(databases["profiles"], anew=anew)
    await republish(databases["profiles"], anew=anew)
    await settle()

    assert {name: len(await published(databases[name])) for name in before} == before
    told = len(await published(databases["profiles"]))
    assert told == (6 if anew else 4), "each told once, and from its state once more or as often as asked"
    assert (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"] == 300


async def test_who_is_new_catches_up(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    segmentation: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    who, other = await customer(), await customer()
    await purchase(other, 30_000, clock.now())
    wish = {"survivor_id": str(who), "absorbed_id": str(other)}
    merge = await profiles.post("/v1/merges", json=wish, headers={"Idempotency-Key": "merge"})
    assert merge.status_code == 201, merge.text
    async with databases["profiles"].begin() as session:
        await session.execute(Outbox.metadata.tables["outbox"].delete())

    await republish(databases["profiles"])
    await settle()

    assert (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"] == 300
    assert (await segmentation.get(f"/v1/rfm/{who}")).json()["level"] == "vip"


async def test_who_is_new_counts_the_messages_of_before(
    customer: Customer,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    who = await customer()
    for purpose in ("greeting", "service"):
        body = {"source": "mailer", "external_id": purpose, "customer_id": str(who), "purpose": purpose}
        body |= {"channel": "email", "sent_at": clock.now().isoformat()}
        assert (await profiles.post("/v1/messages", json=body)).status_code == 201
    async with databases["profiles"].begin() as session:
        await session.execute(Outbox.metadata.tables["outbox"].delete())

    await republish(databases["profiles"])
    await settle()

    for name in ("tickets", "loyalty"):
        async with databases[name]() as session:
            rows = await session.execute(text("SELECT customer_id, purpose FROM sent_messages"))
        assert rows.all() == [(who, "greeting")]
