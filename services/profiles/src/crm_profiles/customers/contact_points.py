"""Contact points: one way of writing for each, one customer for each, a mask for who may not see them."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from unicodedata import normalize
from uuid import UUID

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult
from sqlalchemy import delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, claim_new, unnested
from crm_profiles.customers import normal_forms
from crm_profiles.errors import InvalidContactPoint
from crm_profiles.models.customers import ContactKind, ContactPoint
from crm_profiles.schemas.customers import MAX_CONTACT_POINT, ContactPointIn
from crm_shared.fields import without_invisible
from crm_shared.prepared import Prepared
from crm_shared.problems import Fault


class Point(NamedTuple):
    """A normalised contact point: equal ones reach the same person."""

    kind: ContactKind
    value: str


class Owner(NamedTuple):
    """Whose something is, and the id under which it was written, to which an undone merge gives it back."""

    id: UUID
    origin: UUID


@lru_cache(maxsize=10_000)  # imports and batches ask for those of a chunk more than once
def normalise(kind: ContactKind, value: str, region: str | None) -> Point:
    """E.164 (a number without country code is read as one of the region), case-folded e-mail, account name.

    Raises InvalidContactPoint.
    """
    normal = _normal(kind, value, region)
    if not 1 <= len(normal) <= MAX_CONTACT_POINT:
        raise _invalid(f"invalid_{kind}", f"Normalised, it must have 1 to {MAX_CONTACT_POINT} characters.")
    return Point(kind, normal)


def _normal(kind: ContactKind, value: str, region: str | None) -> str:
    try:
        match kind:
            case ContactKind.PHONE:
                if known := normal_forms.phone(value):
                    return known
                return _phone(value, region)
            case ContactKind.EMAIL:
                if known := normal_forms.email(value):
                    return known
                name, at, domain = value.rpartition("@")
                return validate_email(f"{name.casefold()}{at}{domain}", check_deliverability=False).normalized
            case ContactKind.SOCIAL:
                return _folded(value)
    except EmailNotValidError as error:  # its words are meant for people
        raise _invalid("invalid_email", str(error)) from error


def _phone(value: str, region: str | None) -> str:
    try:
        number = phonenumbers.parse(value, region)
    except NumberParseException as error:
        raise _invalid(*_NOT_READ.get(error.error_type, _NO_NUMBER)) from error
    if not phonenumbers.is_possible_number(number):
        raise _invalid(*_NOT_POSSIBLE.get(phonenumbers.is_possible_number_with_reason(number), _NO_NUMBER))
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


_NO_NUMBER = "invalid_phone", "This is no phone number."
_NO_COUNTRY = "phone_without_country", "It has no country code that is known: write +86 138 1234 5678, say."
_TOO_SHORT = "phone_too_short", "This is too short for a phone number."
_TOO_LONG = "phone_too_long", "This is too long for a phone number."
_NOT_READ = {
    NumberParseException.INVALID_COUNTRY_CODE: _NO_COUNTRY,
    NumberParseException.TOO_SHORT_AFTER_IDD: _TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: _TOO_SHORT,
    NumberParseException.TOO_LONG: _TOO_LONG,
}
_NOT_POSSIBLE = {ValidationResult.TOO_SHORT: _TOO_SHORT, ValidationResult.TOO_LONG: _TOO_LONG}


def _invalid(code: str, message: str) -> InvalidContactPoint:
    return InvalidContactPoint(message, errors=[{"pointer": "/value", "code": code, "message": message}])


def _folded(value: str) -> str:
    """Without differences that nobody sees, of case and of width.

    Folding may undo the composing, so until nothing changes.
    """
    while (folded := without_invisible(normalize("NFKC", value).casefold()).strip()) != value:
        value = folded
    return value


def normalise_all(points: Sequence[ContactPointIn], region: str | None) -> frozenset[Point]:
    """All of them; InvalidContactPoint points at those that are none."""
    found: set[Point] = set()
    faults: list[Fault] = []
    for index, point in enumerate(points):
        try:
            found.add(normalise(point.kind, point.value, region))
        except InvalidContactPoint as error:
            where = f"/contact_points/{index}"
            faults += [
                {"pointer": f"{where}{each['pointer']}", "code": each["code"], "message": each["message"]}
                for each in error.errors
            ]
    if faults:
        raise InvalidContactPoint("Some contact points cannot be read; errors says which.", errors=faults)
    return frozenset(found)


def reaches(kind: ContactKind, value: str) -> bool:
    """Whether somebody may be reached by this normalised point, as far as its looks tell."""
    match kind:
        case ContactKind.PHONE:
            try:
                return bool(phonenumbers.is_valid_number(phonenumbers.parse(value)))
            except NumberParseException:
                return False
        case ContactKind.EMAIL:
            return _may_have_mailboxes(value.rpartition("@")[2])
        case ContactKind.SOCIAL:
            return True


@lru_cache(maxsize=4096)
def _may_have_mailboxes(domain: str) -> bool:
    """Most customers share few domains, and to judge one takes a tenth of a millisecond."""
    try:
        validate_email(f"postmaster@{domain}", check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def mask(kind: str, value: str) -> str:
    """Enough to recognise, not enough to use: 138****1234, w***@example.com."""
    if kind == ContactKind.EMAIL:
        name, _, domain = value.rpartition("@")
        return f"{name[:1]}***@{domain}"
    if kind == ContactKind.PHONE:
        return f"{value[:-8]}****{value[-4:]}" if len(value) > 8 else f"****{value[-2:]}"
    return f"{value[:1]}***"


_CLAIM = Prepared(claim_new(ContactPoint, "kind", "value", "customer_id", "origin_customer_id"))
_WANTED = select(*unnested(ContactPoint.kind, ContactPoint.value)).subquery()
_HOLDERS = select(
    ContactPoint.kind, ContactPoint.value, ContactPoint.customer_id, ContactPoint.origin_customer_id
).join(_WANTED, (_WANTED.c.kind == ContactPoint.kind) & (_WANTED.c.value == ContactPoint.value))
_RELEASE = delete(ContactPoint).where(tuple_(ContactPoint.kind, ContactPoint.value).in_(select(_WANTED)))


async def claim(session: AsyncSession, wanted: Mapping[Point, Owner]) -> dict[Point, UUID]:
    """Give each point to who wants it, unless somebody has it; returns who has each now.

    Waits for others who are claiming the same. What is let go of meanwhile is claimed again.
    """
    holders: dict[Point, UUID] = {}
    while missing := sorted(wanted.keys() - holders.keys()):
        asked = {
            "kind": [point.kind for point in missing],
            "value": [point.value for point in missing],
            "customer_id": [wanted[point].id for point in missing],
            "origin_customer_id": [wanted[point].origin for point in missing],
        }
        rows = await _CLAIM.fetch(session, asked)
        lost = {Point(ContactKind(row["kind"]), row["value"]) for row in rows}
        holders |= {point: wanted[point].id for point in missing if point not in lost}
        if lost:
            known = arrays([point._asdict() for point in lost], "kind", "value")
            for row in await session.execute(_HOLDERS, known):
                holders[Point(row.kind, row.value)] = row.customer_id
    return holders


async def holders(session: AsyncSession, points: Collection[Point]) -> dict[Point, UUID | None]:
    """Who has each of these points now, None: nobody."""
    found: dict[Point, UUID | None] = dict.fromkeys(points)
    if points:
        wanted = arrays([point._asdict() for point in points], "kind", "value")
        for row in await session.execute(_HOLDERS, wanted):
            found[Point(row.kind, row.value)] = row.customer_id
    return found


async def owners(session: AsyncSession, points: Collection[Point]) -> dict[Point, Owner]:
    """Whose each of these points is, and under which id; nobody's are not in it."""
    if not points:
        return {}
    wanted = arrays([point._asdict() for point in points], "kind", "value")
    return {
        Point(row.kind, row.value): Owner(row.customer_id, row.origin_customer_id)
        for row in await session.execute(_HOLDERS, wanted)
    }


async def release(session: AsyncSession, points: Collection[Point]) -> None:
    """Nobody has them any more."""
    if points:
        await session.execute(_RELEASE, arrays([point._asdict() for point in points], "kind", "value"))
