"""What is about to be reckoned, and what came of it: plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from crm_loyalty.rules.conditions import Cause, CustomerFacts
from crm_loyalty.rules.earning import Earned
from crm_loyalty.rules.refunds import BoughtLine
from crm_shared.contracts.base import Event


@dataclass(frozen=True, slots=True)
class Case:
    """A purchase or an event, whose it is today, and what is known of them."""

    id: UUID
    """Also the reference of its posting."""
    source: str
    """Of its posting."""
    customer_id: UUID
    """Of whom it was told."""
    owner: UUID
    cause: Cause
    customer: CustomerFacts
    bought: Sequence[BoughtLine]
    event: Event | None


@dataclass(frozen=True, slots=True)
class Given:
    """What a case earned; the points can be spent at that instant, None: at once."""

    case: Case
    earned: Earned
    available_at: datetime | None = None
