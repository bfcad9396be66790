"""Messages on their way: claimed, sent with no transaction open, and marked; told of as events.

Who claims a message has it for a while. A worker that is told to stop ends what is on its way and marks it.
One that dies between sending and marking, or cannot reach its database then, leaves it to the next one, which
sends it again under the same id: as Message-ID or idempotency key it lets the other side see that they are
the same. So each is sent at least once, and only such a death can double one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import judging
from crm_loyalty.errors import MessageNotFound, MessageNotSent
from crm_loyalty.models.messages import Message, MessageState
from crm_shared import customers
from crm_shared.contracts import loyalty
from crm_shared.contracts.messages import MessageState as MessageEvent
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate

LEASE = timedelta(minutes=5)
MAILBOX = "mailbox"
"""The carrier that sends nothing: what would have been sent can be read."""
TOO_LATE = "too_late"
"""Why a message failed that nobody sent in its time."""

_FIRST_RETRY = timedelta(seconds=30)
_LAST_RETRY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Letter:
    """A claimed message in plain values."""

    id: UUID
    attempts: int
    channel: str
    address: str
    subject: str
    body: str
    html: str | None
    unsubscribe_url: str | None

    @classmethod
    def of(cls, message: Message) -> "Letter":
        return cls(
            message.id,
            message.attempts,
            message.channel,
            message.address,
            message.subject or "",
            message.body or "",
            message.html,
            message.unsubscribe_url,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How sending ended; `failure` is a code, and what failed for good is not tried again."""

    failure: str | None = None
    final: bool = False


async def claim(session: AsyncSession, channel: str, *, at: datetime, limit: int) -> list[Letter]:
    """The channel's messages that are to go out next, for as long as the lease; others leave them alone.

    They may have waited for their carrier, so each is asked about again: a consent that was withdrawn or
    a severe complaint since then stops it, at night it waits, and what comes too late does not go at all.
    """
    await customers.stop_merges(session)
    queued = (
        select(Message)
        .where(Message.state == MessageState.QUEUED, Message.try_at <= at, Message.channel == channel)
        .order_by(Message.try_at, Message.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    messages = list(await session.scalars(queued, execution_options={"populate_existing": True}))
    obstacles = await judging.obstacles(session, messages, at=at)
    letters = []
    for message in messages:
        obstacle = obstacles.get(message.id)
        if at >= message.give_up_at:
            _fail(session, message, message.failure or TOO_LATE, at)
        elif obstacle is None:
            message.try_at = at + LEASE
            message.attempts += 1
            letters.append(Letter.of(message))
        elif obstacle.until is None or obstacle.until >= message.give_up_at:
            _fail(session, message, obstacle.reason, at)
        else:
            message.try_at = obstacle.until
    return sorted(letters, key=lambda letter: letter.id)


async def settle(
    session: AsyncSession, ended: Sequence[tuple[Letter, Outcome]], *, carrier: str, at: datetime
) -> None:
    """Mark what became of claimed messages; whoever was erased meanwhile has none."""
    outcomes = dict(ended)
    locked = (
        select(Message)
        .where(Message.id.in_([letter.id for letter in outcomes]), Message.state == MessageState.QUEUED)
        .order_by(Message.id)
        .with_for_update()
    )
    rows = await session.scalars(locked, execution_options={"populate_existing": True})
    messages = {message.id: message for message in rows}
    for letter, outcome in outcomes.items():
        message = messages.get(letter.id)
        if message is None:
            continue
        if outcome.failure is None:
            message.carrier = carrier
            message.state, message.sent_at, message.failure = MessageState.SENT, at, None
            if carrier != MAILBOX:
                # It may hold the code of a coupon, which nobody is to read here.
                message.body = message.html = None
            _tell(session, message, loyalty.MessageSent, at)
        elif letter.attempts < message.attempts:
            continue  # the lease was over, and somebody else has it now
        elif outcome.final or at >= message.give_up_at:
            message.carrier = carrier
            _fail(session, message, outcome.failure, at)
        else:
            message.carrier, message.failure = carrier, outcome.failure
            wait = min(_FIRST_RETRY * 2 ** min(message.attempts - 1, 10), _LAST_RETRY)
            message.try_at = min(at + wait, message.give_up_at)


async def report(
    session: AsyncSession,
    message_id: UUID,
    state: MessageState,
    *,
    failure: str | None,
    occurred_at: datetime,
    at: datetime,
) -> Message:
    """Note what a carrier tells of a message later; telling it twice changes nothing.

    Raises MessageNotFound, MessageNotSent.
    """
    message = await _lock(session, message_id)
    if message is None:
        raise MessageNotFound(message_id=str(message_id))
    if message.state is MessageState.QUEUED:
        raise MessageNotSent(state=message.state.value)
    if state is MessageState.DELIVERED and message.delivered_at is None:
        message.delivered_at = occurred_at
        if message.state is MessageState.SENT:
            message.state = state
        _tell(session, message, loyalty.MessageDelivered, at)
    elif state is MessageState.ANSWERED and message.answered_at is None:
        message.answered_at, message.state = occurred_at, state
        _tell(session, message, loyalty.MessageAnswered, at)
    elif state is MessageState.FAILED and message.failed_at is None and message.answered_at is None:
        message.failed_at, message.failure, message.state = occurred_at, failure or "undelivered", state
        _tell(session, message, loyalty.MessageFailed, at)
    return message


async def mailbox(session: AsyncSession, customer_id: UUID | None, *, page: PageRequest) -> Listing[Message]:
    """What would have been sent had there been a carrier, newest first."""
    statement = select(Message).where(Message.carrier == MAILBOX)
    if customer_id is not None:
        owner = await customers.resolve_one(session, customer_id)
        statement = statement.where(Message.customer_id == owner)
    keys = [Key(Message.id, descending=True)]
    filters = str(customer_id)
    return await paginate(session, statement, keys, page=page, filters=filters)


def _fail(session: AsyncSession, message: Message, failure: str | None, at: datetime) -> None:
    message.state, message.failed_at, message.failure = MessageState.FAILED, at, failure
    message.body = message.html = None
    _tell(session, message, loyalty.MessageFailed, at)


async def _lock(session: AsyncSession, message_id: UUID) -> Message | None:
    return await session.get(Message, message_id, with_for_update=True, populate_existing=True)


def _tell(session: AsyncSession, message: Message, event: type[MessageEvent], at: datetime) -> None:
    message.version += 1
    publish(
        session,
        event(
            customer_id=message.origin_customer_id,
            version=message.version,
            message_id=message.id,
            purpose=message.purpose,
            channel=message.channel,
            template=message.template,
            template_version=message.template_version,
            language=message.language,
            campaign=message.plan_key,
            sent_at=message.sent_at or at,
            delivered_at=message.delivered_at,
            failed_at=message.failed_at,
            failure=message.failure if message.failed_at else None,
            answered_at=message.answered_at,
        ),
        at=at,
    )
