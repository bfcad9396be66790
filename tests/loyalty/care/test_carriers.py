"""Messages leave through a real mail server: nothing is lost, and what is tried again has the same id."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import UUID

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from asyncpg import InterfaceError, InternalClientError
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.loyalty.care.conftest import Queue, complaint, said, state_of

from crm_loyalty.care import messages
from crm_loyalty.care.messages import Letter, Outcome
from crm_loyalty.carriers import ports, sending
from crm_loyalty.carriers.ports import LANES, Carrier, Tell
from crm_loyalty.carriers.smtp import SmtpCarrier
from crm_loyalty.models.messages import MessageState
from crm_shared.contracts.permissions import ConsentState
from crm_shared.contracts.tickets import TicketClosed, TicketOpened
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, published


class Inbox:
    """A mail server that keeps what it gets, and refuses whom it does not know."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.answer = "250 OK"
        self.takes = 0.01
        self.begun = asyncio.Event()
        self.a_connection_takes = 1_000
        self.taken: Counter[int] = Counter()
        self.together = self.most_together = 0

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.begun.set()
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        await asyncio.sleep(self.takes)
        self.together -= 1
        self.taken[id(session)] += 1
        if self.taken[id(session)] > self.a_connection_takes:
            return "421 enough for one connection"
        if self.answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            self.messages.append(message_from_bytes(content, policy=policy.default))
        return self.answer


@pytest_asyncio.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, SmtpCarrier]]:
    kept = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(kept, loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield kept, SmtpCarrier(f"smtp://127.0.0.1:{port}", "care@shop.example")
    server.close()


async def test_an_e_mail_arrives_with_its_headers_and_is_told_of(
    sessions: Sessions, clock: FrozenClock, queue: Queue, inbox: tuple[Inbox, SmtpCarrier]
) -> None:
    kept, carrier = inbox
    message = await queue()
    assert await sending.send(sessions, "email", carrier, clock) == 1
    [mail] = kept.messages
    assert mail["Subject"] == "生日快乐!"
    assert mail["Message-ID"] == f"<{message.id}@shop.example>"
    assert mail["List-Unsubscribe"] == "<https://crm.example/v1/unsubscribe/x>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    body, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert body is not None
    assert "Lucía" in body.get_content()
    assert html is not None
    assert await state_of(sessions, message) == (MessageState.SENT, None)
    assert [row.type for row in await published(sessions)] == ["loyalty.message.sent.v1"]
    assert await sending.send(sessions, "email", carrier, clock) == 0


async def test_a_server_that_is_busy_is_tried_again_and_a_refusal_is_not(
    sessions: Sessions, clock: FrozenClock, queue: Queue, inbox: tuple[Inbox, SmtpCarrier]
) -> None:
    kept, carrier = inbox
    kept.answer = "451 try later"
    busy, refused = await queue(), await queue(address="nobody@shop.example")
    await sending.send(sessions, "email", carrier, clock)
    assert await state_of(sessions, busy) == (MessageState.QUEUED, "smtp_451")
    assert await state_of(sessions, refused) == (MessageState.FAILED, "smtp_550")
    kept.answer = "250 OK"
    assert await sending.send(sessions, "email", carrier, clock) == 0, "not at once"
    clock.advance(timedelta(seconds=30))
    await sending.send(sessions, "email", carrier, clock)
    assert (await state_of(sessions, busy))[0] is MessageState.SENT
    assert [row.type for row in await published(sessions)] == [
        "loyalty.message.failed.v1",
        "loyalty.message.sent.v1",
    ]


async def test_a_server_that_is_gone_loses_nothing_until_it_is_too_late(
    sessions: Sessions, clock: FrozenClock, queue: Queue
) -> None:
    carrier = SmtpCarrier("smtp://127.0.0.1:1", "care@shop.example")
    message = await queue()
    await sending.send(sessions, "email", carrier, clock)
    assert await state_of(sessions, message) == (MessageState.QUEUED, "carrier_unreachable")
    clock.advance(timedelta(days=1))
    await sending.send(sessions, "email", carrier, clock)
    assert await state_of(sessions, message) == (MessageState.FAILED, "carrier_unreachable")


async def test_what_nobody_sent_in_its_time_is_not_sent_later(
    sessions: Sessions, clock: FrozenClock, queue: Queue, inbox: tuple[Inbox, SmtpCarrier]
) -> None:
    kept, carrier = inbox
    message = await queue()
    clock.advance(timedelta(days=1))
    assert await sending.send(sessions, "email", carrier, clock) == 0
    assert await state_of(sessions, message) == (MessageState.FAILED, "too_late")
    assert kept.messages == []


class Slow:
    """A carrier with whom the second letter is still on its way while the first is being marked."""

    name = "slow"

    def __init__(self) -> None:
        self.carried: list[UUID] = []
        self.ended = 0

    async def carry(self, letters: Sequence[Letter], tell: Tell) -> None:
        for letter in letters:
            self.carried.append(letter.id)
            tell(letter, Outcome())
            self.ended += 1
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("error", [InternalClientError, InterfaceError, TimeoutError, ConnectionResetError])
async def test_however_the_database_goes_away_nothing_is_sent_twice_or_broken_off(
    committed: dict[str, Sessions],
    sessions: Sessions,
    engines: dict[str, AsyncEngine],
    clock: FrozenClock,
    queue: Queue,
    error: type[Exception],
) -> None:
    written, carrier = [await queue(), await queue()], Slow()
    faults = [error("half heard"), error("half heard")]

    def fail(*_: object) -> None:
        if carrier.ended and faults:
            raise faults.pop()

    engine = engines["loyalty"].sync_engine
    event.listen(engine, "before_cursor_execute", fail)
    try:
        assert await sending.send(sessions, "email", carrier, clock) == 2
    finally:
        event.remove(engine, "before_cursor_execute", fail)

    assert [await state_of(sessions, each) for each in written] == [(MessageState.SENT, None)] * 2
    clock.advance(messages.LEASE + timedelta(hours=1))
    assert await sending.send(sessions, "email", carrier, clock) == 0
    assert sorted(carrier.carried) == sorted(each.id for each in written)


GONE = SmtpCarrier("smtp://127.0.0.1:1", "care@shop.example")


async def test_a_night_that_came_while_the_server_was_gone_is_waited_out(
    sessions: Sessions, clock: FrozenClock, queue: Queue, inbox: tuple[Inbox, SmtpCarrier]
) -> None:
    kept, carrier = inbox
    clock.at = datetime(2026, 3, 2, 20, 59, 30, tzinfo=UTC)
    message = await queue()
    await sending.send(sessions, "email", GONE, clock)
    clock.advance(timedelta(minutes=1))
    assert await sending.send(sessions, "email", carrier, clock) == 0
    clock.at = datetime(2026, 3, 3, 7, 59, 59, tzinfo=UTC)
    assert await sending.send(sessions, "email", carrier, clock) == 0
    clock.advance(timedelta(seconds=1))
    assert await sending.send(sessions, "email", carrier, clock) == 1
    assert await state_of(sessions, message) == (MessageState.SENT, None)
    assert len(kept.messages) == 1


async def test_a_consent_that_was_withdrawn_while_the_server_was_gone_stops_the_message(
    sessions: Sessions,
    clock: FrozenClock,
    queue: Queue,
    receive: Callable[..., Awaitable[None]],
    inbox: tuple[Inbox, SmtpCarrier],
) -> None:
    kept, carrier = inbox
    message = await queue()
    await sending.send(sessions, "email", GONE, clock)
    await receive(said(message.customer_id, ConsentState.DENIED))
    clock.advance(timedelta(minutes=1))
    assert await sending.send(sessions, "email", carrier, clock) == 0
    assert await state_of(sessions, message) == (MessageState.FAILED, "consent_denied")
    assert kept.messages == []
    assert [row.type for row in await published(sessions)] == ["loyalty.message.failed.v1"]


async def test_a_severe_complaint_that_came_meanwhile_holds_the_message_back_until_it_is_settled(
    sessions: Sessions,
    clock: FrozenClock,
    queue: Queue,
    receive: Callable[..., Awaitable[None]],
    inbox: tuple[Inbox, SmtpCarrier],
) -> None:
    kept, carrier = inbox
    message, ticket = await queue(), uuid7()
    await receive(complaint(TicketOpened, message.customer_id, ticket, 1))
    assert await sending.send(sessions, "email", carrier, clock) == 0
    clock.advance(timedelta(hours=1))
    assert await sending.send(sessions, "email", carrier, clock) == 0
    await receive(complaint(TicketClosed, message.customer_id, ticket, 2))
    clock.advance(timedelta(hours=1))
    assert await sending.send(sessions, "email", carrier, clock) == 1
    assert len(kept.messages) == 1


async def test_messages_are_sent_by_several_connections_at_once(
    sessions: Sessions, clock: FrozenClock, queue: Queue, inbox: tuple[Inbox, SmtpCarrier]
) -> None:
    kept, carrier = inbox
    sent = [await queue(address=f"{number}@shop.example") for number in range(30)]
    assert await sending.send(sessions, "email", carrier, clock) == 30
    assert 2 <= kept.most_together <= LANES
    assert sorted(mail["To"] for mail in kept.messages) == sorted(message.address for message in sent)


async def test_a_server_that_ends_connections_early_gets_everything_once(
    sessions: Sessions, clock: FrozenClock, queue: Queue, inbox: tuple[Inbox, SmtpCarrier]
) -> None:
    kept, carrier = inbox
    kept.a_connection_takes = 2
    for number in range(30):
        await queue(address=f"{number}@shop.example")
    await sending.send(sessions, "email", carrier, clock)
    assert len(kept.messages) == 2 * LANES
    clock.advance(timedelta(seconds=30))
    await sending.send(sessions, "email", carrier, clock)
    assert len({mail["To"] for mail in kept.messages}) == len(kept.messages) == 30


async def test_who_sent_after_the_lease_does_not_disturb_who_has_it_now(
    sessions: Sessions, clock: FrozenClock, queue: Queue
) -> None:
    message = await queue()
    letters = []
    for _ in range(2):
        async with sessions.begin() as session:
            letters += await messages.claim(session, "email", at=clock.now(), limit=10)
        clock.advance(messages.LEASE)
    first, second = letters
    for letter, failure, expected in (
        (first, "carrier_unreachable", (MessageState.QUEUED, None)),
        (second, None, (MessageState.SENT, None)),
        (first, "carrier_unreachable", (MessageState.SENT, None)),
    ):
        async with sessions.begin() as session:
            ended = [(letter, Outcome(failure))]
            await messages.settle(session, ended, carrier="smtp", at=clock.now())
        assert await state_of(sessions, message) == expected


async def test_a_worker_that_is_told_to_stop_marks_what_has_left_and_takes_no_more(
    committed: dict[str, Sessions],
    sessions: Sessions,
    clock: FrozenClock,
    queue: Queue,
    inbox: tuple[Inbox, SmtpCarrier],
) -> None:
    kept, carrier = inbox
    kept.takes = 0.3
    written = [await queue(address=f"{number}@shop.example") for number in range(3 * LANES)]
    sender = asyncio.create_task(sending.send(sessions, "email", carrier, clock))
    await kept.begun.wait()

    sender.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sender

    left = {mail["To"] for mail in kept.messages}
    states = {each.address: await state_of(sessions, each) for each in written}
    assert 1 <= len(left) <= LANES
    assert {who for who, (state, _) in states.items() if state is MessageState.SENT} == left
    kept.takes = 0.0
    clock.advance(messages.LEASE)
    assert await sending.send(sessions, "email", carrier, clock) == len(written) - len(left)
    assert Counter(mail["To"] for mail in kept.messages) == Counter(each.address for each in written)


async def test_what_was_told_while_others_were_marked_is_marked_before_the_stop(
    committed: dict[str, Sessions],
    sessions: Sessions,
    engines: dict[str, AsyncEngine],
    clock: FrozenClock,
    queue: Queue,
) -> None:
    written, carrier = [await queue(), await queue()], Slow()
    sender = asyncio.create_task(sending.send(sessions, "email", carrier, clock))

    def stop(*_: object) -> None:
        if carrier.ended == 1:  # the first is just being marked
            sender.cancel()

    engine = engines["loyalty"].sync_engine
    event.listen(engine, "before_cursor_execute", stop)
    try:
        with pytest.raises(asyncio.CancelledError):
            await sender
    finally:
        event.remove(engine, "before_cursor_execute", stop)

    sent = [each.id for each in written if (await state_of(sessions, each))[0] is MessageState.SENT]
    assert sent == carrier.carried


async def test_a_server_that_does_not_answer_holds_no_stop_up(
    committed: dict[str, Sessions],
    sessions: Sessions,
    clock: FrozenClock,
    queue: Queue,
    inbox: tuple[Inbox, SmtpCarrier],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, carrier = inbox
    kept.takes = 60.0
    monkeypatch.setattr(ports, "FINISH_WITHIN", 0.1)
    message = await queue()
    sender = asyncio.create_task(sending.send(sessions, "email", carrier, clock))
    await kept.begun.wait()

    sender.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await sender

    assert await state_of(sessions, message) == (MessageState.QUEUED, None)


class Died(Exception):
    """The process was killed."""


class Mortal:
    """Hands letters to a carrier and dies before anybody hears of it."""

    name = "smtp"

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def carry(self, letters: Sequence[Letter], tell: Tell) -> None:
        await self._carrier.carry(letters, lambda letter, outcome: None)
        raise Died


async def test_a_death_between_sending_and_marking_sends_the_same_message_again(
    sessions: Sessions, clock: FrozenClock, queue: Queue, inbox: tuple[Inbox, SmtpCarrier]
) -> None:
    kept, carrier = inbox
    message = await queue()
    with pytest.RaisesGroup(Died):
        await sending.send(sessions, "email", Mortal(carrier), clock)
    assert await sending.send(sessions, "email", carrier, clock) == 0, "somebody has a lease"
    clock.advance(timedelta(minutes=5))
    assert await sending.send(sessions, "email", carrier, clock) == 1
    assert [mail["Message-ID"] for mail in kept.messages] == [f"<{message.id}@shop.example>"] * 2
    assert len(await published(sessions)) == 1
