"""Refunds: what is given back of a purchase, never more than was bought and is still left."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import Entry
from crm_profiles.bulk import arrays, insert_new
from crm_profiles.customers import customers as archive
from crm_profiles.customers.contact_points import Owner
from crm_profiles.errors import (
    NothingLeftToRefund,
    PurchaseNotFound,
    RefundDiffers,
    RefundExceedsPurchase,
    TooManyRefunds,
)
from crm_profiles.messages import conversions
from crm_profiles.models.purchases import Purchase, PurchaseLine, PurchaseStatus, Refund, RefundLine
from crm_profiles.models.timeline import EntryType
from crm_profiles.rules import instants
from crm_profiles.schemas.refunds import RefundIn, RefundLineIn
from crm_shared import customers
from crm_shared.contracts.base import Money
from crm_shared.contracts.profiles import PurchaseRefunded, RefundLineState
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import Fault, InvalidRequest

MAX_REFUNDS = 100
"""Of one purchase: they are all shown with it."""


@dataclass(frozen=True)
class Given:
    """What a refund gives back of one line."""

    line: int
    quantity: int
    amount: int


@dataclass(frozen=True)
class Refunded:
    """A refund on file, and whether it has only now come there."""

    refund: Refund
    created: bool


async def record(session: AsyncSession, purchase_id: UUID, body: RefundIn, *, at: datetime) -> Refunded:
    """Give back what the body says, or all that is left; telling of it again changes nothing.

    Raises PurchaseNotFound, CustomerWasErased, RefundDiffers, RefundExceedsPurchase, NothingLeftToRefund,
    TooManyRefunds, and InvalidRequest for a line or currency that the purchase does not have, or an instant
    before it was bought or in the future.
    """
    # Neither a merge nor an erasure comes between this and the commit.
    await customers.stop_merges(session)
    purchase = await _lock(session, purchase_id)
    digest = _digest(purchase.id, body)
    known = await _find(session, body.source, body.external_id)
    if known is not None:
        return Refunded(_same(known, digest), created=False)
    _check_time(purchase, body, at)
    await customers.check_not_erased(session, [purchase.customer_id])
    if purchase.version > MAX_REFUNDS:
        raise TooManyRefunds(f"A purchase has at most {MAX_REFUNDS} refunds.")
    given = _everything_left(purchase) if body.lines is None else _asked(purchase, body.lines)
    _take_off(purchase, given)
    row = _row(purchase, body, given, digest, at)
    if await session.scalar(_INSERT, arrays([row], *_COLUMNS)) is None:
        # At this very moment it was given to a refund of another purchase.
        raise RefundDiffers("Another refund has this external id already.")
    lines = [{"refund_id": row["id"]} | asdict(each) for each in given]
    await session.execute(_INSERT_LINES, arrays(lines, *_LINE_COLUMNS))
    refund = await session.get_one(Refund, row["id"], options=[selectinload(Refund.lines)])
    if purchase.status is PurchaseStatus.REFUNDED:
        await archive.hold(session, [purchase.customer_id])
        await conversions.take_back(session, [purchase.id])
    await _tell(session, state(purchase, refund), refund, at=at)
    return Refunded(refund, created=True)


async def find_purchase(session: AsyncSession, source: str, external_id: str) -> UUID:
    """The purchase that a shop calls so; raises PurchaseNotFound."""
    named = select(Purchase.id).where(Purchase.source == source, Purchase.external_id == external_id)
    found = await session.scalar(named)
    if found is None:
        raise PurchaseNotFound(source=source, external_id=external_id)
    return found


async def list_(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[Refund]:
    """What was given back to the customer, the newest first."""
    return await paginate(
        session,
        select(Refund).where(Refund.customer_id == customer_id).options(selectinload(Refund.lines)),
        [Key(Refund.occurred_at, descending=True), Key(Refund.id, descending=True)],
        page=page,
        filters=str(customer_id),
    )


def state(purchase: Purchase, refund: Refund) -> PurchaseRefunded:
    """The event that tells of the refund, and of the purchase after it."""

    def money(amount: int) -> Money:
        return Money(amount=amount, currency=purchase.currency)

    bought = {line.line: line for line in purchase.lines}
    return PurchaseRefunded(
        customer_id=purchase.origin_customer_id,
        version=refund.purchase_version,
        purchase_id=purchase.id,
        refund_id=refund.id,
        source=refund.source,
        external_id=refund.external_id,
        occurred_at=refund.occurred_at,
        total=money(refund.amount),
        lines=[
            RefundLineState(
                line=each.line,
                product=bought[each.line].product,
                category=bought[each.line].category,
                brand=bought[each.line].brand,
                quantity=each.quantity,
                amount=money(each.amount),
            )
            for each in refund.lines
        ],
        order_source=purchase.source,
        order_external_id=purchase.external_id,
        purchased_at=purchase.occurred_at,
        purchase_total=money(purchase.amount),
        refunded_total=money(refund.refunded_total),
        status=refund.purchase_status,
    )


_COLUMNS = tuple(column.name for column in Refund.__table__.c)
_INSERT = insert_new(Refund, *_COLUMNS).returning(Refund.id)
_LINE_COLUMNS = tuple(column.name for column in RefundLine.__table__.c)
_INSERT_LINES = insert_new(RefundLine, *_LINE_COLUMNS)


async def _lock(session: AsyncSession, purchase_id: UUID) -> Purchase:
    """The purchase with its lines as they are now, which nobody else gives back of until we are done."""
    purchase = await session.scalar(
        select(Purchase)
        .where(Purchase.id == purchase_id)
        .options(selectinload(Purchase.lines))
        .with_for_update(key_share=True)
    )
    if purchase is None:
        raise PurchaseNotFound(purchase_id=str(purchase_id))
    return purchase


async def _find(session: AsyncSession, source: str, external_id: str) -> Refund | None:
    named = select(Refund).where(Refund.source == source, Refund.external_id == external_id)
    return await session.scalar(named.options(selectinload(Refund.lines)))


def _same(known: Refund, digest: bytes) -> Refund:
    if known.digest != digest:
        raise RefundDiffers(
            "Another refund has this external id already.",
            refund_id=str(known.id),
            purchase_id=str(known.purchase_id),
        )
    return known


def _digest(purchase_id: UUID, body: RefundIn) -> bytes:
    """Of all that the shop tells; a member that is absent does not count, so new ones can come."""
    told = body.model_dump(mode="json", exclude={"source", "external_id"}, exclude_none=True)
    told |= {"purchase_id": str(purchase_id), "occurred_at": body.occurred_at.isoformat()}
    if body.lines is not None:
        told["lines"] = sorted(told["lines"], key=lambda line: int(line["line"]))
    return sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).digest()


def _check_time(purchase: Purchase, body: RefundIn, now: datetime) -> None:
    instants.check("/occurred_at", body.occurred_at, now=now)
    if body.occurred_at < purchase.occurred_at:
        message = "Nothing is given back before it was bought"
        fault: Fault = {"pointer": "/occurred_at", "code": "before_purchase", "message": message}
        raise InvalidRequest(f"{message}.", errors=[fault])


def _everything_left(purchase: Purchase) -> list[Given]:
    left = [
        Given(line.line, line.quantity - line.refunded_quantity, line.amount - line.refunded)
        for line in purchase.lines
    ]
    given = [each for each in left if each.quantity or each.amount]
    if not given:
        raise NothingLeftToRefund(purchase_id=str(purchase.id))
    return given


def _asked(purchase: Purchase, lines: Sequence[RefundLineIn]) -> list[Given]:
    bought = {line.line: line for line in purchase.lines}
    faults: list[Fault] = []
    for index, asked in enumerate(lines):
        if asked.line not in bought:
            message = f"The purchase has the lines 1 to {len(bought)}"
            faults.append({"pointer": f"/lines/{index}/line", "code": "line_unknown", "message": message})
        if asked.amount.currency != purchase.currency:
            pointer, message = f"/lines/{index}/amount/currency", f"The purchase is in {purchase.currency}"
            faults.append({"pointer": pointer, "code": "currency_mixed", "message": message})
    if faults:
        raise InvalidRequest("The purchase has no such lines.", errors=faults)
    for asked in lines:
        _check_left(bought[asked.line], asked, purchase.currency)
    return [Given(asked.line, asked.quantity, asked.amount.amount) for asked in sorted(lines, key=_number)]


def _number(line: RefundLineIn) -> int:
    return line.line


def _check_left(line: PurchaseLine, asked: RefundLineIn, currency: str) -> None:
    quantity, amount = line.quantity - line.refunded_quantity, line.amount - line.refunded
    if asked.quantity > quantity or asked.amount.amount > amount:
        raise RefundExceedsPurchase(
            f"Of line {line.line} {quantity} pieces and {amount} {currency} (minor units) are left.",
            line=line.line,
            left={"quantity": quantity, "amount": {"amount": amount, "currency": currency}},
        )


def _take_off(purchase: Purchase, given: Sequence[Given]) -> None:
    bought: Mapping[int, PurchaseLine] = {line.line: line for line in purchase.lines}
    for each in given:
        bought[each.line].refunded_quantity += each.quantity
        bought[each.line].refunded += each.amount
        purchase.refunded += each.amount
    money_left = purchase.amount - purchase.refunded
    pieces_left = sum(line.quantity - line.refunded_quantity for line in purchase.lines)
    # What cost nothing is given back with its last piece, everything else with the last of its money.
    over = money_left == 0 and (purchase.amount > 0 or pieces_left == 0)
    purchase.status = PurchaseStatus.REFUNDED if over else PurchaseStatus.PARTLY_REFUNDED
    purchase.version += 1


def _row(purchase: Purchase, body: RefundIn, given: Sequence[Given], digest: bytes, at: datetime) -> Json:
    return {
        "id": uuid7(),
        "purchase_id": purchase.id,
        "customer_id": purchase.customer_id,
        "origin_customer_id": purchase.origin_customer_id,
        "source": body.source,
        "external_id": body.external_id,
        "occurred_at": body.occurred_at,
        "recorded_at": at,
        "reason": body.reason,
        "currency": purchase.currency,
        "amount": sum(each.amount for each in given),
        "purchase_version": purchase.version,
        "purchase_status": purchase.status,
        "refunded_total": purchase.refunded,
        "digest": digest,
    }


async def _tell(session: AsyncSession, event: PurchaseRefunded, refund: Refund, *, at: datetime) -> None:
    """The event for the world, the entry for the customer's timeline, under one id."""
    pieces = sum(line.quantity for line in event.lines)
    title = f"Gave back {pieces} {'piece' if pieces == 1 else 'pieces'}" if pieces else "Got money back"
    entry = Entry(
        id=refund.id,
        owner=Owner(refund.customer_id, refund.origin_customer_id),
        type=EntryType.PURCHASE_REFUNDED,
        occurred_at=refund.occurred_at,
        title=title,
        data=event.model_dump(mode="json", exclude={"customer_id", "version"}),
    )
    await timeline.record(session, [entry], at=at)
    publish(session, event, at=at, id=refund.id)
