"""The contact policy: the company's rules for writing to customers, a new version with each change."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.models.consents import ContactPolicyVersion
from crm_shared import versions
from crm_shared.contracts.permissions import ContactPolicy
from crm_shared.contracts.profiles import ContactPolicyChanged
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.permissions import INITIAL_POLICY, INITIAL_VERSION


@dataclass(frozen=True)
class InForce:
    """The rules that count now."""

    version: int
    policy: ContactPolicy


async def current(session: AsyncSession) -> InForce:
    """The newest version; until somebody writes one, the rules that every service has from the start."""
    newest = select(ContactPolicyVersion).order_by(ContactPolicyVersion.version.desc()).limit(1)
    row = await session.scalar(newest)
    if row is None:
        return InForce(INITIAL_VERSION, INITIAL_POLICY)
    return InForce(row.version, ContactPolicy.model_validate(row.policy))


async def put(
    session: AsyncSession, policy: ContactPolicy, *, if_match: str | None, at: datetime, by: str
) -> InForce:
    """Write the next version over the one that the caller has seen; raises IfMatchMissing, StaleVersion."""
    known = await current(session)
    written = await versions.write(
        session,
        ContactPolicyVersion,
        {"policy": policy.model_dump(mode="json")},
        over=known.version,
        if_match=if_match,
        at=at,
        by=by,
    )
    publish(session, ContactPolicyChanged(version=written.version, policy=policy), at=at)
    return InForce(written.version, policy)


async def list_versions(session: AsyncSession, *, page: PageRequest) -> Listing[ContactPolicyVersion]:
    """Every version that was ever written, the newest first."""
    return await paginate(
        session,
        select(ContactPolicyVersion),
        [Key(ContactPolicyVersion.version, descending=True)],
        page=page,
    )
