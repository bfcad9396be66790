"""The way back from a price that was taken: for as long as what it was taken for has not been bought."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons import ending, using
from crm_loyalty.errors import NothingToReverse, OrderWasPurchased, QuoteNotCommitted, QuoteReleased
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.quotes import Quote, QuoteState
from crm_loyalty.postings import Order, Reverse
from crm_loyalty.quotes import budgets, quotes
from crm_shared.contracts.profiles import PurchaseRecorded
from crm_shared.problems import Problem

_REFUSALS: dict[QuoteState, type[Problem]] = {
    QuoteState.OPEN: QuoteNotCommitted,
    QuoteState.RELEASED: QuoteReleased,
    QuoteState.PURCHASED: OrderWasPurchased,
}

_PURCHASED = text(
    """
    UPDATE quotes SET state = 'purchased'
    FROM unnest(CAST(:customers AS uuid[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
        AS bought (customer_id, source, external_id)
    JOIN accounts ON accounts.origin_customer_id = bought.customer_id
    WHERE quotes.customer_id = accounts.customer_id AND quotes.state = 'committed'
        AND quotes.order_source = bought.source AND quotes.order_id = bought.external_id
    """
).bindparams(
    bindparam("customers", type_=ARRAY(Uuid)),
    bindparam("sources", type_=ARRAY(Text)),
    bindparam("ids", type_=ARRAY(Text)),
)


async def release(session: AsyncSession, quote_id: UUID, *, reason: str, at: datetime) -> Quote:
    """Give back what was taken with the price, as a refund of the whole order would, once.

    Raises QuoteNotFound, QuoteNotCommitted, QuoteReleased, OrderWasPurchased.
    """
    customer_id = (await quotes.get(session, quote_id)).origin_customer_id
    await using.lock_customer(session, customer_id)
    # Before the quote, unlike `commit`, which waits for the customer above: so do events of purchases.
    await accounts.lock(session, [customer_id])
    quote = await quotes.get(session, quote_id, lock=True)
    if quote.state is not QuoteState.COMMITTED:
        raise _REFUSALS[quote.state]
    await _give_back(session, quote, reason, at=at)
    quote.state = QuoteState.RELEASED
    await session.flush()
    if quote.order_source is not None and quote.order_id is not None:
        order = Order(quote.order_source, quote.order_id)
        await ending.restore(session, [order], at=at)
        await budgets.restore(session, [order], at=at)
    return quote


async def close(session: AsyncSession, events: Sequence[PurchaseRecorded]) -> None:
    """What was taken for these orders comes back by refunds from now on, and by nothing else.

    Under the locks of the customers' accounts: a release came before, or finds the order bought.
    """
    bought = {(event.customer_id, event.source, event.external_id) for event in events}
    customers, sources, ids = (list(column) for column in zip(*sorted(bought), strict=True))
    await session.execute(_PURCHASED, {"customers": customers, "sources": sources, "ids": ids})


async def _give_back(session: AsyncSession, quote: Quote, reason: str, *, at: datetime) -> None:
    """The points to the lots that they came from."""
    if quote.transaction_id is None:
        return
    back = Reverse(
        customer_id=quote.origin_customer_id,
        source=quotes.SOURCE,
        reference=f"quote {quote.id} released",
        effective_at=at,
        transaction_id=quote.transaction_id,
        reason=reason,
    )
    [verdict] = await ledger.post(session, [back], at=at)
    if not isinstance(verdict.refusal, NothingToReverse):  # somebody may have reversed it by hand
        verdict.accepted()
