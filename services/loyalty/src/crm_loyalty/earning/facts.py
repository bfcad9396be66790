"""What rules may ask of a customer and of a day, from copies of what others tell."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import members, memberships, purchases
from crm_loyalty.models.purchases import Member
from crm_loyalty.rules import birthdays
from crm_loyalty.rules.conditions import Cause, CustomerFacts, holiday_name
from crm_loyalty.rules.earning import Policy, Rule
from crm_loyalty.tiers import standings
from crm_shared import calendar_copies
from crm_shared.calendars import day_of
from crm_shared.calendars.birthdays import Birthday, LunarBirthday, SolarBirthday
from crm_shared.calendars.days import Days
from crm_shared.contracts.calendars import BirthdayPolicy

SomeCause = TypeVar("SomeCause", bound=Cause)


async def of(
    session: AsyncSession, told: Sequence[tuple[UUID, datetime]], policy: Policy
) -> list[CustomerFacts]:
    """The facts for each purchase (who owns it today, when it was made), in the order in which they came.

    For an event likewise, which is numbered as a purchase in its place would be.
    """
    owners = {owner for owner, _ in told}
    known = await members.find(session, owners)
    tiers = await standings.current(session, owners)
    segments = await memberships.of(session, owners)
    numbers = defaultdict(int, await purchases.counts(session, owners))
    found = []
    for owner, occurred_at in told:
        numbers[owner] += 1
        facts = CustomerFacts(
            number=numbers[owner], tier=tiers.get(owner), segments=segments.get(owner, frozenset())
        )
        if member := known.get(owner):
            offset = _birthday_offset(member, day_of(occurred_at, policy.time_zone))
            facts = replace(facts, level=member.level, birthday_offset=offset)
        found.append(facts)
    return found


def _birthday_offset(member: Member, day: date) -> int | None:
    birthday: Birthday
    if (lunar := member.lunar_birth_date) is not None:
        birthday = LunarBirthday(lunar["month"], lunar["day"], lunar["leap_month"])
    elif member.birth_date is not None:
        birthday = SolarBirthday(member.birth_date.month, member.birth_date.day)
    else:
        return None
    return birthdays.offset(day, birthday, BirthdayPolicy())


async def calendars(session: AsyncSession, codes: Iterable[str]) -> dict[str, Days]:
    """Those of the calendars that are known."""
    found = {code: await calendar_copies.find(session, code) for code in sorted(codes)}
    return {code: days for code, days in found.items() if days is not None}


async def calendars_of(session: AsyncSession, rules: Iterable[Rule]) -> dict[str, Days]:
    """The calendars whose holidays these rules name: mostly none."""
    return await calendars(session, {name.partition(":")[0] for rule in rules for name in rule.when.holidays})


def celebrated(cause: SomeCause, known: Mapping[str, Days], policy: Policy) -> SomeCause:
    """The purchase or event with what is celebrated on its day of the programme."""
    if not known:
        return cause
    return replace(cause, holidays=_holidays(day_of(cause.occurred_at, policy.time_zone), known))


def _holidays(day: date, known: Mapping[str, Days]) -> frozenset[str]:
    return frozenset(
        holiday_name(code, each.holiday.key)
        for code, days in known.items()
        for each in days.day(day).holidays
        if not each.observed
    )
