"""Refunds: what the returned lines earned is taken back, and what was paid on them with points comes back."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import NothingToReverse
from crm_loyalty.ledger import ledger
from crm_loyalty.postings import Posting, ReverseWish
from crm_loyalty.rules.refunds import EarnedLine, kept, restored
from crm_shared.contracts.profiles import PurchaseRefunded
from crm_shared.customers import CustomerWasErased

_EARNED = text(
    """
    SELECT t.id, t.reference AS purchase_id, t.points AS given, account.origin_customer_id,
        l.line, l.amount, l.quantity, l.points
    FROM transactions AS t
    JOIN unnest(CAST(:sources AS text[]), CAST(:references AS text[])) AS asked (source, reference)
        USING (source, reference)
    JOIN accounts AS account ON account.id = t.account_id
    JOIN earned_lines AS l ON l.transaction_id = t.id
    WHERE t.kind = 'earn'
    ORDER BY l.transaction_id, l.line FOR UPDATE OF l
    """
).bindparams(bindparam("sources", type_=ARRAY(Text)), bindparam("references", type_=ARRAY(Text)))

_RETURN = text(
    """
    INSERT INTO returned_lines (transaction_id, line, refund_id, amount, quantity)
    SELECT * FROM unnest(CAST(:transaction_ids AS uuid[]), CAST(:lines AS bigint[]),
        CAST(:refund_ids AS uuid[]), CAST(:amounts AS bigint[]), CAST(:quantities AS bigint[]))
    ON CONFLICT DO NOTHING
    """
).bindparams(
    bindparam("transaction_ids", type_=ARRAY(Uuid)),
    bindparam("lines", type_=ARRAY(BigInteger)),
    bindparam("refund_ids", type_=ARRAY(Uuid)),
    bindparam("amounts", type_=ARRAY(BigInteger)),
    bindparam("quantities", type_=ARRAY(BigInteger)),
)

_RETURNED = text(
    """
    SELECT transaction_id, line, CAST(sum(amount) AS bigint) AS amount,
        CAST(sum(quantity) AS bigint) AS quantity
    FROM returned_lines WHERE transaction_id = ANY(CAST(:ids AS uuid[])) GROUP BY transaction_id, line
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))

_PAID = text(
    """
    SELECT asked.source, asked.external_id, t.id, t.points, account.origin_customer_id
    FROM order_payments AS paid
    JOIN unnest(CAST(:sources AS text[]), CAST(:references AS text[])) AS asked (source, external_id)
        USING (source, external_id)
    JOIN transactions AS placed ON placed.id = paid.transaction_id
    JOIN transactions AS t ON (t.id = placed.id AND t.kind = 'spend')
        OR (t.hold_id = placed.hold_id AND t.kind = 'capture')
    JOIN accounts AS account ON account.id = t.account_id
    ORDER BY t.id
    """
).bindparams(bindparam("sources", type_=ARRAY(Text)), bindparam("references", type_=ARRAY(Text)))


class Returned(NamedTuple):
    """What one refund gave back of a line that earned points by that transaction."""

    transaction_id: UUID
    line: int
    refund_id: UUID
    amount: int
    quantity: int


class _Earning(NamedTuple):
    id: UUID
    customer_id: UUID
    points: int


async def reverse(session: AsyncSession, events: Sequence[PurchaseRefunded], *, at: datetime) -> None:
    """Bring what each purchase earned and cost in points to what its refunds so far have left of it.

    Each posting says how much is to be undone in all, not how much more: so it does not matter how often or
    in which portions something was given back, nor what was reversed by hand before.
    """
    postings = [*await _earned(session, events), *await _paid(session, events)]
    if not postings:
        return
    for verdict in await ledger.post(session, postings, at=at):
        # The books of who was erased stay as they are; a part of a point is not given back yet.
        if not isinstance(verdict.refusal, CustomerWasErased | NothingToReverse):
            verdict.accepted()


async def _earned(session: AsyncSession, events: Sequence[PurchaseRefunded]) -> list[Posting]:
    asked = sorted({(event.envelope.source, str(event.purchase_id)) for event in events})
    rows = (
        await session.execute(
            _EARNED, {"sources": [s for s, _ in asked], "references": [r for _, r in asked]}
        )
    ).all()
    if not rows:
        return []
    earned: dict[str, dict[int, EarnedLine]] = {}
    transactions: dict[str, _Earning] = {}
    for row in rows:
        line = EarnedLine(row.line, row.amount, row.quantity, row.points)
        earned.setdefault(row.purchase_id, {})[row.line] = line
        transactions[row.purchase_id] = _Earning(row.id, row.origin_customer_id, row.given)
    told = [event for event in events if str(event.purchase_id) in earned]
    await note(session, [each for event in told for each in _returned(event, transactions, earned)])
    returned = {
        (row.transaction_id, row.line): (row.amount, row.quantity)
        for row in await session.execute(
            _RETURNED, {"ids": sorted(each.id for each in transactions.values())}
        )
    }
    # The last of several refunds of a purchase stands for all: what is returned is reckoned as a whole.
    postings: list[Posting] = []
    for event in {event.purchase_id: event for event in told}.values():
        earning = transactions[str(event.purchase_id)]
        lines = earned[str(event.purchase_id)].values()
        left = sum(kept(each, *returned.get((earning.id, each.line), (0, 0))) for each in lines)
        # What came back while the points were pending was never given.
        postings.append(_posting(event, earning.id, earning.customer_id, earning.points - left))
    return postings


async def note(session: AsyncSession, returned: Sequence[Returned]) -> None:
    """Remember what refunds gave back of lines that earned points; what is known is left alone."""
    if returned:
        names = ("transaction_ids", "lines", "refund_ids", "amounts", "quantities")
        columns = (list(column) for column in zip(*returned, strict=True))
        await session.execute(_RETURN, dict(zip(names, columns, strict=True)))


def _returned(
    event: PurchaseRefunded,
    transactions: Mapping[str, _Earning],
    earned: Mapping[str, Mapping[int, EarnedLine]],
) -> list[Returned]:
    """By line; what earned as a whole is one line, numbered 0."""
    purchase_id = str(event.purchase_id)
    id, lines = transactions[purchase_id].id, earned[purchase_id]
    whole = [Returned(id, 0, event.refund_id, event.total.amount, 0)] if 0 in lines else []
    return whole + [
        Returned(id, line.line, event.refund_id, line.amount.amount, line.quantity)
        for line in event.lines
        if line.line in lines
    ]


async def _paid(session: AsyncSession, events: Sequence[PurchaseRefunded]) -> list[Posting]:
    """What was spent on the orders, or held for them and captured, in proportion to the money given back."""
    latest = {
        (event.order_source, event.order_external_id): event
        for event in events
        if event.order_source is not None and event.order_external_id is not None
    }
    if not latest:
        return []
    asked = {"sources": [key[0] for key in latest], "references": [key[1] for key in latest]}
    postings: list[Posting] = []
    for row in await session.execute(_PAID, asked):
        event = latest[row.source, row.external_id]
        refunded, whole = event.refunded_total.amount, event.purchase_total.amount
        total = restored(row.points, refunded, whole, all_=event.status == "refunded")
        postings.append(_posting(event, row.id, row.origin_customer_id, total))
    return postings


def _posting(event: PurchaseRefunded, transaction_id: UUID, customer_id: UUID, total: int) -> ReverseWish:
    return ReverseWish(
        customer_id=customer_id,
        source=event.envelope.source,
        reference=f"refund {event.refund_id} of {transaction_id}",
        effective_at=event.occurred_at,
        cause=event,
        transaction_id=transaction_id,
        total=total,
    )
