"""Values in bodies and parameters, taken exactly as JSON Schema means them and not more leniently."""

import re
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

_YEARS = "^(19|2[0-9])[0-9]{2}-"
"""Far from both ends of the calendar: there the database has infinities, and no room for a time zone."""
_DAY = re.compile(_YEARS + "[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_YEARS + r"[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}\S*")
_NOWHERE = {"localtime", "Factory"}
"""Files in the zones' folder that are no place: one is whatever this host is set to, the other nothing."""


_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Of no width, turning the direction of what follows, or a command to a terminal: by them one name passes
for another."""
_BREAKS = re.compile("[\t-\r\x85\u2028\u2029]+")
_JOINS = (
    "\u0590-\u10ff\u1780-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe0f\U00010a00-\U00011fff\U0001f000-\U0001faff"
)
"""Scripts that are spelled with joiners and non-joiners, as Persian and Hindi are, and emoji."""
_STRAY_JOINERS = re.compile(
    f"(?<![{_JOINS}])[\u200c\u200d]+|[\u200c\u200d]+(?![{_JOINS}\u2190-\u2bff\u200c\u200d])"
)


def without_invisible(text: str) -> str:
    """The text as it can be seen, with the joiners that its script needs."""
    if text.isascii():
        return text if text.isprintable() else _INVISIBLE.sub("", text)
    return _STRAY_JOINERS.sub("", _INVISIBLE.sub("", text))


def _as_seen(value: object) -> object:
    return without_invisible(value) if isinstance(value, str) else value


def _in_one_line(value: object) -> object:
    return _BREAKS.sub(" ", without_invisible(value)) if isinstance(value, str) else value


def _from_integral(value: object) -> object:
    return int(value) if type(value) is float and value.is_integer() else value


def _written_day(value: object) -> object:
    """Left alone, a number or a text of digits would be read as seconds of something."""
    if (isinstance(value, str) and not _DAY.fullmatch(value)) or not isinstance(value, str | date):
        raise PydanticCustomError(
            "date_format", "Input should be a date of the years 1900 to 2999, such as 1998-06-30"
        )
    return value


def _written_instant(value: object) -> object:
    if (isinstance(value, str) and not _INSTANT.fullmatch(value)) or not isinstance(value, str | datetime):
        raise PydanticCustomError(
            "instant_format",
            "Input should be an instant of the years 1900 to 2999, such as 1998-06-30T12:00:00Z",
        )
    return value


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NOWHERE)


def _known_time_zone(name: str) -> str:
    if name not in _time_zones():
        raise PydanticCustomError("time_zone_unknown", "There is no such time zone in the IANA database")
    return name


def require_range(
    part: BaseModel, first: str, last: str, *, at: tuple[str | int, ...] = (), inclusive: bool = False
) -> None:
    """Refuse a range that nothing is in, at its end: for validators of the body that has the part there.

    An end that is missing is open; `inclusive` says that the last value is in the range itself.
    """
    begin, end = getattr(part, first), getattr(part, last)
    if begin is None or end is None or begin < end or (inclusive and begin == end):
        return
    rule = "{last} must not be less than {first}" if inclusive else "{last} must come after {first}"
    raise fault_at((*at, last), PydanticCustomError("range_empty", rule, {"first": first, "last": last}), end)


def fault_at(at: tuple[str | int, ...], error: PydanticCustomError, found: object) -> ValidationError:
    """What a validator of a whole body raises of one part of it."""
    return ValidationError.from_exception_data("body", [InitErrorDetails(type=error, loc=at, input=found)])


# It closes the list of an alias that has bounds: those before it are checked by pydantic's fast core.
whole = BeforeValidator(_from_integral)

legible = BeforeValidator(_in_one_line)
"""Makes one line of a name, without what nobody sees; it stands behind the bounds, as `whole` does."""
legible_lines = BeforeValidator(_as_seen)
"""The same for what may have several lines."""
VISIBLE = (
    r"[^\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]"
)
"""The pattern of a text with something to be seen in it."""

Whole = Annotated[int, Field(strict=True), whole]
"""25, and 25.0 which is the same number in JSON; neither "25" nor true."""
Day = Annotated[
    date,
    BeforeValidator(_written_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": _YEARS}),
]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_written_instant),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _YEARS}),
]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_time_zone)]
