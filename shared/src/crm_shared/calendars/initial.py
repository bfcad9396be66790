"""The calendars that every service has from the start: they are the first versions, and never change."""

from collections.abc import Mapping
from functools import cache
from importlib import resources

from pydantic import TypeAdapter

from crm_shared.contracts.calendars import Calendar
from crm_shared.database import Json

INITIAL_VERSION = 1
_FILE = TypeAdapter(dict[str, Calendar])


@cache
def initial_calendars() -> Mapping[str, Calendar]:
    """By their codes. What is announced later becomes a new version, by hand or by a migration."""
    file = resources.files("crm_shared.calendars") / "initial.json"
    return _FILE.validate_json(file.read_bytes())


def initial_rows() -> list[Json]:
    """What migrations put into the tables of calendars."""
    return [
        {"code": code, "version": INITIAL_VERSION, "calendar": calendar.model_dump(mode="json")}
        for code, calendar in initial_calendars().items()
    ]
