"""What a basket or an event would earn, as it is asked and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.schemas.accounts import LineOut
from crm_loyalty.schemas.base import Currency, Key
from crm_loyalty.schemas.earning_events import Properties
from crm_loyalty.schemas.earning_rules import EarningRuleIn, EventType, Name
from crm_shared.fields import Instant, Whole

MAX_AMOUNT = 2**53

AmountOf = Annotated[Whole, Field(ge=0, le=MAX_AMOUNT, description="minor units of the currency")]


class BasketLineIn(BaseModel):
    """One line of a basket, numbered as it stands; the amount is of all pieces, after discounts."""

    model_config = ConfigDict(extra="forbid")

    amount: AmountOf
    quantity: Whole = Field(default=1, ge=0, le=1_000_000)
    product: Name | None = None
    category: Name | None = None
    brand: Name | None = None


class UnsavedRuleIn(EarningRuleIn):
    """A rule to be tried; it stands for the one in force with the same key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": []})

    key: Key


class Trial(BaseModel):
    """Rules to be tried beside those in force, or instead of them."""

    model_config = ConfigDict(extra="forbid")

    rules: list[UnsavedRuleIn] = Field(default=[], max_length=100, description="rules that nobody has saved")
    without: list[Key] = Field(default=[], max_length=100, description="rules in force to leave out")

    @field_validator("rules")
    @classmethod
    def _each_key_once(cls, rules: list[UnsavedRuleIn]) -> list[UnsavedRuleIn]:
        if len({rule.key for rule in rules}) < len(rules):
            raise PydanticCustomError("key_repeated", "Each key may stand once")
        return rules


class HappeningIn(BaseModel):
    """An event that may happen."""

    model_config = ConfigDict(extra="forbid")

    type: EventType
    properties: Properties = {}


class EvaluationIn(Trial):
    """A basket or an event, for a customer or for nobody in particular, now or at another instant."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "currency": "USD",
                    "lines": [
                        {"amount": 1500, "quantity": 2, "category": "jazz"},
                        {"amount": 1433, "category": "pop"},
                    ],
                    "channel": "web",
                },
                {"event": {"type": "review_written", "properties": {"stars": 5}}},
            ]
        },
    )

    customer_id: UUID | None = Field(
        default=None, description="null: somebody of whom nothing is known, at their first purchase"
    )
    occurred_at: Instant | None = Field(default=None, description="null: now")
    event: HappeningIn | None = Field(default=None, description="instead of a basket")
    currency: Currency | None = Field(default=None, description="of the basket")
    lines: list[BasketLineIn] = Field(default=[], max_length=500, description="the basket")
    channel: Name | None = None
    shop: Name | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> "EvaluationIn":
        basket = (self.currency, self.lines)
        if self.event is None and not all(basket):
            raise PydanticCustomError("nothing_to_evaluate", "Send a basket, currency and lines, or an event")
        if self.event is not None and any((*basket, self.channel, self.shop)):
            raise PydanticCustomError("basket_and_event", "An event has no basket, channel or shop")
        return self


class CustomerFactsOut(BaseModel):
    """What the rules were told of the customer."""

    model_config = ConfigDict(from_attributes=True)

    level: str | None
    tier: str | None
    number: int = Field(
        description="which of the customer's purchases it would be, as we hear of them: the first is 1"
    )
    birthday_offset: int | None = Field(
        description="days since their nearest birthday, negative before it; null: it is not known"
    )
    segments: Annotated[list[str], BeforeValidator(sorted)]


class DecisionOut(BaseModel):
    """What became of one rule."""

    rule: str
    version: int = Field(description="0: a rule that nobody has saved")
    applies: bool = Field(description="its conditions hold")
    points: int
    text: str | None = Field(description="how they were reckoned")
    why_not: list[str] = Field(description="what is against it, or against more points")


class EvaluationOut(BaseModel):
    """What the basket or the event would earn; the lines add up to the points."""

    occurred_at: datetime
    points: int
    lines: list[LineOut]
    rules: list[DecisionOut] = Field(description="every rule, in the order in which they are asked")
    customer: CustomerFactsOut
    time_zone: str = Field(description="of the programme: days and hours are of this")
    rounding: str = Field(description="what becomes of parts of an amount, once per purchase and rule")
