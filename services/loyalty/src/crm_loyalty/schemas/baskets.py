"""Baskets as shops send them: what somebody is about to buy, and what the shop calls the order."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_loyalty.rules.pricing import Basket, Line
from crm_loyalty.schemas.base import Currency
from crm_shared.fields import Whole

MAX_PRICE = 1_000_000_000
MAX_LINES = 200

Product = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class BasketItemIn(BaseModel):
    """Some pieces of one product."""

    model_config = ConfigDict(extra="forbid")

    price: Whole = Field(ge=0, le=MAX_PRICE, description="of one piece, in minor units")
    quantity: Whole = Field(default=1, ge=1, le=10_000)
    product: Product | None = None
    category: Product | None = None
    brand: Product | None = None


class BasketIn(BaseModel):
    """What somebody is about to buy."""

    model_config = ConfigDict(extra="forbid")

    currency: Currency
    lines: list[BasketItemIn] = Field(min_length=1, max_length=MAX_LINES)

    def basket(self) -> Basket:
        return Basket(self.currency, tuple(Line(**line.model_dump()) for line in self.lines))


class OrderReference(BaseModel):
    """What a shop calls its order."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    source: Product
    external_id: Product
