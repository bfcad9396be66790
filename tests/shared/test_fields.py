"""Values at the edge of what may be written."""

from typing import Annotated
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis.strategies import text as text_of
from pydantic import StringConstraints, TypeAdapter, ValidationError
from sqlalchemy import text

from crm_shared.database import Sessions
from crm_shared.fields import VISIBLE, Day, Instant, TimeZone, legible, legible_lines

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


NAME = TypeAdapter[str](Annotated[str, StringConstraints(strip_whitespace=True, pattern=VISIBLE), legible])


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("An\u200bn\u00ad", "Ann"),
        ("\ufeff\u202eAnn\u202c", "Ann"),
        ("An\u200dn\u200c", "Ann"),
        ("王\u200d小明", "王小明"),
        ("\u200e علی \u200f", "علی"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("می\u200c\u200c\u200bخواهم\u200c", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("ශ්\u200dරී", "ශ්\u200dරී"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("🏳\ufe0f\u200d🌈", "🏳\ufe0f\u200d🌈"),
        ("葛\U000e0100城", "葛\U000e0100城"),
        ("\x1b[31mAnn\x07\x7f", "[31mAnn"),
        ("王\x9b小明", "王小明"),
        ("Ann\r\nLee", "Ann Lee"),
        ("小\t明\u2028王\x85", "小 明 王"),
    ],
)
def test_of_a_name_is_kept_what_can_be_seen_and_what_its_script_needs(written: str, kept: str) -> None:
    assert NAME.validate_python(written) == kept
    assert NAME.validate_python(kept) == kept


def test_what_may_have_several_lines_keeps_them() -> None:
    assert TypeAdapter(Annotated[str, legible_lines]).validate_python("Hi!\n\x1bBye\u200b!") == "Hi!\nBye!"


@pytest.mark.parametrize(
    "blank",
    ["", " ", "\u200b", "\u200d\u200c", "\u202e\u202c", "\u3164", "\u2800", "\u00ad \ufeff", "\ufe0f"],
)
def test_a_name_of_which_nothing_can_be_seen_is_refused(blank: str) -> None:
    with pytest.raises(ValidationError):
        NAME.validate_python(blank)


@given(text_of())
def test_a_name_that_was_taken_is_taken_as_it_is(written: str) -> None:
    try:
        kept = NAME.validate_python(written)
    except ValidationError:
        return
    assert NAME.validate_python(kept) == kept
    assert not {"\u200b", "\u202e", "\u2066", "\ufeff", "\n", "\x1b"} & set(kept)
