"""Which published events may earn points, and what rules may ask of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from crm_loyalty.postings import SOURCE
from crm_loyalty.rules.happenings import Happening, Value
from crm_shared.contracts.base import Event
from crm_shared.contracts.loyalty import ActivityAttended
from crm_shared.contracts.profiles import (
    ConsentChanged,
    CustomerChanged,
    CustomerCreated,
    InteractionRecorded,
    StageChanged,
)
from crm_shared.contracts.tickets import TicketOpened, TicketResolved

_TICKET = ("kind", "severity", "channel")
_PROFILE = ("address", "birth_date", "contact_points", "gender", "language", "occupation", "region")


@dataclass(frozen=True, slots=True)
class Published:
    """An event that may earn points."""

    once_per: tuple[str, ...]
    """Fields: however often it is told with the same ones, it happened once."""
    properties: tuple[str, ...] = ()
    """Fields that rules may ask for."""
    known: tuple[str, ...] = ()
    """Fields of which rules may ask only whether they are known: then they are true."""
    happened_at: str | None = None
    """The field; None: when it was published."""


_KNOWN: Mapping[type[Event], Published] = {
    CustomerCreated: Published(
        ("customer_id",), ("channel", "source"), known=_PROFILE, happened_at="created_at"
    ),
    CustomerChanged: Published(("customer_id", "version"), known=_PROFILE),
    ConsentChanged: Published(("customer_id", "version")),
    StageChanged: Published(
        ("customer_id", "stage", "since"), ("stage", "previous", "reason"), happened_at="since"
    ),
    InteractionRecorded: Published(
        ("interaction_id",),
        ("channel", "direction", "purpose", "feedback_score", "duration_seconds"),
        happened_at="occurred_at",
    ),
    TicketOpened: Published(("ticket_id",), _TICKET, happened_at="opened_at"),
    TicketResolved: Published(("ticket_id",), _TICKET),
    ActivityAttended: Published(("invitation_id",), ("activity_id",), happened_at="attended_at"),
}


def type_of(event: type[Event]) -> str:
    """What rules call it: its type without the version of its contract."""
    return event.type.rpartition(".")[0]


TYPES: Mapping[str, type[Event]] = {type_of(event): event for event in _KNOWN}


def properties_of(event: type[Event]) -> tuple[str, ...]:
    """What rules may ask of it; of a consent, the state of each purpose and channel: `newsletter.email`."""
    if event is ConsentChanged:
        return ("purpose.channel",)
    return (*_KNOWN[event].properties, *_KNOWN[event].known)


def is_ours(event: Event) -> bool:
    """It did not arrive from anywhere: it is told of as it happens."""
    return isinstance(event, ActivityAttended)


def source(event: Event) -> str:
    """Who told of it."""
    return SOURCE if is_ours(event) else event.envelope.source


def external_id(event: Event) -> str:
    """What is the same however often it is told."""
    fields = _KNOWN[type(event)].once_per
    return " ".join([type_of(type(event)), *(_text(getattr(event, name)) for name in fields)])


def happening(event: Event) -> Happening:
    """What rules look at."""
    field = _KNOWN[type(event)].happened_at
    at = getattr(event, field) if field else None
    return Happening(at or event.envelope.time, type_of(type(event)), _properties(event))


def _properties(event: Event) -> dict[str, Value]:
    if isinstance(event, ConsentChanged):
        return {f"{each.purpose}.{each.channel}": each.state.value for each in event.permission.consents}
    about = _KNOWN[type(event)]
    told = {name: getattr(event, name) for name in about.properties}
    known: dict[str, Value] = {name: True for name in about.known if getattr(event, name)}
    return known | {name: _value(value) for name, value in told.items() if value is not None}


def _value(value: Value | UUID) -> Value:
    return str(value) if isinstance(value, UUID) else value


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
