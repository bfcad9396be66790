"""Backtests of earning rules over HTTP."""

from uuid import UUID

from fastapi import Response

from crm_loyalty.earning import backtests
from crm_loyalty.schemas.backtests import BacktestIn, BacktestOut
from crm_shared import jobs
from crm_shared.callers import MANAGERS
from crm_shared.jobs import JobEnded, JobNotFound
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Session, allow

router = Router(tags=["earning rules"])


@router.post(
    "/v1/earning-rules/backtests",
    status_code=202,
    response_model=BacktestOut,
    dependencies=[allow(*MANAGERS)],
)
async def start_earning_backtest(
    session: Session, clock: CurrentClock, response: Response, body: BacktestIn
) -> BacktestOut:
    """Find out who would gain and who would lose by other rules, from what happened in a time, in a job.

    Nothing is given or taken. Every purchase and event is reckoned by the rules in force and by the others,
    as a real one is, with what was known of its customer when it came.
    """
    job = await backtests.start(session, body, at=clock.now())
    response.headers["Location"] = f"/v1/earning-rules/backtests/{job.id}"
    return BacktestOut.of(job)


@router.get(
    "/v1/earning-rules/backtests/{backtest_id}",
    response_model=BacktestOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(JobNotFound),
)
async def get_earning_backtest(session: Session, backtest_id: UUID) -> BacktestOut:
    """See how far a backtest is, and its report once it is done."""
    return BacktestOut.of(await jobs.get(session, backtest_id, kind=backtests.BACKTEST))


@router.post(
    "/v1/earning-rules/backtests/{backtest_id}/cancel",
    response_model=BacktestOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(JobNotFound, JobEnded),
)
async def cancel_earning_backtest(session: Session, clock: CurrentClock, backtest_id: UUID) -> BacktestOut:
    """End a backtest where it is."""
    await jobs.get(session, backtest_id, kind=backtests.BACKTEST)
    return BacktestOut.of(await jobs.cancel(session, backtest_id, at=clock.now()))
