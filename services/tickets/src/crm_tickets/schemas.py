"""The bodies of tickets' requests and answers."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from crm_shared.calendars.days import CalendarDay
from crm_shared.callers import READERS, Caller, Scope
from crm_shared.contracts.calendars import Calendar, Hours
from crm_shared.contracts.segmentation import Level
from crm_shared.fields import VISIBLE, legible, require_range
from crm_tickets.flow import Status, Step, Verdict
from crm_tickets.models import CalendarVersion, Severity, Ticket, TicketChannel, TicketKind

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=VISIBLE), legible]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000, pattern=r"\S")]


class TicketIn(BaseModel):
    """What the customer came with."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "customer_id": "0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d",
                    "kind": "complaint",
                    "severity": "high",
                    "channel": "phone",
                    "title": "Two discs arrived broken",
                    "description": "The parcel of Monday held two broken discs; she wants new ones.",
                }
            ]
        },
    )

    customer_id: UUID
    kind: TicketKind
    severity: Severity = Severity.NORMAL
    channel: TicketChannel = TicketChannel.WEB
    title: Line
    description: Annotated[str, StringConstraints(max_length=10_000)] = ""


class UpheldIn(BaseModel):
    """The complaint is right."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "verdict": "upheld",
                    "cause": "The parcel was packed without padding.",
                    "compensation": "New discs, and points for the trouble",
                }
            ]
        },
    )

    verdict: Literal[Verdict.UPHELD]
    cause: Text = Field(description="what went wrong")
    compensation: Text | None = Field(default=None, description="what is proposed, in words")


class RejectedIn(BaseModel):
    """The complaint is not right: nothing is proposed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"verdict": "rejected", "cause": "The parcel was opened before it was sent back."}]
        },
    )

    verdict: Literal[Verdict.REJECTED]
    cause: Text = Field(description="why it is not")
    compensation: None = None


VerdictIn = Annotated[UpheldIn | RejectedIn, Field(discriminator="verdict")]
"""What was found of a complaint."""


class RespondIn(BaseModel):
    """What the customer was answered."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"message": "We send two new discs today."}]}
    )

    message: Text


class ResolveIn(BaseModel):
    """How the matter was settled."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"resolution": "New discs delivered on Friday."}]}
    )

    resolution: Text


class TicketOut(BaseModel):
    """A ticket and how far it is."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: int = Field(description="for people to name it by")
    customer_id: UUID
    customer_name: str | None = Field(
        default=None, description="for callers with the scope pii:read; null also while it is not known here"
    )
    kind: TicketKind
    severity: Severity
    channel: TicketChannel
    title: str
    description: str
    status: Status
    level: Level | None = Field(default=None, description="the customer's level, which orders the queue")
    due_at: datetime | None = Field(
        default=None, description="when the response, then the resolution is due; null once resolved"
    )
    respond_due_at: datetime
    resolve_due_at: datetime
    policy_version: int = Field(description="of the targets that the ticket is held to")
    verdict: Verdict | None = Field(default=None, description="of a complaint that was investigated")
    cause: str | None = Field(default=None, description="what was found; not shown to customers")
    compensation: str | None = Field(
        default=None, description="what is proposed for it, in words; not shown to customers"
    )
    judged_at: datetime | None = None
    judged_by: str | None = Field(default=None, description="not shown to customers")
    opened_at: datetime
    responded_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    version: int

    @classmethod
    def of(cls, ticket: Ticket, caller: Caller) -> Self:
        """The ticket as this caller may see it."""
        shown = cls.model_validate(ticket)
        if Scope.PII_READ in caller.scopes and ticket.customer is not None:
            shown.customer_name = ticket.customer.name
        if not caller.has(READERS):
            # What staff propose to each other is no promise yet.
            shown.cause = shown.compensation = shown.judged_by = None
        return shown


class StepOut(BaseModel):
    """One step that was taken with a ticket."""

    model_config = ConfigDict(from_attributes=True)

    version: int = Field(description="of the ticket after the step")
    step: Step
    at: datetime
    actor: str | None = None
    artefact: dict[str, JsonValue] = Field(
        description="what the step has produced: the verdict, the answer, the resolution"
    )


class OpenTicketOut(BaseModel):
    """A ticket that somebody has to do something about, at a glance."""

    id: UUID
    number: int
    kind: TicketKind
    severity: Severity
    status: Status
    title: str
    opened_at: datetime
    due_at: datetime | None


class TicketCountsOut(BaseModel):
    """How many tickets the customer has, by status."""

    open: int
    responded: int
    resolved: int
    closed: int


class TicketsSummaryOut(BaseModel):
    """What tickets has to say of a customer at a glance."""

    customer_id: UUID
    counts: TicketCountsOut
    open: list[OpenTicketOut] = Field(description="the most urgent twenty that are open or responded to")


class CalendarIn(Calendar):
    """A calendar as a whole."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Flagship store, Madrid",
                    "time_zone": "Europe/Madrid",
                    "working_hours": [
                        {
                            "days": [1, 2, 3, 4, 5],
                            "hours": [{"start": "10:00", "end": "14:00"}, {"start": "17:00", "end": "20:30"}],
                        },
                        {"days": [6], "hours": [{"start": "10:00", "end": "14:00"}]},
                    ],
                    "holidays": [
                        {
                            "kind": "fixed",
                            "key": "christmas-eve",
                            "names": {"es": "Nochebuena"},
                            "month": 12,
                            "day": 24,
                            "hours": [{"start": "10:00", "end": "13:00"}],
                        },
                        {
                            "kind": "easter",
                            "key": "good-friday",
                            "names": {"es": "Viernes Santo"},
                            "offset": -2,
                        },
                    ],
                    "make_up_days": [{"on": "2026-12-20", "like": 6}],
                }
            ]
        },
    )

    @model_validator(mode="after")
    def _has_years_for_every_holiday(self) -> Self:
        for index, holiday in enumerate(self.holidays):
            require_range(holiday, "from_year", "until_year", at=("holidays", index), inclusive=True)
        return self


class CalendarSummaryOut(BaseModel):
    """The newest version of a calendar at a glance."""

    code: str
    version: int
    name: str
    time_zone: str
    known_until: int | None = Field(
        default=None, description="the last year for which all has been announced"
    )
    created_at: datetime = Field(description="when this version was written")
    created_by: str | None = Field(default=None, description="null: it is there from the start")

    @classmethod
    def of(cls, row: CalendarVersion) -> Self:
        return cls(
            code=row.code,
            version=row.version,
            created_at=row.created_at,
            created_by=row.created_by,
            **{name: row.calendar[name] for name in ("name", "time_zone", "known_until")},
        )


class CalendarOut(Calendar):
    """One version of a calendar."""

    code: str
    version: int
    created_at: datetime
    created_by: str | None = Field(default=None, description="null: it is there from the start")

    @classmethod
    def of(cls, row: CalendarVersion) -> Self:
        return cls(
            code=row.code,
            version=row.version,
            created_at=row.created_at,
            created_by=row.created_by,
            **row.calendar,
        )


class CelebratedOut(BaseModel):
    """A holiday on one of its days."""

    key: str
    names: dict[str, str] = Field(description="by language")
    observed: bool = Field(description="the day off in its stead, for it falls on a weekend")


class CalendarDayOut(BaseModel):
    """One day of a calendar."""

    on: date
    weekday: int = Field(description="1 is Monday")
    hours: list[Hours] = Field(description="none: there is no work")
    make_up: bool = Field(description="a working day in place of another")
    holidays: list[CelebratedOut]

    @classmethod
    def of(cls, day: CalendarDay) -> Self:
        return cls(
            on=day.on,
            weekday=day.on.isoweekday(),
            hours=list(day.hours),
            make_up=day.make_up,
            holidays=[
                CelebratedOut(key=each.holiday.key, names=dict(each.holiday.names), observed=each.observed)
                for each in day.holidays
            ],
        )


class CalendarDaysOut(BaseModel):
    """A year of a calendar, day by day."""

    code: str
    version: int
    year: int
    time_zone: str
    known: bool = Field(
        description="all of the year was announced; otherwise it follows from the rules alone"
    )
    working_days: int = Field(description="days of the year that have hours")
    days: list[CalendarDayOut]
