"""Custom attributes: which there are, and whether values fit them."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from math import isfinite

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Text, cast, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import one_of
from crm_profiles.errors import AttributeInUse, AttributeNotFound, InvalidAttributes, TooManyAttributes
from crm_profiles.models.attributes import AttributeType, CustomerAttribute
from crm_profiles.models.customers import Customer
from crm_profiles.schemas.attributes import MAX_NUMBER, MAX_TEXT, CustomerAttributeIn
from crm_shared import etags
from crm_shared.clock import Clock
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import Fault

MAX_DECLARED = 200

Declared = Mapping[str, CustomerAttribute]


async def get(session: AsyncSession, key: str) -> CustomerAttribute:
    """Raises AttributeNotFound."""
    found = await session.get(CustomerAttribute, key)
    if found is None:
        raise AttributeNotFound(key=key)
    return found


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[CustomerAttribute]:
    """All that are declared, by key."""
    statement = select(CustomerAttribute)
    keys = [Key(CustomerAttribute.key)]
    return await paginate(session, statement, keys, page=page)


async def put(
    session: AsyncSession, key: str, body: CustomerAttributeIn, *, if_match: str | None, clock: Clock
) -> tuple[CustomerAttribute, bool]:
    """Declare the attribute, or declare it otherwise, and whether it is new.

    Waits for those who are writing values of it. Raises AttributeInUse when customers have values that would
    not fit any more, TooManyAttributes, IfMatchMissing, StaleVersion.
    """
    found = await session.get(CustomerAttribute, key, with_for_update=True)
    if found is None:
        return await _declare(session, key, body, clock=clock), True
    members = body.model_dump()
    if all(getattr(found, name) == value for name, value in members.items()):
        return found, False
    etags.require(if_match, found.version)
    await _refuse_misfits(session, found, body)
    for name, value in members.items():
        setattr(found, name, value)
    found.version += 1
    found.updated_at = clock.now()
    await session.flush()
    return found, False


async def remove(session: AsyncSession, key: str) -> CustomerAttribute:
    """Declare it no more; raises AttributeNotFound, AttributeInUse while any customer has a value of it."""
    found = await session.get(CustomerAttribute, key, with_for_update=True)
    if found is None:
        raise AttributeNotFound(key=key)
    await _refuse_if_used(session, key, Customer.attributes.has_key(key))
    await session.delete(found)
    await session.flush()
    return found


async def declared(session: AsyncSession, keys: Iterable[str]) -> Declared:
    """Those of the keys that are declared; until the transaction ends they stay so, and as they are."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    found = await session.scalars(_DECLARED, {"key": wanted})
    return {attribute.key: attribute for attribute in found}


def checked(attributes: Declared, given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The values as they are kept; raises InvalidAttributes, which points at those that do not fit."""
    kept: dict[str, JsonValue] = {}
    faults: list[Fault] = []
    for key, value in given.items():
        try:
            kept[key] = None if value is None else _fitting(attributes[key], value)
        except KeyError:
            faults.append(_fault(key, "unknown_attribute", "No such attribute is declared."))
        except ValueError as error:
            faults.append(_fault(key, "attribute_value", str(error)))
    if faults:
        raise InvalidAttributes(
            "Some attributes do not fit their declaration; errors says which.", errors=faults
        )
    return kept


def fits(attributes: Declared, key: str, value: JsonValue) -> bool:
    """Whether the attribute may have the value as it is declared now."""
    try:
        checked(attributes, {key: value})
    except InvalidAttributes:
        return False
    return True


def condition(asked: str) -> ColumnElement[bool]:
    """That a customer has the value of `key:value`, as it is written in a query."""
    return or_(*(Customer.attributes.contains(reading) for reading in readings(asked)))


def readings(asked: str) -> list[dict[str, JsonValue]]:
    """What attributes may hold of whom `key:value` is true: of whatever type, or among others."""
    key, _, value = asked.partition(":")
    readings: list[JsonValue] = [value, [value]]
    if value in _BOOLEANS:
        readings.append(_BOOLEANS[value])
    with suppress(ValueError):
        if isfinite(number := float(value)):
            readings.append(number)
    return [{key: reading} for reading in readings]


_BOOLEANS = {"true": True, "false": False}
_DECLARED = (
    select(CustomerAttribute)
    .where(one_of(CustomerAttribute.key))
    .order_by(CustomerAttribute.key)
    .with_for_update(read=True)
    .execution_options(populate_existing=True)
)


async def _declare(
    session: AsyncSession, key: str, body: CustomerAttributeIn, *, clock: Clock
) -> CustomerAttribute:
    """Two who declare it at once: the second finds what the first declared and must say what it replaces."""
    count = await session.scalar(select(func.count()).select_from(CustomerAttribute)) or 0
    if count >= MAX_DECLARED:
        raise TooManyAttributes(f"There can be {MAX_DECLARED} of them.")
    at = clock.now()
    row = body.model_dump() | {"key": key, "version": 1, "created_at": at, "updated_at": at}
    inserted = await session.scalar(
        insert(CustomerAttribute).values(row).on_conflict_do_nothing().returning(CustomerAttribute)
    )
    found = inserted or await get(session, key)
    if inserted is None:
        etags.require(None, found.version)
    return found


async def _refuse_misfits(session: AsyncSession, old: CustomerAttribute, new: CustomerAttributeIn) -> None:
    used = Customer.attributes.has_key(old.key)
    if new.type is not old.type:
        await _refuse_if_used(session, old.key, used)
    elif gone := [choice for choice in old.choices if choice not in new.choices]:
        chosen = Customer.attributes[old.key].has_any(cast(gone, ARRAY(Text)))
        await _refuse_if_used(session, old.key, used & chosen)


async def _refuse_if_used(session: AsyncSession, key: str, misfit: ColumnElement[bool]) -> None:
    count = await session.scalar(select(func.count()).select_from(Customer).where(misfit)) or 0
    if count:
        raise AttributeInUse(
            f"{count} customers have values that would not fit any more: clear those first.",
            key=key,
            customers=count,
        )


def _fitting(attribute: CustomerAttribute, value: JsonValue) -> JsonValue:
    """The value as it is kept; ValueError says what it should be."""
    match attribute.type, value:
        case AttributeType.STRING, str() if len(value) <= MAX_TEXT:
            return value.strip()
        case AttributeType.BOOLEAN, bool():
            return value
        case AttributeType.NUMBER, int() | float() if not isinstance(value, bool):
            if isfinite(value) and abs(value) <= MAX_NUMBER:
                return value
        case AttributeType.DATE, str():
            if date.fromisoformat(value).isoformat() == value:
                return value
        case AttributeType.CHOICE, str() if value in attribute.choices:
            return value
        case AttributeType.CHOICES, list() if all(item in attribute.choices for item in value):
            return [choice for choice in attribute.choices if choice in value]
    raise ValueError(_EXPECTED[attribute.type])


_EXPECTED: Mapping[AttributeType, str] = {
    AttributeType.STRING: f"Input should be a text of at most {MAX_TEXT} characters",
    AttributeType.NUMBER: f"Input should be a number from -{MAX_NUMBER} to {MAX_NUMBER}",
    AttributeType.BOOLEAN: "Input should be true or false",
    AttributeType.DATE: "Input should be a date such as 2026-03-02",
    AttributeType.CHOICE: "Input should be one of the choices",
    AttributeType.CHOICES: "Input should be a list of choices",
}


def _fault(key: str, code: str, message: str) -> Fault:
    escaped = key.replace("~", "~0").replace("/", "~1")
    return {"pointer": f"/attributes/{escaped}"[:500], "code": code, "message": message}
