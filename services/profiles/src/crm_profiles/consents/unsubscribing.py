"""Unsubscribing: a consent withdrawn by the link in a message, without a sign-in."""

from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.consents import consents, contact_policy
from crm_profiles.customers import documents
from crm_profiles.errors import PurposeNotFound, UnsubscribeLinkInvalid
from crm_profiles.schemas.consents import ConsentIn
from crm_shared import unsubscribing
from crm_shared.clock import Clock
from crm_shared.contracts.permissions import ConsentState
from crm_shared.customers import CustomerNotFound
from crm_shared.unsubscribing import Subscription

SOURCE = "unsubscribe"


async def link(session: AsyncSession, subscription: Subscription, secret: bytes) -> str:
    """What a message to them carries; raises CustomerNotFound, PurposeNotFound."""
    await documents.current_id(session, subscription.customer_id)
    if subscription.purpose not in (await contact_policy.current(session)).policy.purposes:
        raise PurposeNotFound(purpose=subscription.purpose)
    return unsubscribing.path(subscription, secret)


def read(token: str, secret: bytes) -> Subscription:
    """Raises UnsubscribeLinkInvalid."""
    found = unsubscribing.read(token, secret)
    if found is None:
        raise UnsubscribeLinkInvalid
    return found


async def withdraw(session: AsyncSession, subscription: Subscription, *, clock: Clock) -> None:
    """Nobody writes to them for this purpose by this way any more; the same twice changes nothing.

    Nor is there anything to withdraw for who is not on file any more, or a purpose nobody writes for now: a
    link that was valid tells nothing else than any other.
    """
    said = ConsentIn(state=ConsentState.DENIED, source=SOURCE)
    with suppress(CustomerNotFound, PurposeNotFound):
        await consents.state(session, *subscription, said, clock=clock, by=SOURCE)
