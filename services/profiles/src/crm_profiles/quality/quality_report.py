"""The report on the quality of data: over all customers, as the worker last saw them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.quality import quality
from crm_profiles.rules import accuracy
from crm_profiles.schemas.quality import BucketOut, MemberShareOut, QualityReportOut

DEFINITION = (
    "Customers on file, as they were when somebody last changed them or something of theirs became stale; the"
    f" worker notices within seconds. {accuracy.DEFINITION} Distribution: customers by score. Members:"
    " customers who have the member on file / all; those that weigh nothing are left out."
)

_WIDTH = 10
_TOTALS = text(
    """
    SELECT count(*) AS customers, avg(score) AS mean, count(*) FILTER (WHERE invalid > 0) AS with_invalid,
           count(*) FILTER (WHERE stale > 0) AS with_stale
    FROM quality_scores
    """
)
_DISTRIBUTION = text(
    f"SELECT least(score, 99) / {_WIDTH} AS bucket, count(*) AS customers FROM quality_scores GROUP BY 1"
)
_MISSING = text(
    """
    SELECT member, sum(customers) AS customers
    FROM (SELECT missing, count(*) AS customers FROM quality_scores GROUP BY missing) AS alike
    CROSS JOIN LATERAL unnest(missing) AS member
    GROUP BY member
    """
)
_TASKS = text(
    "SELECT reason, count(*) AS tasks FROM verification_tasks WHERE outcome IS NULL GROUP BY reason"
)


async def report(session: AsyncSession) -> QualityReportOut:
    """How good the data of all customers are."""
    rules = quality.rules_of(await quality.policy(session))
    totals = (await session.execute(_TOTALS)).one()
    buckets = {row.bucket: row.customers for row in await session.execute(_DISTRIBUTION)}
    missing = {row.member: int(row.customers) for row in await session.execute(_MISSING)}
    tasks = {row.reason: row.tasks for row in await session.execute(_TASKS)}
    members = []
    for member in (name for name, weight in rules.members.items() if weight):
        complete = totals.customers - missing.get(member, 0)
        share = round(complete / totals.customers, 4) if totals.customers else None
        members.append(MemberShareOut(member=member, complete=complete, share=share))
    return QualityReportOut(
        definition=DEFINITION,
        policy_version=rules.version,
        customers=totals.customers,
        mean_score=None if totals.mean is None else round(float(totals.mean), 2),
        distribution=[
            BucketOut(
                lowest=lowest,
                highest=100 if lowest == 100 - _WIDTH else lowest + _WIDTH - 1,
                customers=buckets.get(lowest // _WIDTH, 0),
            )
            for lowest in range(0, 100, _WIDTH)
        ],
        members=members,
        with_invalid=totals.with_invalid,
        with_stale=totals.with_stale,
        open_tasks=tasks,
    )
