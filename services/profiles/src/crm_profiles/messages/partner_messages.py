"""Messages that other systems have sent themselves: each logged once by what they call it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import Entry
from crm_profiles.errors import MessageDiffers
from crm_profiles.messages import messages
from crm_profiles.messages.messages import LogEntry
from crm_profiles.models.messages import Message
from crm_profiles.models.timeline import EntryType
from crm_profiles.rules import instants
from crm_profiles.schemas.messages import MessageIn
from crm_shared.customers import CustomerNotFound
from crm_shared.ids import derived


async def record(session: AsyncSession, body: MessageIn, *, at: datetime) -> tuple[UUID, bool]:
    """Log it or complete it; says its id, and whether it is new.

    Raises CustomerNotFound, MessageDiffers, and InvalidRequest for what has not happened yet.
    """
    for name in ("sent_at", "delivered_at", "failed_at", "answered_at"):
        instants.check(f"/{name}", getattr(body, name), now=at)
    owners = await messages.lock_owners(session, [body.customer_id])
    owner = owners.get(body.customer_id)
    if owner is None:
        raise CustomerNotFound(customer_id=str(body.customer_id))
    message_id = derived("message", body.source, body.external_id)
    known = await session.get(Message, message_id)
    if known is not None:
        same = (owner.id, body.purpose, body.channel, body.sent_at)
        if same != (known.customer_id, known.purpose, known.channel, known.sent_at):
            raise MessageDiffers(message_id=str(message_id))
    await messages.log(session, [LogEntry(id=message_id, **body.model_dump())], owners, at=at)
    title = f"A message went out for {body.purpose} by {body.channel}"
    facts = body.model_dump(mode="json", exclude={"customer_id"}, exclude_none=True)
    entry = Entry(message_id, owner, EntryType.MESSAGE_SENT, body.sent_at, title, facts)
    await timeline.record(session, [entry], at=at)
    return message_id, known is None
