"""Earning rules as data: a change is a new version, and the newest one of each key is in force."""

from collections.abc import Sequence
from datetime import datetime, time

from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import facts, published
from crm_loyalty.errors import ChoiceDiffers, EarningRuleNotFound, EventTypeUnknown, HolidayUnknown
from crm_loyalty.models.earning_rules import EarningRule
from crm_loyalty.rules.conditions import Around, Conditions, Days, Hours, holiday_name
from crm_loyalty.rules.earning import Cap, Fixed, Multiplier, PerAmount, PerItem, Rate, Rule
from crm_loyalty.rules.explaining import explain
from crm_loyalty.rules.happenings import Happenings
from crm_loyalty.schemas.earning_rules import (
    EarningRuleIn,
    EarningRuleOut,
    EarningRuleTerms,
    EventIn,
    FixedIn,
    MultiplierIn,
    PerAmountIn,
    PerItemIn,
    RateIn,
    WhenIn,
)
from crm_shared import versions
from crm_shared.pages import Key, Listing, PageRequest, paginate

_NEWEST = versions.newest(EarningRule.key, EarningRule.version)


async def in_force(session: AsyncSession) -> list[Rule]:
    """The newest version of every rule, for the evaluator."""
    return [
        rule_of(row.key, row.version, EarningRuleTerms.model_validate(row.terms))
        for row in await newest(session)
    ]


async def newest(session: AsyncSession) -> Sequence[EarningRule]:
    """The newest version of every rule, as it was written."""
    return (await session.scalars(select(EarningRule).where(_NEWEST).order_by(EarningRule.key))).all()


def conditions_of(when: WhenIn) -> Conditions:
    """The conditions as the evaluator knows them."""
    return Conditions(
        min_amount=when.min_amount,
        products=frozenset(when.products),
        categories=frozenset(when.categories),
        brands=frozenset(when.brands),
        channels=frozenset(when.channels),
        shops=frozenset(when.shops),
        levels=frozenset(level.value for level in when.levels),
        tiers=frozenset(when.tiers),
        weekdays=frozenset(when.weekdays),
        days_of_month=frozenset(when.days_of_month),
        dates=tuple(Days(days.since, days.until) for days in when.dates),
        hours=tuple(
            Hours(time.fromisoformat(hours.since), time.fromisoformat(hours.until)) for hours in when.hours
        ),
        purchase_numbers=frozenset(when.purchase_numbers),
        every_nth_purchase=when.every_nth_purchase,
        birthday=Around(when.birthday.days_before, when.birthday.days_after) if when.birthday else None,
        holidays=frozenset(holiday_name(each.calendar, each.key) for each in when.holidays),
        segments=when.segments.condition(),
    )


def rule_of(key: str, version: int, terms: EarningRuleTerms) -> Rule:
    """The rule as the evaluator knows it."""
    return Rule(
        key=key,
        version=version,
        rate=_rate(terms.rate),
        currency=terms.currency,
        when=conditions_of(terms.when),
        event=_happenings(terms.event) if terms.event else None,
        caps=tuple(Cap(cap.period, cap.points) for cap in terms.caps),
        budget=terms.budget,
        priority=terms.priority,
        group=terms.group,
        choice=terms.choice,
        pending_days=terms.pending_days,
        active=terms.active,
        valid_from=terms.valid_from,
        valid_until=terms.valid_until,
    )


def _happenings(event: EventIn) -> Happenings:
    return Happenings(frozenset(event.types), tuple(each.condition() for each in event.properties))


def _rate(rate: RateIn) -> Rate:
    match rate:
        case PerAmountIn(points=points, per_amount=per_amount):
            return PerAmount(points, per_amount)
        case PerItemIn(points=points):
            return PerItem(points)
        case FixedIn(points=points):
            return Fixed(points)
        case MultiplierIn(percent=percent, of=of):
            return Multiplier(percent, of)


def out(row: EarningRule) -> EarningRuleOut:
    """The rule as it is answered, with its terms in words."""
    terms = EarningRuleTerms.model_validate(row.terms)
    return EarningRuleOut(
        **dict(terms),
        key=row.key,
        version=row.version,
        explanation=explain(rule_of(row.key, row.version, terms)),
        created_at=row.created_at,
        created_by=row.created_by,
    )


async def find(session: AsyncSession, key: str) -> EarningRule | None:
    return await session.scalar(select(EarningRule).where(EarningRule.key == key, _NEWEST))


async def get(session: AsyncSession, key: str) -> EarningRule:
    """The newest version; raises EarningRuleNotFound."""
    rule = await find(session, key)
    if rule is None:
        raise EarningRuleNotFound(key=key)
    return rule


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[EarningRuleOut]:
    """The newest version of each rule, by key."""
    found = await paginate(
        session,
        select(EarningRule).where(_NEWEST),
        [Key(EarningRule.key)],
        page=page,
    )
    return found.map(out)


async def put(
    session: AsyncSession,
    key: str,
    body: EarningRuleIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> EarningRule:
    """Write the next version over the one that the caller has seen, or the first with `If-None-Match: *`.

    Raises IfMatchMissing, StaleVersion, ChoiceDiffers, HolidayUnknown, EventTypeUnknown.
    """
    current = await find(session, key)
    await _agree_with_group(session, key, body)
    await _know_holidays(session, body)
    _know_events(body)
    return await versions.write(
        session,
        EarningRule,
        {"key": key, "terms": body.model_dump(mode="json")},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )


async def _agree_with_group(session: AsyncSession, key: str, body: EarningRuleIn) -> None:
    """The rules of a group choose in one way; raises ChoiceDiffers."""
    if body.group is None:
        return
    other = await session.scalar(
        select(EarningRule)
        .where(
            _NEWEST,
            EarningRule.key != key,
            EarningRule.terms["group"].astext == body.group,
            EarningRule.terms["active"].as_boolean(),
            EarningRule.terms["choice"].astext != body.choice.value,
        )
        .order_by(EarningRule.key)
        .limit(1)
    )
    if other is not None and body.active:
        raise ChoiceDiffers(
            f"Rule {other.key} of group {body.group} says {other.terms['choice']}.",
            rule=other.key,
            choice=other.terms["choice"],
        )


async def _know_holidays(session: AsyncSession, body: EarningRuleIn) -> None:
    """Every holiday of the rule is in its calendar; raises HolidayUnknown."""
    known = await facts.calendars(session, {each.calendar for each in body.when.holidays})
    for index, each in enumerate(body.when.holidays):
        days = known.get(each.calendar)
        if days is None or each.key not in {holiday.key for holiday in days.calendar.holidays}:
            raise HolidayUnknown(
                f"Calendar {each.calendar} has no holiday {each.key}.",
                errors=[
                    {
                        "pointer": f"/when/holidays/{index}",
                        "code": "holiday_unknown",
                        "message": "There is no such holiday in the calendar",
                    }
                ],
            )


def _know_events(body: EarningRuleIn) -> None:
    """Every event of the rule can come: as somebody reports it, or by itself; raises EventTypeUnknown."""
    for index, type_ in enumerate(body.event.types if body.event else ()):
        if "." in type_ and type_ not in published.TYPES:
            raise EventTypeUnknown(
                f"No {type_} is published that earns points.",
                errors=[
                    {
                        "pointer": f"/event/types/{index}",
                        "code": "event_type_unknown",
                        "message": "What has dots is published, and this is not among it",
                    }
                ],
                published=list[JsonValue](sorted(published.TYPES)),
            )
