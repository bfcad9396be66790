"""The single values that bodies are made of, and what each may be."""

from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_time_zone(name: str) -> str:
    if name not in _time_zones():
        raise PydanticCustomError("time_zone_unknown", "There is no such time zone in the IANA database")
    return name


def _as_text(value: object) -> object:
    """Dates and instants are written out; a number would be read as seconds of something."""
    if not isinstance(value, str | date):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    return value


def _as_set(values: Iterable[str] | None) -> list[str]:
    return sorted(set(values or ()))


Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"\S")]
Language = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_time_zone)]
Region = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
Day = Annotated[date, BeforeValidator(_as_text)]
Instant = Annotated[AwareDatetime, BeforeValidator(_as_text)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64, pattern=r"\S")]
Tags = Annotated[list[Tag] | None, AfterValidator(_as_set), Field(max_length=50)]
Source = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Reference = Annotated[str, StringConstraints(strip_whitespace=True, max_length=128, pattern=r"\S")]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"\S")]
