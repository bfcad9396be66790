"""What the ledger can be asked to do, and how it answers: plain values."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from crm_loyalty.models.ledger import HoldState, Kind
from crm_loyalty.rules.earning import Line
from crm_loyalty.rules.refunds import EarnedLine
from crm_shared.contracts.base import Event
from crm_shared.outbox import Author
from crm_shared.problems import Problem

SOURCE = "/crm/loyalty"
"""Who asks for what loyalty does by itself."""
CARE = "care"
"""Who asks for what care plans give; the occasion is the reference."""
ATTENDANCE, RECOVERY, REFERRAL = "attendance", "recovery", "referral"
"""How the references begin of what `SOURCE` asks for on these grounds."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a shop calls a purchase, maybe before we hear of it."""

    source: str
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One thing to do, at most once for ever per (source, reference)."""

    kind: ClassVar[Kind]

    customer_id: UUID
    source: str
    reference: str
    effective_at: datetime
    cause: Event | None = None
    author: Author | None = None
    """Who asks for it, where that is not who the session writes for."""

    @property
    def concerned(self) -> tuple[UUID, ...]:
        """The customers whose points it may move."""
        return (self.customer_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earn(Posting):
    """Give points, as one lot; opens the account of a customer who has none.

    They expire as the programme's policy says, unless the posting says when.
    """

    kind: ClassVar[Kind] = Kind.EARN

    points: int
    expires_at: datetime | None = None
    explanation: tuple[Line, ...] = ()
    lines: tuple[EarnedLine, ...] = ()
    """What each line of the purchase earned, also what was given back while it was pending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(Posting):
    """What somebody asks for about a customer, mostly in words: refused once the customer was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend(Wish):
    """Take points that are not held, from the lots that expire first."""

    kind: ClassVar[Kind] = Kind.SPEND

    points: int
    reason: str | None = None
    order: Order | None = None
    """What was paid with them: they come back as it is refunded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjust(Wish):
    """Put right by hand: give points, or with a negative number take them."""

    kind: ClassVar[Kind] = Kind.ADJUST

    points: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold(Wish):
    """Reserve points until an instant."""

    kind: ClassVar[Kind] = Kind.HOLD

    points: int
    expires_at: datetime
    purpose: str | None = None
    order: Order | None = None
    """What will be paid with them once the hold is captured: they come back as it is refunded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution(Posting):
    """The end of a hold."""

    hold_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture(Resolution):
    """Spend what is held; refused from the instant on at which the hold runs out."""

    kind: ClassVar[Kind] = Kind.CAPTURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Resolution):
    """Give back what is held."""

    kind: ClassVar[Kind] = Kind.RELEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOut(Resolution):
    """Give back what nobody captured in time."""

    kind: ClassVar[Kind] = Kind.RUN_OUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire(Posting):
    """Take what is left of a lot whose time is over, but for what holds have reserved before."""

    kind: ClassVar[Kind] = Kind.EXPIRE

    lot_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverse(Posting):
    """Undo a movement of points: what was given is taken back, what was spent goes back to its lots.

    `total` is how much of it is undone after this, all reversals together; None: all of it. By itself it is
    what follows from something else, whoever it concerns; see also ReverseWish.
    """

    kind: ClassVar[Kind] = Kind.REVERSE

    transaction_id: UUID
    total: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseWish(Reverse, Wish):
    """A reversal that somebody asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Wish):
    """Give points that are not held to another customer: they keep their age and their expiry."""

    kind: ClassVar[Kind] = Kind.TRANSFER

    to: UUID
    points: int
    reason: str | None = None

    @property
    def concerned(self) -> tuple[UUID, ...]:
        return (self.customer_id, self.to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive(Posting):
    """Get what another customer transferred; nobody asks for it, it is the other half of a transfer."""

    kind: ClassVar[Kind] = Kind.RECEIVE

    transfer_id: UUID

    @staticmethod
    def of(transfer_id: UUID) -> str:
        """The reference of the receipt of a transfer."""
        return f"receipt {transfer_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Posting):
    """Pay what is owed with points that would expire; nobody asks for it, the ledger does it by itself."""

    kind: ClassVar[Kind] = Kind.SETTLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A posting that had its effect, as the ledger keeps it; `balance` and `held` are its owner's."""

    id: UUID
    kind: Kind
    source: str
    reference: str
    account_id: UUID
    version: int
    points: int
    balance: int
    held: int
    hold_id: UUID | None
    reverses: UUID | None
    explanation: tuple[Line, ...]
    effective_at: datetime
    recorded_at: datetime


@dataclass(slots=True)
class HoldRecord:
    """A hold and what it reserves in which account; `transaction_id` is set when it was placed here."""

    id: UUID
    customer_id: UUID
    origin_customer_id: UUID
    points: int
    parts: dict[UUID, int]
    state: HoldState
    reference: str | None
    placed_at: datetime
    expires_at: datetime
    resolved_at: datetime | None = None
    transaction_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one posting: a movement or a refusal; `repeated` when it had its effect before."""

    posting: Posting
    movement: Movement | None = None
    refusal: Problem | None = None
    repeated: bool = False
    hold: HoldRecord | None = None
    """What the posting made of a hold; None of one that is repeated."""

    def accepted(self) -> Movement:
        """The movement; raises the refusal."""
        if self.movement is None:
            raise self.refusal or LookupError("a verdict has a movement or a refusal")
        return self.movement
