"""What takes money off a basket, and how much: the same of coupons and of promotions."""

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.rules.pricing import BASIS, ValueKind
from crm_loyalty.schemas.base import Currency, Translations
from crm_loyalty.schemas.baskets import MAX_PRICE, Product
from crm_shared.fields import Whole

_NEEDED = {
    ValueKind.AMOUNT: {"amount", "currency"},
    ValueKind.PERCENT: {"basis_points"},
    ValueKind.FREE_ITEM: {"free_product"},
}


class DiscountIn(BaseModel):
    """An amount, a percentage, or one piece of something."""

    model_config = ConfigDict(extra="forbid")

    names: Translations
    value: ValueKind
    amount: Whole | None = Field(default=None, ge=1, le=MAX_PRICE, description="minor units; for an amount")
    currency: Currency | None = Field(
        default=None, description="of the amounts; only for baskets of this currency"
    )
    basis_points: Whole | None = Field(
        default=None, ge=1, le=BASIS, description="for a percentage: 1500 are 15 %"
    )
    max_discount: Whole | None = Field(
        default=None, ge=1, le=MAX_PRICE, description="of a percentage, at most"
    )
    free_product: Product | None = Field(default=None, description="of which one piece is free")

    @model_validator(mode="after")
    def _is_complete(self) -> "DiscountIn":
        if missing := {name for name in _NEEDED[self.value] if getattr(self, name) is None}:
            raise PydanticCustomError(
                "value_incomplete", "This value needs {names}", {"names": ", ".join(sorted(missing))}
            )
        if self.max_discount and self.currency is None:
            raise PydanticCustomError("currency_missing", "Say of which currency max_discount is")
        return self
