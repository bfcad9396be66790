"""The ledger against a plain model in memory: any sequence of batches gives the same answers and balances."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypedDict
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from crm_loyalty import reconcile
from crm_loyalty.handlers import due_work
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.postings import Adjust, Capture, Earn, PlaceHold, Posting, Release, Spend
from crm_shared import due
from crm_shared.contracts.base import Event
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

Receive = Callable[..., Awaitable[None]]
MakeEvent = Callable[..., Event]

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
PEOPLE = 3

# What is done, by whom, how much, and a number that picks a lot's expiry, a hold, or a posting to repeat.
Step = tuple[str, int, int, int]
STEPS = st.tuples(
    st.sampled_from(["earn", "earn", "spend", "adjust", "hold", "capture", "release", "repeat"]),
    st.integers(0, PEOPLE - 1),
    st.integers(1, 40),
    st.integers(0, 5),
)
BATCHES = st.lists(
    st.one_of(
        st.lists(STEPS, min_size=1, max_size=8),
        st.sampled_from(["merge", "part", "a minute passes", "due work runs"]),
    ),
    min_size=1,
    max_size=14,
)


@dataclass
class Lot:
    account: int
    expires_at: datetime
    earned_at: datetime
    number: int
    left: int


@dataclass
class Hold:
    who: int
    parts: dict[int, int]
    expires_at: datetime
    state: str = "open"


@dataclass
class Model:
    """Points as anybody would reckon them, one posting at a time."""

    owner: list[int] = field(default_factory=lambda: list(range(PEOPLE)))
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)

    def owned(self, who: int) -> list[int]:
        return [account for account in range(PEOPLE) if self.owner[account] == self.owner[who]]

    def balance(self, who: int) -> int:
        return sum(lot.left for lot in self.lots if lot.account in self.owned(who))

    def held(self, account: int) -> int:
        return sum(hold.parts.get(account, 0) for hold in self.holds if hold.state == "open")

    def free(self, account: int) -> int:
        return sum(lot.left for lot in self.lots if lot.account == account) - self.held(account)

    def available(self, who: int) -> int:
        return sum(self.free(account) for account in self.owned(who))

    def give(self, who: int, points: int, expires_at: datetime, at: datetime) -> str:
        self.lots.append(Lot(who, expires_at, at, len(self.lots), points))
        return "done"

    def spend(self, who: int, points: int) -> str:
        if points > self.available(who):
            return "insufficient_points"
        self.take({account: self.free(account) for account in self.owned(who)}, points)
        return "done"

    def take(self, limits: dict[int, int], points: int) -> None:
        for lot in sorted(self.lots, key=lambda lot: (lot.expires_at, lot.earned_at, lot.number)):
            part = min(points, lot.left, limits.get(lot.account, 0))
            if part > 0:
                lot.left -= part
                limits[lot.account] -= part
                points -= part
        assert points == 0

    def hold(self, who: int, points: int, expires_at: datetime) -> str:
        if points > self.available(who):
            return "insufficient_points"
        parts: dict[int, int] = {}
        for account in sorted(self.owned(who), key=lambda account: (account != who, account)):
            if part := min(points - sum(parts.values()), self.free(account)):
                parts[account] = part
        self.holds.append(Hold(who, parts, expires_at))
        return "done"

    def resolve(self, hold: Hold, who: int, how: str, at: datetime) -> str:
        if self.owner[hold.who] != self.owner[who]:
            return "hold_not_found"
        if hold.state == "ran out" or at >= hold.expires_at:
            return "hold_ran_out"
        if hold.state != "open":
            return "hold_resolved"
        hold.state = how
        if how == "capture":
            self.take(dict(hold.parts), sum(hold.parts.values()))
        return "done"

    def run_out(self, at: datetime) -> None:
        for hold in self.holds:
            if hold.state == "open" and at >= hold.expires_at:
                hold.state = "ran out"


class Common(TypedDict):
    """What every posting says."""

    customer_id: UUID
    source: str
    reference: str
    effective_at: datetime


class Run:
    """One sequence, done by both."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.clock = FrozenClock(START)
        self.people = [uuid7() for _ in range(PEOPLE)]
        self.model = Model()
        self.hold_ids: list[UUID] = []
        self.done: list[Posting] = []

    async def post(self, steps: list[Step]) -> None:
        """One batch; holds and postings of earlier batches can be resolved and repeated."""
        at, known_holds, repeatable = self.clock.now(), len(self.hold_ids), list(self.done)
        postings, expected = [], []
        for kind, who, points, pick in steps:
            if kind == "repeat" and repeatable:
                postings.append(repeatable[pick % len(repeatable)])
                expected.append("repeated")
            elif kind in ("capture", "release") and known_holds:
                index = pick % known_holds
                ending = Capture if kind == "capture" else Release
                postings.append(ending(**self.common(who), hold_id=self.hold_ids[index]))
                expected.append(self.model.resolve(self.model.holds[index], who, kind, at))
            elif kind not in ("repeat", "capture", "release"):
                postings.append(self.posting(kind, who, points, pick))
                expected.append(self.expect(kind, who, points, pick, at))
        async with self.sessions.begin() as session:
            verdicts = await ledger.post(session, postings, at=at)
        found = [v.refusal.code() if v.refusal else "repeated" if v.repeated else "done" for v in verdicts]
        assert found == expected
        for verdict in verdicts:
            if verdict.movement and not verdict.repeated:
                self.done.append(verdict.posting)
                if isinstance(verdict.posting, PlaceHold) and verdict.movement.hold_id:
                    self.hold_ids.append(verdict.movement.hold_id)

    def common(self, who: int) -> Common:
        return {
            "customer_id": self.people[who],
            "source": "model",
            "reference": str(uuid7()),
            "effective_at": self.clock.now(),
        }

    def posting(self, kind: str, who: int, points: int, pick: int) -> Posting:
        common = self.common(who)
        if kind == "earn":
            expires_at = START + timedelta(days=pick) if pick else None
            return Earn(**common, points=points, expires_at=expires_at)
        if kind == "spend":
            return Spend(**common, points=points)
        if kind == "adjust":
            return Adjust(**common, points=points if pick % 2 else -points, reason="model")
        return PlaceHold(**common, points=points, expires_at=self.clock.now() + timedelta(minutes=1 + pick))

    def expect(self, kind: str, who: int, points: int, pick: int, at: datetime) -> str:
        if kind == "earn":
            return self.model.give(who, points, START + timedelta(days=pick) if pick else NEVER, at)
        if kind == "adjust" and pick % 2:
            return self.model.give(who, points, NEVER, at)
        if kind == "hold":
            return self.model.hold(who, points, at + timedelta(minutes=1 + pick))
        return self.model.spend(who, points)

    async def compare(self) -> None:
        """Balances, what is held, and what each lot has left are the same."""
        async with self.sessions() as session:
            for who, customer_id in enumerate(self.people):
                standing = await accounts.get(session, customer_id)
                assert standing.customer_id == self.people[self.model.owner[who]]
                assert standing.balance == self.model.balance(who)
                assert standing.available == self.model.available(who)
            rows = await session.execute(
                text(
                    "SELECT origin_customer_id, array_agg(remaining ORDER BY lots.id) AS lots FROM lots"
                    " JOIN accounts ON accounts.id = account_id"
                    " WHERE origin_customer_id = ANY(:people) GROUP BY 1"
                ),
                {"people": self.people},
            )
            found = {self.people.index(row.origin_customer_id): list(row.lots) for row in rows}
        lots: dict[int, list[int]] = defaultdict(list)
        for lot in self.model.lots:
            lots[lot.account].append(lot.left)
        assert found == lots


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=BATCHES)
async def test_any_sequence_of_batches_is_answered_as_a_plain_model_would(
    databases: dict[str, Sessions],
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
    batches: list[list[Step] | str],
) -> None:
    run = Run(databases["loyalty"])
    async with run.sessions.begin() as session:
        await accounts.open_(session, run.people, at=START)
    merge_id, version = uuid7(), 2
    for batch in batches:
        version += 1
        if isinstance(batch, list):
            await run.post(batch)
        elif batch == "merge" and run.model.owner[1] == 1:
            await receive(merged(run.people[1], run.people[0], merge_id, version))
            run.model.owner[1] = 0
        elif batch == "part" and run.model.owner[1] == 0:
            await receive(unmerged(run.people[1], run.people[0], merge_id, version))
            run.model.owner[1] = 1
        elif batch == "a minute passes":
            run.clock.advance(timedelta(minutes=1))
        elif batch == "due work runs":
            await due.run(run.sessions, due_work, run.clock)
            run.model.run_out(run.clock.now())
        await run.compare()
    async with run.sessions() as session:
        assert await reconcile.differences(await session.connection()) == []
