"""The ladder as data: a change is a new version, by which everybody is looked at again."""

from datetime import datetime, timedelta

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import TierLadderNotFound
from crm_loyalty.ledger import points_policy
from crm_loyalty.models.ledger import Account
from crm_loyalty.models.tiers import TierLadder
from crm_loyalty.rules.tiers import Ladder, Tier
from crm_loyalty.schemas.tiers import TierBenefits, TierLadderIn, TierLadderOut
from crm_shared import due, versions
from crm_shared.pages import Key, Listing, PageRequest, paginate

LOOK = "tier"
"""The kind of due work by which customers are looked at when time alone may change their tier."""


async def find(session: AsyncSession) -> TierLadder | None:
    """The newest version."""
    return await session.scalar(select(TierLadder).order_by(TierLadder.version.desc()).limit(1))


async def get(session: AsyncSession, *, version: int | None = None) -> TierLadder:
    """That version, or the newest; raises TierLadderNotFound."""
    found = await find(session) if version is None else await session.get(TierLadder, version)
    if found is None:
        raise TierLadderNotFound
    return found


async def in_force(session: AsyncSession) -> Ladder | None:
    """The newest version, for the rule; None while there are no tiers."""
    found = await find(session)
    return (
        await ladder_of(session, found.version, TierLadderIn.model_validate(found.terms)) if found else None
    )


async def ladder_of(session: AsyncSession, version: int, terms: TierLadderIn) -> Ladder:
    """The ladder as the rule knows it; its days and years begin as the programme's."""
    return Ladder(
        version=version,
        tiers=tuple(Tier(tier.key, tier.threshold) for tier in terms.tiers),
        basis=terms.basis,
        currency=terms.currency,
        period=terms.period.kind,
        months=terms.period.months,
        grace=timedelta(days=terms.grace_days),
        notice=timedelta(days=terms.notice_days),
        zone=points_policy.zone(await points_policy.current(session)),
    )


def benefits(row: TierLadder, tier: str | None) -> TierBenefits | None:
    """What customers of the tier get; None without one."""
    tiers = TierLadderIn.model_validate(row.terms).tiers
    return next((each.benefits for each in tiers if each.key == tier), None)


def out(row: TierLadder) -> TierLadderOut:
    return TierLadderOut(
        **dict(TierLadderIn.model_validate(row.terms)),
        version=row.version,
        created_at=row.created_at,
        created_by=row.created_by,
    )


async def list_versions(session: AsyncSession, *, page: PageRequest) -> Listing[TierLadder]:
    """Every version, the newest first."""
    return await paginate(
        session,
        select(TierLadder),
        [Key(TierLadder.version, descending=True)],
        page=page,
    )


async def put(
    session: AsyncSession,
    body: TierLadderIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> TierLadder:
    """Write the next version, and have every customer looked at by it.

    Raises IfMatchMissing, StaleVersion.
    """
    current = await find(session)
    written = await versions.write(
        session,
        TierLadder,
        {"terms": body.model_dump(mode="json")},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )
    accounts = Account.metadata.tables[Account.__tablename__].c
    own = accounts.customer_id == accounts.origin_customer_id
    await session.execute(due.scheduling(literal(LOOK), accounts.origin_customer_id, literal(at), own))
    return written
