"""Values at the edge of what may be written."""

from zoneinfo import available_timezones

import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text

from crm_shared.database import Sessions
from crm_shared.fields import Day, Instant, TimeZone

DAY = TypeAdapter[object](Day)
INSTANT = TypeAdapter[object](Instant)
TIME_ZONE = TypeAdapter[object](TimeZone)


def takes(adapter: TypeAdapter[object], value: str) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


async def test_the_database_knows_every_time_zone_that_is_taken(sessions: Sessions) -> None:
    taken = {name for name in available_timezones() if takes(TIME_ZONE, name)}
    async with sessions() as session:
        known = set(await session.scalars(text("SELECT name FROM pg_timezone_names")))
    assert "Asia/Shanghai" in taken
    assert taken <= known


@pytest.mark.parametrize(
    ("day", "good"),
    [
        ("0001-01-01", False),
        ("1899-12-31", False),
        ("1900-01-01", True),
        ("2999-12-31", True),
        ("3000-01-01", False),
        ("9999-12-31", False),
        ("\u0661\u0669\u0669\u0668-06-30", False),
    ],
)
def test_days_and_instants_are_of_the_same_years(day: str, good: bool) -> None:
    assert takes(DAY, day) is good
    for clock_time in ("00:00:00Z", "23:59:59.999999Z", "00:00:00+14:00", "23:59:59-12:00"):
        assert takes(INSTANT, f"{day}T{clock_time}") is good


def test_the_years_are_in_the_schema() -> None:
    for adapter in (DAY, INSTANT):
        assert adapter.json_schema()["pattern"] == "^(19|2[0-9])[0-9]{2}-"
