"""What a plan has done so far, in figures with their definitions."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import plans
from crm_loyalty.models.care import CareOccasion, OccasionState
from crm_loyalty.models.messages import Message, MessageState
from crm_loyalty.schemas.care_plans import PlanReportOut
from crm_loyalty.schemas.programme import FigureOut


async def get(session: AsyncSession, key: str) -> PlanReportOut:
    """The figures of the plan, all versions together; raises CarePlanNotFound."""
    await plans.get(session, key)
    rows = (
        await session.execute(
            select(
                CareOccasion.state,
                CareOccasion.reason,
                func.count().label("number"),
                func.coalesce(func.sum(CareOccasion.points), 0).label("points"),
                func.count(CareOccasion.coupon_id).label("coupons"),
            )
            .where(CareOccasion.plan_key == key)
            .group_by(CareOccasion.state, CareOccasion.reason)
        )
    ).all()
    by_state = {state: sum(row.number for row in rows if row.state is state) for state in OccasionState}
    sent, failed = (
        await session.execute(
            select(
                func.count().filter(Message.sent_at.is_not(None)),
                func.count().filter(Message.state == MessageState.FAILED),
            ).where(Message.plan_key == key)
        )
    ).one()
    skipped = [row for row in rows if row.state is OccasionState.SKIPPED]
    return PlanReportOut(
        key=key,
        planned=_figure(sum(by_state.values()), "occasions: customers whom the plan reached, once per cycle"),
        waiting=_figure(by_state[OccasionState.PLANNED], "of these, those whose time has not come yet"),
        held=_figure(by_state[OccasionState.HELD], "of these, those that a severe complaint holds back"),
        done=_figure(by_state[OccasionState.DONE], "of these, those that happened"),
        skipped=_figure(by_state[OccasionState.SKIPPED], "of these, those that will never happen"),
        skipped_by_reason={str(row.reason): row.number for row in skipped},
        messages_sent=_figure(sent, "messages of the plan that a carrier took, also if it lost them later"),
        messages_failed=_figure(failed, "messages of the plan that did not reach the customer"),
        points=_figure(sum(int(row.points) for row in rows), "points given"),
        coupons=_figure(sum(row.coupons for row in rows), "coupons issued"),
    )


def _figure(value: int, definition: str) -> FigureOut:
    return FigureOut(value=value, definition=definition)
