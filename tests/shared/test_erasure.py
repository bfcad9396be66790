"""An erased customer is gone from every table, and the receipt says what went and what stayed."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import customers, dead_letters, idempotency, jobs
from crm_shared.contracts.erasure import LoyaltyErasureConfirmed
from crm_shared.contracts.profiles import CustomerCreated
from crm_shared.database import Sessions
from crm_shared.dead_letters import DeadLetter
from crm_shared.erasure import Delete, Keep, NoErasurePolicy, Redact, erase
from crm_shared.idempotency import Claim, IdempotencyKey, ReplyErased, StoredReply
from crm_shared.ids import uuid7
from crm_shared.jobs import Job
from crm_shared.outbox import Outbox, publish

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SECRET = "canary-王小明"
TABLES = MetaData()


def table(name: str, policy: object) -> Table:
    return Table(
        name,
        TABLES,
        Column("id", Integer, primary_key=True),
        Column("customer_id", Uuid),
        Column("note", Text),
        prefixes=["TEMPORARY"],
        info={"erasure": policy},
    )


NOTES = table("notes", Delete())
LEDGER = table("ledger", Keep("the books must balance"))
SURVEYS = table("surveys", Redact(("note",), "scores are counted without their author"))


async def plant(session: AsyncSession, customer_id: UUID) -> None:
    """The customer in every place that may hold one."""
    for place in (NOTES, LEDGER, SURVEYS):
        await session.execute(insert(place).values(customer_id=customer_id, note=SECRET))
    publish(session, CustomerCreated(customer_id=customer_id, version=1, name=SECRET), at=NOW)
    for reason, key in {"failed": str(customer_id), "invalid": None}.items():
        letter = DeadLetter(
            consumer="loyalty",
            topic="profiles.events",
            partition=0,
            offset=1,
            key=key,
            record_key=str(customer_id),
            reason=reason,
            detail="",
            headers={},
            value=SECRET.encode(),
            parked_at=NOW,
        )
        dead_letters.park(session, letter)
    jobs.start(session, "import", {"name": SECRET}, about=[customer_id], at=NOW)
    reply = StoredReply(201, {}, f'{{"id": "{customer_id}", "name": "{SECRET}"}}'.encode())
    await idempotency.remember(session, claim_of(customer_id), reply, at=NOW)
    await session.flush()


def claim_of(customer_id: UUID) -> Claim:
    return Claim("tester", "POST", "/v1/customers", f"key-{customer_id}", b"\1")


async def test_a_customer_is_erased_from_every_table_and_nobody_else_is(sessions: Sessions) -> None:
    gone, other, erasure_id = uuid7(), uuid7(), uuid7()
    async with sessions() as session:
        await (await session.connection()).run_sync(TABLES.create_all)
        await plant(session, gone)
        await plant(session, other)
        publish(
            session,
            LoyaltyErasureConfirmed(
                customer_id=gone,
                version=1,
                erasure_id=erasure_id,
                service_name="loyalty",
                removed={},
                kept={},
            ),
            at=NOW,
        )

        receipt = await erase(
            session, TABLES, gone, erasure_id=erasure_id, at=NOW, lasting=[LoyaltyErasureConfirmed]
        )

        assert receipt.removed == {
            "notes": 1,
            "surveys": 1,
            "outbox": 1,
            "dead_letters": 2,
            "idempotency_keys": 1,
            "jobs": 1,
        }
        assert receipt.kept == {
            "ledger": "the books must balance",
            "surveys": "scores are counted without their author",
        }
        assert list(await session.scalars(select(NOTES.c.customer_id))) == [other]
        assert set(await session.scalars(select(SURVEYS.c.note))) == {None, SECRET}
        assert set(await session.scalars(select(Outbox.key).where(Outbox.type.contains("customer")))) == {
            str(other)
        }
        assert set(await session.scalars(select(DeadLetter.record_key))) == {str(other)}
        assert len(list(await session.scalars(select(Job.id)))) == 1
        assert await customers.erased(session, [gone, other]) == {gone}
        with pytest.raises(ReplyErased):
            await idempotency.claim(session, claim_of(gone))
        kept = await session.scalar(
            select(IdempotencyKey.body).where(IdempotencyKey.key == claim_of(other).key)
        )
        assert kept is not None
        assert SECRET in kept.decode()


async def test_erasing_twice_removes_nothing_more(sessions: Sessions) -> None:
    gone = uuid7()
    async with sessions() as session:
        await (await session.connection()).run_sync(TABLES.create_all)
        await session.execute(text("DELETE FROM notes"))
        await plant(session, gone)
        await erase(session, TABLES, gone, erasure_id=uuid7(), at=NOW)
        again = await erase(session, TABLES, gone, erasure_id=uuid7(), at=NOW)
        assert again.removed.keys() <= {"surveys"}


async def test_who_was_merged_into_the_customer_is_erased_with_them(sessions: Sessions) -> None:
    first, second, survivor, other, erasure_id = (uuid7() for _ in range(5))
    async with sessions() as session:
        await (await session.connection()).run_sync(TABLES.create_all)
        await session.execute(text("DELETE FROM notes"))
        for customer_id in (first, second, survivor, other):
            await plant(session, customer_id)

        receipt = await erase(
            session, TABLES, survivor, absorbed=[first, second], erasure_id=erasure_id, at=NOW
        )

        assert receipt.removed == {
            "notes": 3,
            "surveys": 3,
            "outbox": 3,
            "dead_letters": 6,
            "idempotency_keys": 3,
            "jobs": 3,
        }
        everybody = [first, second, survivor, other]
        assert await customers.erased(session, everybody) == {first, second, survivor}
        assert list(await session.scalars(select(NOTES.c.customer_id))) == [other]


@pytest.mark.parametrize("spelt", [str, lambda id: str(id).upper(), lambda id: id.hex])
async def test_a_stored_reply_is_found_by_the_path_that_was_asked_for(
    sessions: Sessions, spelt: Callable[[UUID], str]
) -> None:
    gone = uuid7()
    async with sessions() as session:
        reply, path = StoredReply(200, {}, b'{"name": "canary"}'), f"/v1/customers/{spelt(gone)}"
        await idempotency.remember(session, claim_of(gone), reply, path=path, at=NOW)
        await erase(session, MetaData(), gone, erasure_id=uuid7(), at=NOW)
        with pytest.raises(ReplyErased):
            await idempotency.claim(session, claim_of(gone))


async def test_stored_replies_are_found_by_their_index(sessions: Sessions) -> None:
    async with sessions() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        statement = "EXPLAIN SELECT key FROM idempotency_keys WHERE customer_ids && CAST(:ids AS uuid[])"
        plan = "\n".join(await session.scalars(text(statement), {"ids": [uuid7()]}))
        assert "ix_idempotency_keys_customer_ids" in plan


async def test_jobs_are_found_by_their_index(sessions: Sessions) -> None:
    async with sessions() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        statement = "EXPLAIN DELETE FROM jobs WHERE customer_ids && CAST(:ids AS uuid[])"
        plan = "\n".join(await session.scalars(text(statement), {"ids": [uuid7()]}))
        assert "ix_jobs_customer_ids" in plan


async def test_a_table_that_names_customers_must_say_what_becomes_of_them(sessions: Sessions) -> None:
    careless = MetaData()
    Table("visits", careless, Column("id", Integer, primary_key=True), Column("customer_id", Uuid))
    async with sessions() as session:
        with pytest.raises(NoErasurePolicy, match="visits"):
            await erase(session, careless, uuid7(), erasure_id=uuid7(), at=NOW)
