"""What the ledger can be asked to do, and how it answers: plain values."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from crm_loyalty.models.ledger import Kind
from crm_loyalty.rules.earning import Line
from crm_shared.contracts.base import Event
from crm_shared.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One thing to do, at most once for ever per (source, reference)."""

    kind: ClassVar[Kind]

    customer_id: UUID
    source: str
    reference: str
    effective_at: datetime
    cause: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earn(Posting):
    """Give points, as one lot; opens the account of a customer who has none."""

    kind: ClassVar[Kind] = Kind.EARN

    points: int
    expires_at: datetime | None = None
    explanation: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(Posting):
    """What somebody asks for about a customer, mostly in words: refused once the customer was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend(Wish):
    """Take points that are not held, from the lots that expire first."""

    kind: ClassVar[Kind] = Kind.SPEND

    points: int
    reason: str | None = None


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
    explanation: tuple[Line, ...]
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one posting: a movement or a refusal; `repeated` when it had its effect before."""

    posting: Posting
    movement: Movement | None = None
    refusal: Problem | None = None
    repeated: bool = False

    def accepted(self) -> Movement:
        """The movement; raises the refusal."""
        if self.movement is None:
            raise self.refusal or LookupError("a verdict has a movement or a refusal")
        return self.movement
