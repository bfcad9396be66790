"""The ledger against a plain model in memory: any sequence of batches gives the same answers and balances."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypedDict
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from tests.chance import TIMES, examples
from tests.loyalty.conftest import MakeEvent, Receive, receiving
from tests.loyalty.ledger_model import NEVER, PEOPLE, Model, Move

from crm_loyalty import reconcile
from crm_loyalty.handlers import due_work
from crm_loyalty.ledger import accounts, holds, ledger, points_policy
from crm_loyalty.ledger.accounts import Then
from crm_loyalty.models.ledger import HoldState
from crm_loyalty.models.points_policy import DebtRule
from crm_loyalty.models.pools import MemberState, PoolMember
from crm_loyalty.pools import members, pools
from crm_loyalty.postings import (
    Adjust,
    Capture,
    Earn,
    PlaceHold,
    Posting,
    Release,
    Reverse,
    Spend,
    Transfer,
    Verdict,
)
from crm_loyalty.rules.expiry import ExpiryRule
from crm_loyalty.schemas.points_policy import PointsPolicyIn
from crm_loyalty.schemas.pools import PoolIn
from crm_shared import due
from crm_shared.callers import Caller, Role
from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import CustomerMerged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.pages import MAX_LIMIT, Cursors, PageRequest
from crm_shared.testing import FrozenClock, arrived, rolled_back

log = logging.getLogger(__name__)


START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
AGENT = Caller("agent", frozenset({Role.AGENT}))
FIRST_PAGE = PageRequest(Cursors("model"), None, MAX_LIMIT)

# What is done, by whom, how much, and a number that picks a lot's expiry, a hold, or a posting to repeat.
Step = tuple[str, int, int, int]
KINDS = ("spend", "adjust", "transfer", "hold", "capture", "release", "reverse", "repeat")
BETWEEN = ("merge", "part", "share", "join", "leave", "a minute passes", "a day passes", "due work runs")
FAULTS = st.sampled_from(["none", "none", "none", "the reply is lost", "the transaction is aborted"])
Batch = tuple[list[Step], str]


@st.composite
def sequences(draw: st.DrawFn) -> list[Batch | str]:
    """Batches of points earned and of some other kinds of steps: where all kinds may come, few meet often."""
    kinds = draw(st.lists(st.sampled_from(KINDS), unique=True))
    steps = st.tuples(
        st.sampled_from(["earn", *kinds]), st.integers(0, PEOPLE - 1), st.integers(1, 40), st.integers(0, 5)
    )
    batches = st.tuples(st.lists(steps, min_size=1 if TIMES == 1 else 3, max_size=8), FAULTS)
    between = draw(st.lists(st.sampled_from(BETWEEN), unique=True, min_size=1))
    fewest, most = (2, 14) if TIMES == 1 else (16, 40)
    return draw(st.lists(batches | st.sampled_from(between), min_size=fewest, max_size=most))


AT_NIGHT = 10_000
"""Postings that are compared with the model with CRM_TEST_TIMES=20 or more."""


@pytest.fixture(scope="module")
def compared() -> Iterator[Counter[str]]:
    """What was compared with the model in all examples together."""
    counted = Counter[str]()
    yield counted
    log.info("compared with the model: %s", dict(counted))
    assert TIMES < 20 or counted["postings"] >= AT_NIGHT


class Common(TypedDict):
    """What every posting says."""

    customer_id: UUID
    source: str
    reference: str
    effective_at: datetime


class Run:
    """One sequence, done by both."""

    def __init__(self, sessions: Sessions, compared: Counter[str], *, forgiving: bool) -> None:
        self.sessions = sessions
        self.compared = compared
        self.clock = FrozenClock(START)
        self.people = [uuid7() for _ in range(PEOPLE)]
        self.model = Model(forgiving=forgiving)
        self.hold_ids: list[UUID] = []
        self.done: list[Posting] = []
        self.moves: list[tuple[UUID, Move]] = []
        self.history: dict[datetime, list[int]] = {}

    async def post(self, steps: list[Step], fault: str) -> None:
        """One batch; what earlier batches did can be resolved, reversed and repeated."""
        at, known_holds, repeatable = self.clock.now(), len(self.hold_ids), list(self.done)
        known_moves = len(self.moves)
        postings: list[Posting] = []
        expected: list[Move | str] = []
        for kind, who, points, pick in steps:
            if kind == "repeat" and repeatable:
                postings.append(repeatable[pick % len(repeatable)])
                expected.append("repeated")
                continue
            for member in self.model.members(who):
                self.model.end_lots(member, at)
            if kind in ("capture", "release") and known_holds:
                index = pick % known_holds
                ending = Capture if kind == "capture" else Release
                postings.append(ending(**self.common(who), hold_id=self.hold_ids[index]))
                expected.append(self.model.resolve(self.model.holds[index], who, kind, at))
            elif kind == "reverse" and known_moves:
                id, move = self.moves[(7 * pick + points) % known_moves]
                postings.append(Reverse(**self.common(who), transaction_id=id, total=points))
                expected.append(self.model.reverse(move, who, points, at))
            elif kind in ("earn", "spend", "adjust", "transfer", "hold"):
                postings.append(self.posting(kind, who, points, pick))
                expected.append(self.expect(kind, who, points, pick, at))
            for person in range(PEOPLE):
                done = expected and (expected[-1] == "done" or kind == "capture")
                if done or self.model.owner[person] == self.model.owner[who]:
                    self.model.end_lots(person, at)
        await self.hand_in(postings, expected, fault, at)

    async def hand_in(
        self, postings: list[Posting], expected: list[Move | str], fault: str, at: datetime
    ) -> None:
        """The batch goes through what may happen to a request, and is answered as expected."""
        if fault == "the transaction is aborted":
            # Nothing of it may be left: what is answered next is as if it had never been.
            async with self.sessions() as session:
                await ledger.post(session, postings, at=at)
                await session.rollback()
        verdicts = await self.answer(postings, expected, at)
        self.compared.update(postings=len(postings), batches=1, **{fault: 1})
        if fault == "the reply is lost":
            await self.ask_again(verdicts)

    async def ask_again(self, verdicts: list[Verdict]) -> None:
        """All at once, a minute later: each gets its first answer, and nothing moves."""
        done = [verdict for verdict in verdicts if verdict.movement]
        async with self.sessions.begin() as session:
            later = self.clock.now() + timedelta(minutes=1)
            again = await ledger.post(session, [verdict.posting for verdict in done], at=later)
        assert [verdict.movement for verdict in again] == [verdict.movement for verdict in done]
        assert all(verdict.repeated for verdict in again)

    async def answer(
        self, postings: list[Posting], expected: list[Move | str], at: datetime
    ) -> list[Verdict]:
        async with self.sessions.begin() as session:
            verdicts = await ledger.post(session, postings, at=at)
        found = [v.refusal.code() if v.refusal else "repeated" if v.repeated else "done" for v in verdicts]
        assert found == [each if isinstance(each, str) else "done" for each in expected]
        for verdict, move in zip(verdicts, expected, strict=True):
            if verdict.movement and not verdict.repeated:
                self.done.append(verdict.posting)
                if isinstance(verdict.posting, PlaceHold) and verdict.movement.hold_id:
                    self.hold_ids.append(verdict.movement.hold_id)
                if isinstance(move, Move):
                    self.moves.append((verdict.movement.id, move))
        return verdicts

    async def begin(self, *, sharing: bool) -> None:
        async with self.sessions.begin() as session:
            await accounts.open_(session, self.people, at=START)
            await set_debt_rule(session, DebtRule.FORGIVE if self.model.forgiving else DebtRule.OWE)
        if sharing:
            await self.pool("share")

    async def pool(self, what: str) -> None:
        """The third makes a pool and asks the first one in, the second comes in, the first one goes."""
        model, at = self.model, self.clock.now()
        async with self.sessions.begin() as session:
            if what == "share" and not model.pool:
                body = PoolIn(head=self.people[2], name="The three of us")
                self.pool_id = (await pools.create(session, body, AGENT, at=at)).id
                model.pool.add(2)
            joining = {"share": 0, "join": 1}.get(what)
            everybody = {model.owner[member] for member in model.pool}
            if joining is not None and model.pool and model.owner[joining] not in everybody:
                asked = await members.invite(session, self.pool_id, self.people[joining], AGENT, at=at)
                await members.accept(session, self.pool_id, asked.id, AGENT, at=at)
                model.pool.add(joining)
            if what == "leave" and model.owner[0] in everybody:
                theirs = PoolMember.customer_id == self.people[0], PoolMember.state == MemberState.ACTIVE
                mine = (await session.scalars(select(PoolMember.id).where(*theirs))).first()
                assert mine is not None
                await members.leave(session, self.pool_id, mine, AGENT, at=at)
                model.pool -= {member for member in model.pool if model.owner[member] == 0}

    async def due_work_runs(self) -> None:
        while await due.run(self.sessions, due_work, self.clock):
            pass
        self.model.time_passes(self.clock.now())

    async def undo_everything(self) -> None:
        """Whatever was earned and spent is reversed: then nobody may have anything."""
        self.clock.advance(timedelta(minutes=10))
        await self.due_work_runs()
        for id, move in self.moves:
            posting = Reverse(**self.common(move.who), transaction_id=id)
            expected = self.model.reverse(move, move.who, move.points, self.clock.now())
            self.model.time_passes(self.clock.now())
            await self.answer([posting], [expected], self.clock.now())
            await self.due_work_runs()

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
            return Earn(**common, points=points, expires_at=self.end(points, pick))
        if kind == "spend":
            return Spend(**common, points=points)
        if kind == "transfer":
            return Transfer(**common, points=points, to=self.people[self.other(who, pick)])
        if kind == "adjust":
            return Adjust(**common, points=points if pick % 2 else -points, reason="model")
        return PlaceHold(**common, points=points, expires_at=self.clock.now() + timedelta(minutes=1 + pick))

    def other(self, who: int, pick: int) -> int:
        return (who + 1 + pick % (PEOPLE - 1)) % PEOPLE

    def end(self, points: int, pick: int) -> datetime | None:
        """Some lots end while holds are open, some after days, some never."""
        unit = timedelta(days=1) if points % 2 else timedelta(minutes=1)
        return START + unit * pick if pick else None

    def expect(self, kind: str, who: int, points: int, pick: int, at: datetime) -> Move | str:
        if kind == "earn":
            return self.model.give(who, points, self.end(points, pick) or NEVER, at)
        if kind == "adjust" and pick % 2:
            return self.model.give(who, points, NEVER, at)
        if kind == "transfer":
            return self.model.transfer(who, self.other(who, pick), points, at)
        if kind == "hold":
            return self.model.hold(who, points, at + timedelta(minutes=1 + pick), at)
        if kind == "adjust":
            return self.model.put_right(who, points, at)
        return self.model.spend(who, points, at)

    async def look_back(self) -> None:
        """What was on record at any instant, and what applied, is what the books said then."""
        async with self.sessions() as session:
            for instant, balances in self.history.items():
                for who, customer_id in enumerate(self.people):
                    for then in (Then(recorded=instant), Then(effective=instant)):
                        found = await accounts.get_then(session, customer_id, then)
                        assert found.balance == sum(balances[account] for account in self.model.owned(who))

    async def compare(self) -> None:
        """Balances, what is held, and what each lot has left are the same."""
        of_account = [0] * PEOPLE
        for lot in self.model.lots:
            of_account[lot.account] += lot.left
        self.history[self.clock.now()] = of_account
        async with self.sessions() as session:
            for who, customer_id in enumerate(self.people):
                standing = await accounts.get(session, customer_id)
                assert standing.customer_id == self.people[self.model.owner[who]]
                assert standing.balance == self.model.balance(who)
                assert standing.available == self.model.available(who)
                listed = await holds.list_(session, customer_id, state=HoldState.OPEN, page=FIRST_PAGE)
                assert sum(hold.own_points for hold in listed.items) == standing.held
                shared = await accounts.get_shared(session, customer_id, at=self.clock.now())
                assert shared.spendable == self.model.spendable(who)
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


@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(batches=sequences(), forgiving=st.booleans(), sharing=st.booleans())
async def test_any_sequence_of_batches_is_answered_as_a_plain_model_would(
    engines: dict[str, AsyncEngine],
    clock: FrozenClock,
    merged: MakeEvent,
    unmerged: MakeEvent,
    compared: Counter[str],
    batches: list[Batch | str],
    forgiving: bool,
    sharing: bool,
) -> None:
    # Each sequence has the database to itself: beside the remains of hundreds it would take ever longer.
    async with rolled_back(engines["loyalty"]) as sessions:
        run = Run(sessions, compared, forgiving=forgiving)
        await run.begin(sharing=sharing)
        await follow(run, batches, receiving(sessions, clock), merged, unmerged)


async def follow(
    run: Run, batches: list[Batch | str], receive: Receive, merged: MakeEvent, unmerged: MakeEvent
) -> None:
    """The whole sequence, compared as it goes; in the end all of it is undone."""
    past: list[Event] = []
    for version, batch in enumerate(batches, start=2):
        if isinstance(batch, tuple):
            await run.post(*batch)
        elif batch == "merge" and run.model.owner[1] == 1:
            past.append(merged(run.people[1], run.people[0], uuid7(), version))
            await receive_twice(receive, past)
            run.model.owner[1] = 0
        elif batch == "part" and run.model.owner[1] == 0:
            assert isinstance(past[-1], CustomerMerged)
            past.append(unmerged(run.people[1], run.people[0], past[-1].merge_id, version))
            await receive_twice(receive, past)
            run.model.owner[1] = 1
        elif batch in ("share", "join", "leave"):
            await run.pool(batch)
        elif batch == "a minute passes":
            run.clock.advance(timedelta(minutes=1))
        elif batch == "a day passes":
            run.clock.advance(timedelta(days=1))
        elif batch == "due work runs":
            await run.due_work_runs()
            await run.compare()
            run.clock.advance(timedelta(seconds=1))
    await run.due_work_runs()
    await run.compare()
    run.clock.advance(timedelta(seconds=1))
    await run.undo_everything()
    await run.compare()
    await run.look_back()
    every = [run.model.balance(who) for who in range(PEOPLE) if run.model.owner[who] == who]
    assert run.model.forgiving or sum(every) <= 0, "no sequence gains points"
    # Points that were given away stay, and while two are one the lots of one pay what the other owes.
    if not past and not any(move.passed for _, move in run.moves):
        assert run.model.forgiving or max(every) <= 0, "nobody gains by any sequence"
    async with run.sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def receive_twice(receive: Receive, past: Sequence[Event]) -> None:
    """What is new comes twice, and once more under another id, before something that is long over."""
    await receive(past[-1], past[-1])
    await receive(arrived(past[-1]), arrived(past[len(past) // 2]))


async def set_debt_rule(session: AsyncSession, debt: DebtRule) -> None:
    policy = await points_policy.current(session)
    terms = PointsPolicyIn(time_zone="UTC", expiry=ExpiryRule.NEVER, expires_after=None, debt=debt)
    await points_policy.put(session, terms, if_match="*", at=START, by=f"after {policy.version}")
