"""The members of a customer that have members of their own."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Region
from crm_profiles.schemas.base import Body
from crm_shared.calendars import lunar
from crm_shared.calendars.lunar import LunarDay
from crm_shared.fields import VISIBLE, Whole, legible

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=VISIBLE), legible]
Place = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100, pattern=VISIBLE), legible]
PostalCode = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20, pattern=VISIBLE), legible]


class Address(Body):
    """Where somebody lives or gets parcels; in a patch, absent members stay as they are and null clears."""

    lines: list[Line] | None = Field(
        default=None, max_length=5, description="street, house, flat", examples=[["人民路 1 号"]]
    )
    district: Place | None = Field(default=None, description="part of the city", examples=["黄浦区"])
    city: Place | None = Field(default=None, examples=["上海"])
    province: Place | None = Field(default=None, description="province, state or county", examples=["上海市"])
    postal_code: PostalCode | None = Field(default=None, examples=["200001"])
    country: Region | None = Field(default=None, description="ISO 3166-1", examples=["CN"])


class LunarDate(Body):
    """A day of the Chinese lunar calendar."""

    year: Whole = Field(ge=1900, le=2099, examples=[1988])
    month: Whole = Field(ge=1, le=12, examples=[2])
    day: Whole = Field(ge=1, le=30, examples=[26])
    leap_month: bool = Field(
        default=False, description="the leap month that follows the month of this number"
    )


def _existing(given: LunarDate) -> LunarDate:
    try:
        lunar.to_gregorian(LunarDay(**dict(given)))
    except ValueError as error:
        raise PydanticCustomError(
            "no_lunar_date", "The lunar calendar has no such day: {why}", {"why": str(error)}
        ) from error
    return given


ExistingLunarDate = Annotated[LunarDate, AfterValidator(_existing)]
