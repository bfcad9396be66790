"""Erasure: one routine that removes a customer from every table and says what it removed and kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Delete as DeleteStatement
from sqlalchemy import MetaData, Table, Update, delete, null, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.contracts.base import Event
from crm_shared.contracts.erasure import ErasureConfirmed
from crm_shared.contracts.profiles import CustomerErased, CustomerMerged, CustomerUnmerged
from crm_shared.customers import erased, forget, stop_merges, stop_writers
from crm_shared.dead_letters import DeadLetter
from crm_shared.idempotency import IdempotencyKey
from crm_shared.jobs import Job
from crm_shared.outbox import Outbox, publish

POLICY = "erasure"
"""Key of a table's `info`: Delete(), Redact(...) or Keep(...); every table that names a customer has one."""


@dataclass(frozen=True)
class Delete:
    """The customer's rows go: those in which one of the columns `of` names them."""

    of: tuple[str, ...] = ("customer_id",)


@dataclass(frozen=True)
class Keep:
    """The customer's rows stay, pseudonymous; `why` is in the receipt."""

    why: str
    of: tuple[str, ...] = ("customer_id",)


@dataclass(frozen=True)
class Redact:
    """The customer's rows stay without what these columns hold."""

    columns: tuple[str, ...]
    why: str
    of: tuple[str, ...] = ("customer_id",)


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
    absorbed: Collection[UUID] = (),
    erasure_id: UUID,
    at: datetime,
    lasting: Collection[type[Event]] = (),
) -> Receipt:
    """Remove the customer from the service's tables, its outbox, dead letters, stored replies and jobs.

    Who was `absorbed` by the customer is the same person and goes with them. Events of the `lasting` types
    stay in the outbox: they carry ids only. Repeating it removes what has come since.
    """
    await forget(session, tables, customer_id, absorbed, erasure_id=erasure_id, at=at)
    ids = sorted({customer_id, *absorbed})
    receipt = Receipt()
    for table, policy in policies(tables).items():
        mine = or_(*(table.c[name].in_(ids) for name in policy.of))
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
        session,
        tables,
        order.customer_id,
        absorbed=order.absorbed,
        erasure_id=order.erasure_id,
        at=at,
        lasting=[confirmation],
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


async def admit(session: AsyncSession, events: Sequence[Event]) -> list[Event]:
    """Those of a poll that bring nothing back of who is to stay forgotten, or is erased by this very poll.

    Merges and erasures are handled alone, everything else beside each other: what is written by another
    worker meanwhile is there when they look, or comes when their effect can be seen.
    """
    if any(isinstance(event, CustomerMerged | CustomerUnmerged | CustomerErased) for event in events):
        await stop_writers(session)
    else:
        await stop_merges(session)
    orders = [event for event in events if isinstance(event, CustomerErased)]
    forgotten = {id for order in orders for id in (order.customer_id, *order.absorbed)}
    forgotten |= await erased(session, {event.customer_id for event in events if not event.survives_erasure})
    return [event for event in events if event.survives_erasure or event.customer_id not in forgotten]


async def _erase_shared(
    session: AsyncSession, receipt: Receipt, ids: Collection[UUID], lasting: Collection[str]
) -> None:
    """The tables that all services have, where a customer is found by key."""
    names = [str(id) for id in ids]
    sent = delete(Outbox).where(Outbox.key.in_(names), Outbox.type.not_in(lasting))
    await _count(session, receipt, "outbox", sent)
    theirs = or_(DeadLetter.key.in_(names), DeadLetter.record_key.in_(names))
    await _count(session, receipt, "dead_letters", delete(DeadLetter).where(theirs))
    named_in_reply = IdempotencyKey.customer_ids.overlap(ids)
    replies = update(IdempotencyKey).where(named_in_reply).values(body=None, headers={}, customer_ids=[])
    await _count(session, receipt, "idempotency_keys", replies)
    await _count(session, receipt, "jobs", delete(Job).where(Job.customer_ids.overlap(ids)))


async def _count(
    session: AsyncSession, receipt: Receipt, name: str, statement: DeleteStatement | Update
) -> None:
    connection = await session.connection()
    result = await connection.execute(statement)
    if result.rowcount:
        receipt.removed[name] = result.rowcount
