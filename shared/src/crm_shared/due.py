"""Due work: what must happen at an instant, written by the transaction that decided it, done once."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Select,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.clock import Clock
from crm_shared.database import Sessions, SharedBase, in_words, unavailable
from crm_shared.prepared import Prepared, as_rows, rows_from

log = logging.getLogger(__name__)

_FIRST_RETRY = timedelta(seconds=1)
_LAST_RETRY = timedelta(minutes=10)


class DueRow(SharedBase):
    """Something of `kind` that is to happen to `ref` at an instant; there is one per kind and ref."""

    __tablename__ = "due"

    kind: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    """When it is to happen in the business."""
    try_at: Mapped[datetime] = mapped_column(index=True)
    """When it is tried next; later than `at` only after a failure."""
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]


@dataclass(frozen=True)
class Due:
    """What a handler is told: to whom it happens, and at which instant it was to happen."""

    ref: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """That work of a kind is to be done for a ref at an instant."""

    kind: str
    ref: UUID
    at: datetime


class DueHandler(Protocol):
    """Does the work for all that is due, in order of instant, in the caller's transaction; `at` is now."""

    def __call__(self, session: AsyncSession, due: Sequence[Due], /, *, at: datetime) -> Awaitable[None]: ...


class DueWork:
    """Which function does which kind of due work: filled by `@due_work.on(kind)`, handed to the worker."""

    def __init__(self) -> None:
        self._handlers: dict[str, DueHandler] = {}

    def on(self, kind: str) -> Callable[[DueHandler], DueHandler]:
        def register(handle: DueHandler) -> DueHandler:
            if kind in self._handlers:
                raise ValueError(f"{kind} already has a handler")
            self._handlers[kind] = handle
            return handle

        return register

    @property
    def kinds(self) -> list[str]:
        return sorted(self._handlers)

    def __getitem__(self, kind: str) -> DueHandler:
        return self._handlers[kind]


async def schedule(session: AsyncSession, kind: str, instants: Mapping[UUID, datetime]) -> None:
    """Have each ref's work of this kind done at its instant; a new instant replaces an older one."""
    if not instants:
        return
    await _SCHEDULE.fetch(session, {"due": as_rows([Planned(kind, *each) for each in instants.items()])})


async def lock(session: AsyncSession, kind: str, refs: Select[UUID]) -> None:
    """Have no worker do the work of these refs until we are done: waits for those that are at it.

    For who holds nothing yet that the kind's handler locks.
    """
    rows = select(DueRow.ref).where(DueRow.kind == kind, DueRow.ref.in_(refs))
    await session.execute(rows.order_by(DueRow.ref).with_for_update())


async def reschedule(session: AsyncSession, kind: str, instants: Mapping[UUID, datetime]) -> None:
    """As `schedule`, by who holds a lock that the kind's handler takes, too: never waits for a worker.

    What a worker has claimed by now is left to it. It waits for us, so its handler will see what we change,
    and must itself plan what comes next: were we to wait for it as well, we would wait in a circle.
    """
    if not instants:
        return
    refs = sorted(instants)
    await session.execute(_RESCHEDULE, {"kind": kind, "refs": refs, "ats": [instants[ref] for ref in refs]})


def scheduling(
    kind: ColumnElement[str],
    ref: ColumnElement[UUID],
    at: ColumnElement[datetime],
    *where: ColumnElement[bool],
) -> Insert:
    """`schedule` as a statement over rows of another one, or a part of that."""
    # The plain table: the ORM would take an INSERT … SELECT for a bulk insert of its own.
    statement = insert(DueRow.metadata.tables[DueRow.__tablename__]).from_select(
        ["kind", "ref", "at", "try_at", "attempts"],
        select(kind, ref, at, at, literal(0)).where(*where).order_by(ref),
    )
    return statement.on_conflict_do_update(
        index_elements=[DueRow.kind, DueRow.ref],
        set_={"at": statement.excluded.at, "try_at": statement.excluded.at, "attempts": 0, "error": None},
    )


SCHEDULE = f"""
    INSERT INTO due (kind, ref, at, try_at, attempts)
    SELECT kind, ref, at, at, 0 FROM {rows_from("due", "kind text, ref uuid, at timestamptz")}
    ORDER BY kind, ref
    ON CONFLICT (kind, ref) DO UPDATE SET at = excluded.at, try_at = excluded.at, attempts = 0, error = NULL
"""
"""SQL of `schedule`, for what is `due` as rows of Planned: alone or as a part of a larger statement."""
_SCHEDULE = Prepared(text(SCHEDULE))
_RESCHEDULE = text(
    """
    WITH asked AS (
        SELECT ref, at FROM unnest(:refs, :ats) AS asked (ref, at)
    ), unclaimed AS (
        SELECT due.ref, asked.at FROM due JOIN asked USING (ref) WHERE due.kind = :kind
        ORDER BY due.ref FOR UPDATE OF due SKIP LOCKED
    ), moved AS (
        UPDATE due SET at = unclaimed.at, try_at = unclaimed.at, attempts = 0, error = NULL
        FROM unclaimed WHERE due.kind = :kind AND due.ref = unclaimed.ref
    )
    INSERT INTO due (kind, ref, at, try_at, attempts)
    SELECT :kind, ref, at, at, 0 FROM asked ORDER BY ref
    ON CONFLICT DO NOTHING
    """
).bindparams(
    bindparam("kind", type_=Text),
    bindparam("refs", type_=ARRAY(Uuid)),
    bindparam("ats", type_=ARRAY(DateTime(timezone=True))),
)


async def cancel(session: AsyncSession, kind: str, refs: Collection[UUID]) -> None:
    """It need not happen any more."""
    if refs:
        await session.execute(delete(DueRow).where(DueRow.kind == kind, DueRow.ref.in_(refs)))


async def next_at(session: AsyncSession, work: DueWork) -> datetime | None:
    """When the next thing is to be done; None: nothing is planned."""
    return await session.scalar(select(func.min(DueRow.try_at)).where(DueRow.kind.in_(work.kinds)))


async def run(sessions: Sessions, work: DueWork, clock: Clock, *, limit: int = 500) -> int:
    """Do what is due now, oldest first, and say how many there were.

    One kind is one transaction. If it fails by its own fault each is tried alone; what still fails is put
    off, longer each time, and stays visible with its error. Trouble of the database is raised.
    """
    if not work.kinds:
        return 0
    now = clock.now()
    kind = ""
    try:
        async with sessions.begin() as session:
            claimed = await _claim(session, work.kinds, now, limit)
            if not claimed:
                return 0
            kind = claimed[0].kind
            await work[kind](session, [Due(row.ref, row.at) for row in claimed], at=now)
            await _done(session, claimed)
        return len(claimed)
    except Exception as error:
        if unavailable(error):
            raise
        log.warning("due work failed together, trying one by one", extra={"kind": kind}, exc_info=error)
    for row in claimed:
        await _run_alone(sessions, work, row, now)
    return len(claimed)


class _Claimed(NamedTuple):
    """A due row in plain values, which outlive a rollback."""

    kind: str
    ref: UUID
    at: datetime
    attempts: int


async def _claim(session: AsyncSession, kinds: list[str], now: datetime, limit: int) -> list[_Claimed]:
    """The oldest due row and those of its kind, locked; what another worker holds is left to it."""
    ready = (
        select(DueRow.kind, DueRow.ref, DueRow.at, DueRow.attempts)
        .where(DueRow.try_at <= now, DueRow.kind.in_(kinds))
        .order_by(DueRow.try_at, DueRow.ref)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = [_Claimed(*row) for row in await session.execute(ready)]
    return [row for row in rows if row.kind == rows[0].kind]


async def _done(session: AsyncSession, rows: Sequence[_Claimed]) -> None:
    """Take away what was done; what the handler planned anew for the same ref stays."""
    await session.flush()
    keys = [(row.kind, row.ref, row.at) for row in rows]
    await session.execute(
        delete(DueRow)
        .where(tuple_(DueRow.kind, DueRow.ref, DueRow.at).in_(keys))
        .execution_options(synchronize_session=False)
    )


async def _run_alone(sessions: Sessions, work: DueWork, row: _Claimed, now: datetime) -> None:
    mine = (DueRow.kind == row.kind) & (DueRow.ref == row.ref) & (DueRow.at == row.at)
    try:
        async with sessions.begin() as session:
            if await session.scalar(select(DueRow.ref).where(mine).with_for_update(skip_locked=True)):
                await work[row.kind](session, [Due(row.ref, row.at)], at=now)
                await _done(session, [row])
    except Exception as error:
        if unavailable(error):
            raise
        log.error("due work failed", extra={"kind": row.kind, "ref": str(row.ref)}, exc_info=error)
        wait = min(_FIRST_RETRY * 2 ** min(row.attempts, 20), _LAST_RETRY)
        async with sessions.begin() as session:
            await session.execute(
                update(DueRow)
                .where(mine)
                .values(try_at=now + wait, attempts=row.attempts + 1, error=in_words(error)[:2000])
            )
