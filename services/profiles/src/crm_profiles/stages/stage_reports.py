"""Reports on the life cycle: the funnel, how long stays last, why customers leave; SQL over all stays."""

from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.rules.lifecycle import PATH, Stage
from crm_profiles.schemas.stages import (
    DwellOut,
    DwellTimesOut,
    ExitReasonOut,
    ExitReasonsOut,
    FunnelOut,
    FunnelStepOut,
)

FUNNEL = (
    "The cohort are the customers on file whose first stay in any stage began in the period (days in UTC, the"
    " last one excluded). A step counts those of them who were ever in its stage or in a later one of"
    " awareness, interaction, transaction, maintenance; its conversion divides that by the step before."
)
DWELL_TIMES = (
    "Stays of customers on file that ended in the period (days in UTC, the last one excluded), in days from"
    " their beginning to their end in business time; median and 90th percentile, interpolated."
)
EXIT_REASONS = (
    "Exits of customers on file that began in the period (days in UTC, the last one excluded), by reason;"
    " `silence` means that nobody stated one. Somebody who left twice counts twice."
)

_RANK = " ".join(f"WHEN '{stage}' THEN {rank}" for rank, stage in enumerate(PATH))
_FUNNEL = text(
    f"""
    WITH furthest AS (
        SELECT s.customer_id,
               max(CASE s.stage {_RANK} ELSE 0 END) AS rank,
               bool_or(s.stage = 'exit') AS has_left,
               bool_or(s.stage = 'reactivation') AS came_back
        FROM stage_spells AS first
        JOIN customers AS c ON c.customer_id = first.customer_id
        JOIN stage_spells AS s ON s.customer_id = first.customer_id
        WHERE first.number = 1 AND first.since >= :begin AND first.since < :end
        GROUP BY s.customer_id
    )
    SELECT rank, count(*) AS customers, count(*) FILTER (WHERE has_left) AS has_left,
           count(*) FILTER (WHERE came_back) AS came_back
    FROM furthest GROUP BY rank
    """
)
_DWELL_TIMES = text(
    """
    SELECT s.stage, count(*) AS stays,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM s.until - s.since)) AS median,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM s.until - s.since)) AS p90
    FROM stage_spells AS s JOIN customers AS c ON c.customer_id = s.customer_id
    WHERE s.until >= :begin AND s.until < :end
    GROUP BY s.stage
    """
)
_EXIT_REASONS = text(
    """
    SELECT s.reason, count(*) AS exits, count(s.until) AS came_back
    FROM stage_spells AS s JOIN customers AS c ON c.customer_id = s.customer_id
    WHERE s.stage = 'exit' AND s.since >= :begin AND s.since < :end
    GROUP BY s.reason ORDER BY exits DESC, s.reason
    """
)
_DAY = 86_400


async def funnel(session: AsyncSession, begin: date, end: date) -> FunnelOut:
    """How far those who became known in the period have come by now."""
    rows = (await session.execute(_FUNNEL, _instants(begin, end))).all()
    reached = [sum(row.customers for row in rows if row.rank >= rank) for rank in range(len(PATH))]
    before = [reached[0], *reached]
    return FunnelOut(
        definition=FUNNEL,
        begin=begin,
        end=end,
        cohort=reached[0],
        steps=[
            FunnelStepOut(
                stage=stage,
                reached=reached[rank],
                previous=before[rank],
                conversion=_share(reached[rank], before[rank]),
            )
            for rank, stage in enumerate(PATH)
        ],
        left=sum(row.has_left for row in rows),
        came_back=sum(row.came_back for row in rows),
    )


async def dwell_times(session: AsyncSession, begin: date, end: date) -> DwellTimesOut:
    """How long the stays lasted that ended in the period."""
    rows = {row.stage: row for row in await session.execute(_DWELL_TIMES, _instants(begin, end))}
    stages = [
        DwellOut(
            stage=stage,
            stays=rows[stage].stays,
            median_days=round(rows[stage].median / _DAY, 2),
            p90_days=round(rows[stage].p90 / _DAY, 2),
        )
        for stage in Stage
        if stage in rows
    ]
    return DwellTimesOut(definition=DWELL_TIMES, begin=begin, end=end, stages=stages)


async def exit_reasons(session: AsyncSession, begin: date, end: date) -> ExitReasonsOut:
    """Why those left who left in the period, and how many of them came back since."""
    rows = (await session.execute(_EXIT_REASONS, _instants(begin, end))).all()
    exits = sum(row.exits for row in rows)
    reasons = [
        ExitReasonOut(
            reason=row.reason, exits=row.exits, share=round(row.exits / exits, 4), came_back=row.came_back
        )
        for row in rows
    ]
    return ExitReasonsOut(definition=EXIT_REASONS, begin=begin, end=end, exits=exits, reasons=reasons)


def _instants(begin: date, end: date) -> dict[str, Any]:
    return {
        "begin": datetime.combine(begin, time.min, UTC),
        "end": datetime.combine(end, time.min, UTC),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
