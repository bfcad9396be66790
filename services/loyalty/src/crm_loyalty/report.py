"""The programme's report: liability, what was given, breakage, redemption, activity, repeat rates."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import PeriodTooLong
from crm_loyalty.ledger import points_policy
from crm_loyalty.models.ledger import ProgrammeAccount
from crm_loyalty.postings import ATTENDANCE, CARE, RECOVERY, REFERRAL, SOURCE
from crm_loyalty.schemas.report import (
    CohortOut,
    GivenOut,
    GivenPartOut,
    LiabilityBucket,
    LiabilityOut,
    LiabilityPartOut,
    Origin,
    ProgrammeReportOut,
    RateOut,
)
from crm_shared.contracts.base import Money

MOST_DAYS = 3700

# One statement, and so one snapshot: what is outstanding, what moved, who was active and who came back are
# of the same instant. What moved is found by the block ranges of the period, for entries are only appended.
_FIGURES = text(
    """
    SELECT
        (
            SELECT coalesce(jsonb_object_agg(bucket, points), '{}') FROM (
                SELECT CASE
                    WHEN remaining < 0 THEN 'owed'
                    WHEN idle_days IS NOT NULL THEN 'inactivity'
                    WHEN expires_at IS NULL THEN 'never'
                    WHEN expires_at <= :at THEN 'overdue'
                    WHEN expires_at <= :at + interval '30 days' THEN 'within_30_days'
                    WHEN expires_at <= :at + interval '90 days' THEN 'within_90_days'
                    WHEN expires_at <= :at + interval '180 days' THEN 'within_180_days'
                    WHEN expires_at <= :at + interval '365 days' THEN 'within_365_days'
                    ELSE 'later'
                END AS bucket, sum(remaining) AS points
                FROM lots WHERE remaining <> 0 GROUP BY bucket
            ) AS lots
        ) AS liability,
        (
            SELECT coalesce(jsonb_object_agg(programme_account, points), '{}') FROM (
                SELECT programme_account, sum(amount) AS points FROM entries
                WHERE programme_account IS NOT NULL AND recorded_at >= :begin AND recorded_at < :until
                GROUP BY programme_account
            ) AS moved
        ) AS moved,
        (
            SELECT coalesce(jsonb_object_agg(origin, points), '{}') FROM (
                SELECT CASE
                    WHEN kind = 'adjust' AND source = :ours AND starts_with(reference, :recovery)
                        THEN 'compensations'
                    WHEN kind = 'adjust' THEN 'adjustments'
                    WHEN source = :care THEN 'care'
                    WHEN source = :ours AND starts_with(reference, :referral) THEN 'referrals'
                    WHEN source = :ours AND starts_with(reference, :attendance) THEN 'activities'
                    WHEN explanation = '[]' THEN 'other'
                    WHEN source = :ours THEN 'events'
                    ELSE 'purchases'
                END AS origin, sum(points) AS points
                FROM transactions
                WHERE kind IN ('earn', 'adjust') AND points > 0
                    AND recorded_at >= :begin AND recorded_at < :until
                GROUP BY origin
            ) AS given
        ) AS given,
        (
            SELECT count(*) FROM (
                SELECT DISTINCT customer_id FROM accounts JOIN (
                    SELECT DISTINCT account_id FROM transactions
                    WHERE kind IN ('earn', 'spend', 'capture')
                        AND recorded_at >= :begin AND recorded_at < :until
                ) AS movement ON movement.account_id = accounts.id
            ) AS active
        ) AS active,
        (SELECT count(*) FROM (SELECT DISTINCT customer_id FROM accounts) AS owners) AS members,
        (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'month', month, 'customers', customers, 'repeated', repeated
            ) ORDER BY month), '[]')
            FROM (
                SELECT CAST(date_trunc('month', first_at AT TIME ZONE :zone) AS date) AS month,
                    count(*) AS customers, count(*) FILTER (WHERE purchases > 1) AS repeated
                FROM (
                    SELECT min(occurred_at) AS first_at, count(*) AS purchases FROM purchases
                    WHERE occurred_at < :until AND (refunded < amount OR amount = 0) GROUP BY customer_id
                ) AS buyers
                WHERE first_at >= :begin GROUP BY month
            ) AS cohorts
        ) AS cohorts,
        (
            SELECT jsonb_build_array(currency, points, amount) FROM payment_policies
            ORDER BY version DESC LIMIT 1
        ) AS worth
    """
)

_GROUNDS = {
    "ours": SOURCE,
    "care": CARE,
    "recovery": f"{RECOVERY} ",
    "referral": f"{REFERRAL} ",
    "attendance": f"{ATTENDANCE} ",
}

_ORIGINS = {
    Origin.PURCHASES: "given by earning rules for purchases",
    Origin.EVENTS: "given by earning rules for what is no purchase",
    Origin.CARE: "given by care plans",
    Origin.REFERRALS: "given to customers who brought a friend, and to the friends",
    Origin.ACTIVITIES: "given for being at an activity",
    Origin.COMPENSATIONS: "given as compensations for upheld complaints",
    Origin.ADJUSTMENTS: "given by hand, compensations apart",
    Origin.OTHER: "given for none of these reasons",
}

_DEFINITIONS = {
    LiabilityBucket.OVERDUE: "their time is over, but nobody has taken them yet; they cannot be spent",
    LiabilityBucket.WITHIN_30_DAYS: "expire within 30 days",
    LiabilityBucket.WITHIN_90_DAYS: "expire within 31 to 90 days",
    LiabilityBucket.WITHIN_180_DAYS: "expire within 91 to 180 days",
    LiabilityBucket.WITHIN_365_DAYS: "expire within 181 to 365 days",
    LiabilityBucket.LATER: "expire after more than 365 days",
    LiabilityBucket.INACTIVITY: "expire when the customer neither earns nor spends for long enough",
    LiabilityBucket.NEVER: "do not expire",
    LiabilityBucket.OWED: "taken back after they had been spent: customers owe them",
}


async def get(session: AsyncSession, first: date, last: date, *, at: datetime) -> ProgrammeReportOut:
    """The report of the days from `first` to `last`, both included; raises PeriodTooLong."""
    if (last - first).days >= MOST_DAYS:
        raise PeriodTooLong(days=MOST_DAYS)
    policy = await points_policy.current(session)
    zone = ZoneInfo(policy.time_zone)
    begin, until = _midnight(first, zone), _midnight(last + timedelta(days=1), zone)
    asked = {"at": at, "begin": begin, "until": until, "zone": policy.time_zone, **_GROUNDS}
    row = (await session.execute(_FIGURES, asked)).one()
    moved = {account: int(row.moved.get(account.value, 0)) for account in ProgrammeAccount}
    given = _given(row.given)
    return ProgrammeReportOut(
        first_day=first,
        last_day=last,
        time_zone=policy.time_zone,
        at=at,
        liability=_liability(row.liability, row.worth),
        given=given,
        breakage=_rate(
            moved[ProgrammeAccount.EXPIRED],
            given.points,
            "points that expired in the period per point that was given in it, whatever for; those of"
            " purchases that were given back afterwards do not count as expired",
        ),
        redemption=_rate(
            moved[ProgrammeAccount.REDEEMED],
            given.points,
            "points spent in the period, captured holds included, per point that was given in it, whatever"
            " for",
        ),
        active_members=_rate(
            row.active,
            row.members,
            "customers who earned or spent points in the period per customer with an account",
        ),
        repeat_rate=[_cohort(cohort) for cohort in row.cohorts],
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _given(points: dict[str, int]) -> GivenOut:
    parts = [
        GivenPartOut(origin=origin, points=int(points.get(origin.value, 0)), definition=definition)
        for origin, definition in _ORIGINS.items()
    ]
    return GivenOut(
        points=sum(part.points for part in parts),
        definition="points that customers were given in the period, before what was taken back; what they"
        " transferred to each other does not count",
        parts=parts,
    )


def _rate(numerator: int, denominator: int, definition: str) -> RateOut:
    rate = round(numerator / denominator, 4) if denominator else None
    return RateOut(rate=rate, numerator=numerator, denominator=denominator, definition=definition)


def _cohort(cohort: dict[str, Any]) -> CohortOut:
    rate = _rate(
        cohort["repeated"],
        cohort["customers"],
        "customers who bought at least twice by the last day per customer whose first purchase was in this"
        " month; purchases of which all was given back do not count, those that cost nothing do",
    )
    return CohortOut(month=cohort["month"], **dict(rate))


def _liability(points: dict[str, int], worth: list[Any]) -> LiabilityOut:
    currency, per, amount = worth

    def money(count: int) -> Money:
        return Money(amount=count * amount // per, currency=currency)

    parts = [
        LiabilityPartOut(
            bucket=bucket,
            points=int(points.get(bucket.value, 0)),
            value=money(int(points.get(bucket.value, 0))),
            definition=definition,
        )
        for bucket, definition in _DEFINITIONS.items()
    ]
    total = sum(part.points for part in parts)
    return LiabilityOut(
        points=total,
        value=money(total),
        definition="points that customers have now, held ones included, less those owed; in money as the"
        " payment policy takes them, rounded down",
        parts=parts,
    )
