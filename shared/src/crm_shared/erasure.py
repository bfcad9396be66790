"""Erasure: one routine that removes a customer from every table and says what it removed and kept."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, MetaData, String, Table, Update, delete, null, or_, update
from sqlalchemy import Delete as DeleteStatement
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.contracts.base import Event
from crm_shared.contracts.erasure import ErasureConfirmed
from crm_shared.contracts.profiles import CustomerErased
from crm_shared.customers import ErasedCustomer, absorbed_into, stop_writers
from crm_shared.dead_letters import DeadLetter
from crm_shared.idempotency import IdempotencyKey
from crm_shared.jobs import Job
from crm_shared.outbox import Outbox, publish

POLICY = "erasure"
"""Key of a table's `info`: Delete(), Redact(...) or Keep(...); every table that names a customer has one."""


@dataclass(frozen=True)
class Delete:
    """The customer's rows go."""


@dataclass(frozen=True)
class Keep:
    """The customer's rows stay, pseudonymous; `why` is in the receipt."""

    why: str


@dataclass(frozen=True)
class Redact:
    """The customer's rows stay without what these columns hold."""

    columns: tuple[str, ...]
    why: str


@dataclass
class Receipt:
    """What a service did: rows removed or redacted by table, and what it kept and why; goes out as JSON."""

    removed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


class NoErasurePolicy(Exception):
    """A table names a customer and does not say what becomes of its rows when the customer is erased."""


def policies(tables: MetaData) -> dict[Table, Delete | Keep | Redact]:
    """Each table that names a customer, referring ones first, with its policy; raises NoErasurePolicy."""
    found: dict[Table, Delete | Keep | Redact] = {}
    for table in reversed(tables.sorted_tables):
        policy = table.info.get(POLICY)
        if isinstance(policy, Delete | Keep | Redact):
            found[table] = policy
        elif "customer_id" in table.c:
            raise NoErasurePolicy(
                f"{table.name}: set info={{{POLICY!r}: Delete() | Keep(why) | Redact(columns, why)}}"
            )
    return found


async def erase(
    session: AsyncSession,
    tables: MetaData,
    customer_id: UUID,
    *,
    erasure_id: UUID,
    at: datetime,
    lasting: Collection[type[Event]] = (),
) -> Receipt:
    """Remove the customer from the service's tables, its outbox, dead letters, stored replies and jobs.

    Whoever was merged into the customer is the same person and goes with them. Events of the `lasting` types
    stay in the outbox: they carry ids only. Repeating it removes what has come since.
    """
    await stop_writers(session)
    ids = await absorbed_into(session, customer_id)
    await session.execute(
        insert(ErasedCustomer).on_conflict_do_nothing(),
        [{"customer_id": id, "erasure_id": erasure_id, "erased_at": at} for id in ids],
    )
    receipt = Receipt()
    for table, policy in policies(tables).items():
        mine: ColumnElement[bool] = table.c.customer_id.in_(ids)
        if "origin_customer_id" in table.c:
            mine = or_(mine, table.c.origin_customer_id.in_(ids))
        match policy:
            case Keep(why):
                receipt.kept[str(table.name)] = why
            case Delete():
                await _count(session, receipt, str(table.name), delete(table).where(mine))
            case Redact(columns, why):
                cleared = update(table).where(mine).values({name: null() for name in columns})
                await _count(session, receipt, str(table.name), cleared)
                receipt.kept[str(table.name)] = why
    await _erase_shared(session, receipt, ids, [event.type for event in lasting])
    return receipt


async def comply(
    session: AsyncSession,
    tables: MetaData,
    order: CustomerErased,
    confirmation: type[ErasureConfirmed],
    *,
    at: datetime,
) -> None:
    """Erase whom profiles has erased, and confirm it: what every other service does."""
    receipt = await erase(
        session, tables, order.customer_id, erasure_id=order.erasure_id, at=at, lasting=[confirmation]
    )
    confirmed = confirmation(
        customer_id=order.customer_id,
        version=1,
        erasure_id=order.erasure_id,
        service_name=confirmation.service(),
        removed=receipt.removed,
        kept=receipt.kept,
    )
    publish(session, confirmed, at=at, cause=order)


async def _erase_shared(
    session: AsyncSession, receipt: Receipt, ids: Collection[UUID], lasting: Collection[str]
) -> None:
    """The tables that all services have, where a customer is found by key or by name in a text."""
    names = [str(id) for id in ids]
    sent = delete(Outbox).where(Outbox.key.in_(names), Outbox.type.not_in(lasting))
    await _count(session, receipt, "outbox", sent)
    theirs = or_(DeadLetter.key.in_(names), DeadLetter.record_key.in_(names))
    await _count(session, receipt, "dead_letters", delete(DeadLetter).where(theirs))
    named_in_reply = IdempotencyKey.customer_ids.overlap(ids)
    replies = update(IdempotencyKey).where(named_in_reply).values(body=None, headers={}, customer_ids=[])
    await _count(session, receipt, "idempotency_keys", replies)
    job_texts = (Job.params.cast(String), Job.result.cast(String))
    named_in_job = or_(*(text.contains(name) for text in job_texts for name in names))
    await _count(session, receipt, "jobs", delete(Job).where(named_in_job))


async def _count(
    session: AsyncSession, receipt: Receipt, name: str, statement: DeleteStatement | Update
) -> None:
    connection = await session.connection()
    result = await connection.execute(statement)
    if result.rowcount:
        receipt.removed[name] = result.rowcount
