"""Dead letters: what could not be handled waits here, visible, until somebody redrives or discards it."""

from collections.abc import Collection, Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Identity,
    Index,
    LargeBinary,
    Text,
    bindparam,
    exists,
    func,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, aliased, mapped_column

from crm_shared.database import Json, SharedBase, enum_column
from crm_shared.ids import uuid7
from crm_shared.problems import Conflict, NotFound


class State(StrEnum):
    """Where a dead letter stands; the first two hold back later events of its key."""

    PARKED = "parked"
    REDRIVING = "redriving"
    HANDLED = "handled"
    DISCARDED = "discarded"


WAITING = (State.PARKED, State.REDRIVING)


class DeadLetterNotFound(NotFound): ...


class DeadLetterSettled(Conflict):
    """It was handled or discarded already."""


class DeadLetter(SharedBase):
    """One record that was taken off its topic without having its effect."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        Index(
            "ix_dead_letters_waiting",
            "consumer",
            "key",
            "seq",
            postgresql_where=text("state IN ('parked', 'redriving')"),
        ),
    )
    __mapper_args__ = {"eager_defaults": False}

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    seq: Mapped[int] = mapped_column(Identity(always=True, cache=1), unique=True)
    consumer: Mapped[str]
    topic: Mapped[str]
    partition: Mapped[int]
    offset: Mapped[int]
    key: Mapped[str | None]
    """Later events of this key wait behind it; None: it holds nothing back."""
    record_key: Mapped[str | None]
    """The record's own key, also of one that holds nothing back: by it, erasure finds whose it is."""
    type: Mapped[str | None]
    event_id: Mapped[str | None]
    reason: Mapped[str]
    """Stable word: not-a-cloudevent, invalid, wrong-source, failed, key-parked."""
    detail: Mapped[str]
    headers: Mapped[Json]
    value: Mapped[bytes | None] = mapped_column(LargeBinary)
    attempts: Mapped[int] = mapped_column(default=0)
    state: Mapped[State] = mapped_column(enum_column(State), default=State.PARKED)
    parked_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by: Mapped[str | None]


def park(session: AsyncSession, letter: DeadLetter) -> None:
    """Keep the record here, in the transaction that passes over it."""
    session.add(letter)


async def blocked(session: AsyncSession, consumer: str, keys: Collection[str]) -> set[str]:
    """Which of these keys have a letter waiting, so that their later events must wait too."""
    if not keys:
        return set()
    rows = await session.scalars(
        select(DeadLetter.key)
        .distinct()
        .where(
            DeadLetter.consumer == consumer,
            DeadLetter.state.in_(WAITING),
            # One array and not a parameter for each: the statement is prepared once, whatever the poll.
            DeadLetter.key == func.any(bindparam("keys", type_=ARRAY(Text))),
        ),
        {"keys": sorted(keys)},
    )
    return {key for key in rows if key is not None}


async def get(session: AsyncSession, letter_id: UUID, *, lock: bool = False) -> DeadLetter:
    letter = await session.get(DeadLetter, letter_id, with_for_update=lock or None)
    if letter is None:
        raise DeadLetterNotFound(letter_id=str(letter_id))
    return letter


async def waiting(session: AsyncSession) -> list[DeadLetter]:
    """All that wait for somebody, oldest first."""
    statement = select(DeadLetter).where(DeadLetter.state.in_(WAITING)).order_by(DeadLetter.seq)
    return list(await session.scalars(statement))


async def redrive(session: AsyncSession, letter_id: UUID) -> list[UUID]:
    """Have the worker try this letter again, together with all that wait for the same key, in their order."""
    letter = await get(session, letter_id, lock=True)
    if letter.state not in WAITING:
        raise DeadLetterSettled(letter_id=str(letter_id), state=letter.state.value)
    same = DeadLetter.id == letter.id
    if letter.key is not None:
        same = (DeadLetter.consumer == letter.consumer) & (DeadLetter.key == letter.key)
    rows = await session.scalars(
        update(DeadLetter)
        .where(same, DeadLetter.state.in_(WAITING))
        .values(state=State.REDRIVING)
        .returning(DeadLetter.id)
    )
    return sorted(rows)


async def discard(session: AsyncSession, letter_id: UUID, *, by: str, at: datetime) -> DeadLetter:
    """Give the letter up: its record is cleared, who gave it up stays."""
    letter = await get(session, letter_id, lock=True)
    if letter.state not in WAITING:
        raise DeadLetterSettled(letter_id=str(letter_id), state=letter.state.value)
    settle(letter, State.DISCARDED, by=by, at=at)
    return letter


def settle(letter: DeadLetter, state: State, *, by: str, at: datetime) -> None:
    """The letter's end; what it carried may be personal and is needed no more."""
    letter.state, letter.settled_by, letter.settled_at = state, by, at
    letter.value, letter.headers = None, {}


async def next_redriven(session: AsyncSession, consumer: str) -> DeadLetter | None:
    """The oldest letter to try again that no earlier letter of its key stands before; locked."""
    earlier = aliased(DeadLetter)
    stands_before = exists().where(
        earlier.consumer == DeadLetter.consumer,
        earlier.key == DeadLetter.key,
        earlier.state.in_(WAITING),
        earlier.seq < DeadLetter.seq,
    )
    return await session.scalar(
        select(DeadLetter)
        .where(DeadLetter.consumer == consumer, DeadLetter.state == State.REDRIVING, ~stands_before)
        .order_by(DeadLetter.seq)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


async def hold_back(session: AsyncSession, consumer: str, keys: Iterable[str]) -> None:
    """A redrive failed: what waits for its key goes back to being parked."""
    await session.execute(
        update(DeadLetter)
        .where(
            DeadLetter.consumer == consumer,
            DeadLetter.key.in_(list(keys)),
            DeadLetter.state == State.REDRIVING,
        )
        .values(state=State.PARKED)
    )
