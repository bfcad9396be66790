"""Refunds as they are sent and answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label, Reference, Source
from crm_profiles.models.purchases import Refund
from crm_profiles.schemas.base import Body
from crm_shared.contracts.base import Money
from crm_shared.fields import Instant, Whole


class RefundLineIn(Body):
    """What is given back of one line; quantity 0: only money, the pieces are kept."""

    line: Whole = Field(ge=1, le=100, description="position in the order, from 1")
    quantity: Whole = Field(ge=0, le=1_000_000, description="pieces that come back")
    amount: Money

    @model_validator(mode="after")
    def _is_something(self) -> "RefundLineIn":
        if self.amount.amount < 0:
            raise PydanticCustomError("amount_out_of_range", "What is given back is not negative")
        if self.amount.amount == self.quantity == 0:
            raise PydanticCustomError("refund_empty", "Neither pieces nor money are given back")
        return self


class RefundIn(Body):
    """What is given back of an order, as the shop tells of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": "web-shop",
                    "external_id": "r-2026-000017",
                    "occurred_at": "2026-03-01T09:30:00Z",
                    "reason": "It arrived broken",
                    "lines": [{"line": 1, "quantity": 1, "amount": {"amount": 1466, "currency": "USD"}}],
                },
                {
                    "source": "web-shop",
                    "external_id": "r-2026-000018",
                    "occurred_at": "2026-03-01T09:30:00Z",
                },
            ]
        }
    )

    source: Source
    external_id: Reference
    occurred_at: Instant = Field(description="when it was given back")
    reason: Label | None = None
    lines: list[RefundLineIn] | None = Field(
        default=None, min_length=1, max_length=100, description="absent: all that is left of the order"
    )

    @model_validator(mode="after")
    def _names_each_line_once(self) -> "RefundIn":
        lines = [line.line for line in self.lines or ()]
        if len(set(lines)) < len(lines):
            raise PydanticCustomError("line_repeated", "Each line is named once")
        return self


class RefundLineOut(BaseModel):
    """What was given back of one line."""

    line: int
    quantity: int
    amount: Money


class RefundOut(BaseModel):
    """What was given back of an order at one time."""

    id: UUID
    purchase_id: UUID
    customer_id: UUID = Field(description="whose purchase it is")
    source: str = Field(max_length=64)
    external_id: str = Field(max_length=128)
    occurred_at: datetime
    recorded_at: datetime
    reason: str | None = Field(max_length=200)
    total: Money = Field(description="sum of the lines' amounts")
    lines: list[RefundLineOut]
    purchase_version: int = Field(description="the purchase's version after it")

    @classmethod
    def of(cls, refund: Refund) -> "RefundOut":
        names = cls.model_fields.keys() - {"total", "lines"}
        return cls(
            **{name: getattr(refund, name) for name in names},
            total=Money(amount=refund.amount, currency=refund.currency),
            lines=[
                RefundLineOut(
                    line=line.line,
                    quantity=line.quantity,
                    amount=Money(amount=line.amount, currency=refund.currency),
                )
                for line in refund.lines
            ],
        )
