"""Care: a birthday plan among few and among many, from planning the day to the message's being marked."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from tests.bench.measuring import Measure, Options, Row
from tests.bench.stage import stage

from crm_loyalty.care import plans, templates
from crm_loyalty.carriers import sending
from crm_loyalty.carriers.ports import Mailbox
from crm_loyalty.handlers import due_work_of
from crm_loyalty.schemas.care_plans import PlanIn
from crm_loyalty.schemas.care_templates import TemplateIn
from crm_loyalty.settings import Settings
from crm_shared import due
from crm_shared.database import Sessions, create_engine, create_sessions
from crm_shared.due import DueWork
from crm_shared.testing import FrozenClock

DUE = 10_000
"""So many have their birthday on the day, however many there are."""
MORNING = datetime(2026, 3, 3, 9, tzinfo=UTC)
_NIGHT = datetime(2026, 3, 2, 23, tzinfo=UTC)

_TEMPLATE = {
    "default_language": "en",
    "texts": [
        {
            "language": "en",
            "channel": "email",
            "subject": "Happy birthday, {{ name }}",
            "text": "Dear {{ name }}, we give you {{ points }} points. {{ date }}",
            "html": "<p>Dear {{ name }}, we give you {{ points }} points.</p>",
        }
    ],
}
_PLAN = {
    "names": {"en": "Birthday"},
    "trigger": {"kind": "birthday"},
    "action": {"message": {"template": "birthday", "channel": "email"}, "points": 200},
}
_DONE = """
    SELECT (SELECT count(*) FROM care_occasions WHERE plan_key = :key) AS planned,
        (SELECT count(*) FROM care_occasions WHERE plan_key = :key AND state = 'done') AS done,
        (SELECT count(*) FROM messages WHERE plan_key = :key AND state = 'sent') AS sent,
        (SELECT count(*) FROM transactions WHERE source = 'care') AS given
"""


@asynccontextmanager
async def caring(options: Options) -> AsyncIterator[Sequence[Row]]:
    """The clock is ours, so that every round has its own plan for the same day."""
    sizes = (options.customers, 10 * options.customers)
    async with AsyncExitStack() as stack:
        programmes = {size: await stack.enter_async_context(_programme(size)) for size in sizes}
        rows: list[Row] = []
        for size, programme in programmes.items():
            rows += [
                Row(f"plan a day, {DUE:,} of {size:,}", programme.plan, unit="occasions/s"),
                Row(f"look again, {size:,}", programme.look_again, unit="looks/s"),
            ]
        rows += [
            Row(f"act, {size:,}", programme.act, unit="occasions/s"),
            Row(f"send, {size:,}", programme.send, unit="messages/s"),
        ]
        yield rows


@asynccontextmanager
async def _programme(customers: int) -> AsyncIterator["Programme"]:
    async with stage() as on:
        await on.seed("loyalty", customers, "care")
        settings = Settings.model_validate(on.environment("loyalty-worker"))
        engine = create_engine(settings)
        try:
            yield Programme(create_sessions(engine), due_work_of(settings))
        finally:
            await engine.dispose()


@dataclass
class Programme:
    """A loyalty with so many customers, and its worker's code in this process."""

    sessions: Sessions
    work: DueWork
    clock: FrozenClock = field(default_factory=FrozenClock)
    round: int = 0

    @property
    def key(self) -> str:
        return f"birthday-{self.round}"

    async def plan(self) -> Measure:
        """From the plan's being written to the last occasion's being due."""
        self.round += 1
        self.clock.at = _NIGHT
        await self._write()
        measure = await self._measure(self._due, DUE)
        planned = (await self._done())["planned"]
        return measure if planned == DUE else Measure.failed(f"{planned} were planned")

    async def look_again(self) -> Measure:
        """As every ten minutes on that day: everybody is planned already."""
        self.clock.advance(timedelta(minutes=11))
        return await self._measure(self._due, 1)

    async def act(self) -> Measure:
        """All that is judged, given and written when the window opens."""
        self.clock.at = MORNING
        measure = await self._measure(self._due, DUE)
        found = await self._done()
        right = found["done"] == DUE and found["given"] == self.round * DUE
        return measure if right else Measure.failed(str(found))

    async def send(self) -> Measure:
        """Claimed, handed to a carrier that takes no time, and marked."""
        measure = await self._measure(self._send, DUE)
        sent = (await self._done())["sent"]
        return measure if sent == DUE else Measure.failed(f"{sent} were sent")

    async def _due(self) -> None:
        while await due.run(self.sessions, self.work, self.clock):
            pass

    async def _send(self) -> None:
        while await sending.send(self.sessions, "email", Mailbox(), self.clock):
            pass

    async def _measure(self, work: Callable[[], Awaitable[None]], units: int) -> Measure:
        began, cpu = time.perf_counter(), time.process_time()
        await work()
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        return Measure(units / seconds, cpu=used * 1000 / units, notes={"ms in all": seconds * 1000})

    async def _write(self) -> None:
        """The text, once, and this round's plan."""
        at = self.clock.now()
        async with self.sessions.begin() as session:
            if await templates.find(session, "birthday") is None:
                body = TemplateIn.model_validate(_TEMPLATE)
                await templates.put(
                    session, "birthday", body, if_match=None, if_none_match="*", at=at, by="bench"
                )
            plan = PlanIn.model_validate(_PLAN)
            await plans.put(session, self.key, plan, if_match=None, if_none_match="*", at=at, by="bench")

    async def _done(self) -> dict[str, int]:
        async with self.sessions() as session:
            return dict((await session.execute(text(_DONE), {"key": self.key})).one()._mapping)
