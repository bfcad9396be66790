"""What is on file of a customer after something was told of them: plain values in, plain values out."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, JsonValue

from crm_profiles.errors import NoLunarDate
from crm_profiles.models.customers import BirthCalendar
from crm_profiles.rules import instants
from crm_profiles.schemas.customers import CustomerMembers
from crm_profiles.schemas.members import Address
from crm_shared.calendars import lunar
from crm_shared.calendars.lunar import LunarDay
from crm_shared.database import Json
from crm_shared.problems import Fault, InvalidRequest

_TOLD = tuple(name for name in CustomerMembers.model_fields if name not in ("contact_points", "channel"))
FIELDS = (*_TOLD, "manager")
"""The columns of a customer that change: those that bodies tell of, and who looks after them."""
NOTHING: Json = {name: None for name in FIELDS} | {
    "birth_calendar": BirthCalendar.SOLAR,
    "tags": [],
    "attributes": {},
}
"""What is on file of somebody of whom nothing was told."""


def told(before: Json, body: CustomerMembers) -> Json:
    """The members after the body's merge patch (RFC 7396); raises NoLunarDate."""
    sent = body.model_fields_set
    given: Json = {name: _plain(getattr(body, name)) for name in _TOLD if name in sent}
    after = NOTHING | before | given
    if "address" in given:
        merged = Address.model_validate(_merged(before.get("address"), given["address"])).model_dump()
        after["address"] = merged if any(merged.values()) else None
    if "attributes" in given:
        after["attributes"] = _merged(before.get("attributes"), given["attributes"])
    _keep_birthday(before, given, after)
    return after


def check_birthday(body: CustomerMembers, *, now: datetime) -> None:
    """Raises InvalidRequest for who is not born yet."""
    lunar_day = body.lunar_birth_date and lunar.to_gregorian(LunarDay(**dict(body.lunar_birth_date)))
    faults: list[Fault] = [
        {"pointer": f"/{name}", "code": "in_future", "message": "Nobody was born in the future"}
        for name, day in (("birth_date", body.birth_date), ("lunar_birth_date", lunar_day))
        if day and instants.is_future(day, now=now)
    ]
    if faults:
        raise InvalidRequest("Nobody was born in the future.", errors=faults)


def _plain(value: object) -> object:
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def _merged(before: dict[str, JsonValue] | None, patch: dict[str, JsonValue] | None) -> dict[str, JsonValue]:
    """Null removes a member, or all of them."""
    if patch is None:
        return {}
    return {name: value for name, value in ((before or {}) | patch).items() if value is not None}


def _keep_birthday(before: Json, given: Json, after: Json) -> None:
    """The Gregorian day is what counts; of who keeps the lunar one, that is told along."""
    after["birth_calendar"] = after["birth_calendar"] or BirthCalendar.SOLAR
    if given.get("lunar_birth_date"):
        after["birth_date"] = lunar.to_gregorian(LunarDay(**given["lunar_birth_date"]))
        after["birth_calendar"] = BirthCalendar.LUNAR
    elif "lunar_birth_date" in given and "birth_date" not in given and before.get("lunar_birth_date"):
        after["birth_date"] = None
    kept = after["birth_date"] if after["birth_calendar"] is BirthCalendar.LUNAR else None
    after["lunar_birth_date"] = None if kept is None else _lunar(kept)


def _lunar(day: date) -> dict[str, Any]:
    try:
        return lunar.from_gregorian(day)._asdict()
    except ValueError as error:
        raise NoLunarDate(
            "The lunar calendar is known from 31 January 1900 to 8 February 2100.",
            errors=[{"pointer": "/birth_date", "code": "no_lunar_date", "message": str(error)}],
        ) from error
