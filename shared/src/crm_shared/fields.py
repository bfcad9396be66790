"""Values in bodies and parameters, taken exactly as JSON Schema means them and not more leniently."""

import re
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d\S*")


def _from_integral(value: object) -> object:
    return int(value) if type(value) is float and value.is_integer() else value


def _written_day(value: object) -> object:
    """Left alone, a number or a text of digits would be read as seconds of something."""
    if (isinstance(value, str) and not _DAY.fullmatch(value)) or not isinstance(value, str | date):
        raise PydanticCustomError("date_format", "Input should be a date such as 1998-06-30")
    return value


def _written_instant(value: object) -> object:
    if (isinstance(value, str) and not _INSTANT.fullmatch(value)) or not isinstance(value, str | datetime):
        raise PydanticCustomError("instant_format", "Input should be an instant such as 1998-06-30T12:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("instant_range", "No calendar here has this instant") from None


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_time_zone(name: str) -> str:
    if name not in _time_zones():
        raise PydanticCustomError("time_zone_unknown", "There is no such time zone in the IANA database")
    return name


# They close the list of an alias that has bounds: before these they would hide them from the JSON schema.
whole = BeforeValidator(_from_integral)
written_day = BeforeValidator(_written_day)

Whole = Annotated[int, Field(strict=True), whole]
"""25, and 25.0 which is the same number in JSON; neither "25" nor true."""
Day = Annotated[date, written_day]
Instant = Annotated[AwareDatetime, BeforeValidator(_written_instant), AfterValidator(_in_utc)]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_time_zone)]
