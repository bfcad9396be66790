"""Backtests of earning rules as they are asked for and answered."""

from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crm_loyalty.schemas.evaluations import Trial
from crm_loyalty.schemas.programme import FigureOut
from crm_shared.fields import Instant, require_range
from crm_shared.jobs import Job, JobOut


class BacktestIn(Trial):
    """Other rules, and the time of which purchases and events compare them with those in force.

    Give a rule that is to hold for the whole time no dates of validity: they count as they stand.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "since": "2026-01-01T00:00:00Z",
                    "until": "2027-01-01T00:00:00Z",
                    "rules": [
                        {
                            "key": "base",
                            "description": "2 points per whole dollar of each purchase",
                            "currency": "USD",
                            "rate": {"kind": "per_amount", "points": 2, "per_amount": 100},
                            "group": "base",
                        }
                    ],
                }
            ]
        },
    )

    since: Instant = Field(description="what happened from this instant on")
    until: Instant = Field(description="what happened before this instant")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        require_range(self, "since", "until")
        return self


class ComparedOut(BaseModel):
    """Points by the rules in force and by the others."""

    before: int
    after: int


class ExampleOut(ComparedOut):
    """A customer for whom much would change."""

    customer_id: UUID


class BandOut(BaseModel):
    """How many customers would get so many points more or less; null: without end."""

    at_least: int | None
    at_most: int | None
    customers: int


class BacktestReport(BaseModel):
    """What the other rules would have given, beside what those in force would have."""

    purchases: FigureOut
    events: FigureOut
    customers: FigureOut
    before: FigureOut
    after: FigureOut
    liability_change: FigureOut
    recorded: FigureOut
    gaining: FigureOut
    losing: FigureOut
    unchanged: FigureOut
    rules: dict[str, ComparedOut] = Field(description="by rule")
    distribution: list[BandOut] = Field(description="customers by the change of their points")
    most_gained: list[ExampleOut]
    most_lost: list[ExampleOut]


class BacktestOut(BaseModel):
    """A backtest, how far it is, and once it is done what it found."""

    id: UUID
    since: datetime
    until: datetime
    job: JobOut = Field(description="its progress counts purchases and events")
    report: BacktestReport | None

    @classmethod
    def of(cls, job: Job) -> "BacktestOut":
        return cls(
            id=job.id,
            since=datetime.fromisoformat(job.params["since"]).astimezone(UTC),
            until=datetime.fromisoformat(job.params["until"]).astimezone(UTC),
            job=JobOut.of(job).model_copy(update={"result": None}),
            report=BacktestReport.model_validate(job.result) if job.result else None,
        )
