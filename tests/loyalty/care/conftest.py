"""What the tests of care share: people who become known, plans, queued messages, and time that passes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from crm_loyalty.carriers import sending
from crm_loyalty.carriers.sending import Sender
from crm_loyalty.handlers import due_work_of
from crm_loyalty.models.messages import Message, MessageState
from crm_shared import due
from crm_shared.contracts.base import Event
from crm_shared.contracts.permissions import Consent, ConsentState, PermissionState
from crm_shared.contracts.profiles import ConsentChanged, ContactPointState, CustomerChanged, CustomerCreated
from crm_shared.contracts.tickets import TicketOpened, TicketState
from crm_shared.database import Sessions
from crm_shared.due import DueWork
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived

BIRTHDAY: dict[str, Any] = {
    "names": {"en": "Birthday", "es": "Cumpleaños"},
    "trigger": {"kind": "birthday"},
    "action": {"message": {"template": "birthday", "channel": "email"}, "points": 1200},
}
TEMPLATE: dict[str, Any] = {
    "default_language": "en",
    "texts": [
        {
            "language": "en",
            "channel": "email",
            "subject": "Happy birthday, {{ name }}!",
            "text": "{{ date }}: {{ points }} points {{ coupon }}",
        },
        {
            "language": "es",
            "channel": "email",
            "subject": "¡Felicidades, {{ name }}!",
            "text": "{{ date }}: {{ points }} puntos",
            "html": "<p>{{ name }}</p>",
        },
        {
            "language": "zh",
            "channel": "email",
            "subject": "{{ name }},生日快乐!",
            "text": "{{ date }}",
        },
    ],
}

Outcome = tuple[str, str | None]
Queue = Callable[..., Awaitable[Message]]


@dataclass
class Care:
    """Loyalty as care sees it, and its worker."""

    loyalty: httpx2.AsyncClient
    sessions: Sessions
    clock: FrozenClock
    receive: Callable[..., Awaitable[None]]
    work: DueWork
    send: Sender

    async def write(self, key: str = "birthday", **terms: Any) -> None:
        """The text and a plan, their first version or the next."""
        for path, body in (("templates/birthday", TEMPLATE), (f"plans/{key}", BIRTHDAY | terms)):
            headers = {"If-None-Match": "*"}
            if etag := (await self.loyalty.get(f"/v1/care/{path}")).headers.get("ETag"):
                headers = {"If-Match": etag}
            answer = await self.loyalty.put(f"/v1/care/{path}", json=body, headers=headers)
            assert answer.status_code == 200, answer.text

    async def turn(self) -> None:
        """What the worker does at this instant: all that is due, then all that is queued."""
        while await due.run(self.sessions, self.work, self.clock):
            pass
        while await self.send(self.sessions, self.clock):
            pass

    async def at(self, instant: str) -> None:
        """It is now that time, and the worker has done what it does then."""
        self.clock.at = datetime.fromisoformat(instant)
        await self.turn()

    async def mailbox(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.loyalty.get("/v1/care/mailbox")).json()["items"]
        return items

    async def occasions(self, key: str = "birthday") -> list[Outcome]:
        items = (await self.loyalty.get(f"/v1/care/plans/{key}/occasions")).json()["items"]
        return sorted(((each["state"], each["reason"]) for each in items), key=str)

    async def dry_run(self, on: str, key: str = "birthday") -> dict[str, dict[str, Any]]:
        answer = await self.loyalty.post(f"/v1/care/plans/{key}/dry-run?on={on}")
        assert answer.status_code == 200, answer.text
        return {item["customer_id"]: item for item in answer.json()["items"]}

    async def balance(self, customer_id: UUID) -> int:
        return int((await self.loyalty.get(f"/v1/accounts/{customer_id}")).json()["balance"])


@pytest.fixture
def care(
    loyalty: httpx2.AsyncClient,
    sessions: Sessions,
    clock: FrozenClock,
    receive: Callable[..., Awaitable[None]],
    apps: Callable[[str], FastAPI],
) -> Care:
    settings = apps("loyalty").state.settings
    send = sending.sender(sending.carriers_of(settings))
    return Care(loyalty, sessions, clock, receive, due_work_of(settings), send)


@pytest.fixture
def queue(sessions: Sessions, clock: FrozenClock) -> Queue:
    """Puts a message into the queue, as one who has decided that it goes would."""

    async def write(
        channel: str = "email", address: str = "lucia@shop.example", who: UUID | None = None
    ) -> Message:
        who = who or uuid7()
        message = Message(
            customer_id=who,
            origin_customer_id=who,
            channel=channel,
            purpose="greeting",
            address=address,
            subject="生日快乐!",
            body="Felicidades, Lucía",
            html="<p>Felicidades</p>",
            unsubscribe_url="https://crm.example/v1/unsubscribe/x",
            template="birthday",
            template_version=1,
            language="es",
            plan_key="birthday",
            try_at=clock.now(),
            give_up_at=clock.now() + timedelta(days=1),
            queued_at=clock.now(),
        )
        async with sessions.begin() as session:
            session.add(message)
        return message

    return write


async def state_of(sessions: Sessions, message: Message) -> tuple[MessageState, str | None]:
    async with sessions() as session:
        row = (await session.scalars(select(Message).where(Message.id == message.id))).one()
        return row.state, row.failure


LUCIA: dict[str, Any] = {
    "name": "Lucía",
    "language": "es-MX",
    "time_zone": "Asia/Shanghai",
    "birth_date": date(1990, 3, 3),
    "contact_points": [ContactPointState(kind="email", value="lucia@shop.example")],
}


def person(customer_id: UUID, **about: Any) -> Event:
    return arrived(CustomerCreated(customer_id=customer_id, version=1, **(LUCIA | about)))


def changed(customer_id: UUID, version: int = 2, **about: Any) -> Event:
    return arrived(CustomerChanged(customer_id=customer_id, version=version, **(LUCIA | about)))


def complaint(kind: type[TicketState], customer_id: UUID, ticket_id: UUID, version: int) -> Event:
    return arrived(
        kind(
            customer_id=customer_id,
            version=version,
            ticket_id=ticket_id,
            number=1,
            kind="complaint",
            severity="critical",
            status="open" if kind is TicketOpened else "closed",
            title="It burnt",
            opened_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
    )


def said(customer_id: UUID, state: ConsentState, version: int = 2) -> Event:
    """What the customer says about greetings by e-mail."""
    consent = Consent(
        purpose="greeting",
        channel="email",
        state=state,
        basis="consent",
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )
    permission = PermissionState(consents=[consent])
    return arrived(ConsentChanged(customer_id=customer_id, version=version, permission=permission))
