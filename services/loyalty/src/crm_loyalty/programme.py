"""The programme in figures, each with its definition."""

from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.ledger import Account, Entry, ProgrammeAccount
from crm_loyalty.schemas.programme import FigureOut, ProgrammeOut


async def get(session: AsyncSession) -> ProgrammeOut:
    """Figures of one instant: issued + adjusted − redeemed − expired − reversed + forgiven = outstanding."""
    # All sums by one walk over the entries.
    given = (
        select(
            *(
                func.coalesce(-func.sum(Entry.amount).filter(Entry.programme_account == account), 0).label(
                    account.value
                )
                for account in ProgrammeAccount
            )
        )
        .where(Entry.programme_account.is_not(None))
        .subquery()
    )
    owned = select(
        func.count().label("accounts"),
        func.coalesce(func.sum(Account.balance), 0).label("outstanding"),
        func.coalesce(func.sum(Account.held), 0).label("held"),
        func.coalesce(func.sum(-func.least(Account.balance, 0)), 0).label("owed"),
    ).subquery()
    row = (await session.execute(select(given, owned).join(owned, true()))).one()
    return ProgrammeOut(
        accounts=_figure(row.accounts, "accounts opened: one per customer id ever heard of"),
        issued=_figure(row.issued, "points ever given by rules, care plans, referrals and activities"),
        redeemed=_figure(-row.redeemed, "points ever spent, captured holds included"),
        adjusted=_figure(row.adjusted, "points given by hand, less those taken by hand"),
        expired=_figure(-row.expired, "points that had their time, but for those of purchases given back"),
        reversed=_figure(
            -row.reversed, "given points that were taken back, less spent points that came back"
        ),
        forgiven=_figure(row.forgiven, "points to be taken back that were spent already and are not owed"),
        owed=_figure(row.owed, "points that accounts below zero miss: taken back after they had been spent"),
        outstanding=_figure(
            row.outstanding, "points that customers have now, held ones included, less those owed"
        ),
        held=_figure(row.held, "of the outstanding points, those reserved by open holds"),
    )


def _figure(value: int, definition: str) -> FigureOut:
    return FigureOut(value=int(value), definition=definition)
