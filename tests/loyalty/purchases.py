"""What the tests of loyalty hear of purchases that came back."""

from datetime import datetime, timedelta

from crm_shared.contracts.base import Event, Money
from crm_shared.contracts.profiles import PurchaseRecorded, PurchaseRefunded, RefundLineState
from crm_shared.ids import uuid7
from crm_shared.testing import arrived


def refunded(
    purchase: Event, cents: int | None = None, *, line: int | None = None, at: datetime | None = None
) -> Event:
    """So much of the purchase, or of one line, or all of it, was given back: then, or else the day after."""
    assert isinstance(purchase, PurchaseRecorded)
    back = purchase.total if cents is None else Money(amount=cents, currency="USD")
    return arrived(
        PurchaseRefunded(
            customer_id=purchase.customer_id,
            version=2,
            purchase_id=purchase.purchase_id,
            refund_id=uuid7(),
            source="shop",
            external_id=str(uuid7()),
            occurred_at=at or purchase.occurred_at + timedelta(days=1),
            total=back,
            lines=[] if line is None else [RefundLineState(line=line, quantity=0, amount=back)],
            purchased_at=purchase.occurred_at,
            purchase_total=purchase.total,
            refunded_total=back,
            status="refunded" if back == purchase.total else "partly_refunded",
        )
    )
