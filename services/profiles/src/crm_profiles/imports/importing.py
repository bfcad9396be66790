"""The long work of imports: inspecting a file, and going through its rows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

from sqlalchemy import select

from crm_profiles import files
from crm_profiles.errors import FileGone
from crm_profiles.imports import headings, imports, judging, recording, sheets, trying
from crm_profiles.imports.judging import Verdict
from crm_profiles.imports.preparing import Chunk, Run, prepare
from crm_profiles.imports.sheets import Row
from crm_profiles.models.attributes import CustomerAttribute
from crm_profiles.models.files import Encoding
from crm_profiles.models.imports import RowStatus
from crm_profiles.schemas.imports import MappingIn
from crm_shared.customers import stop_merges
from crm_shared.database import Json, Sessions, unavailable
from crm_shared.jobs import RunningJob

ROWS_AT_ONCE = 1000

_ATTEMPTS = 5


@dataclass(frozen=True)
class Progress:
    """How far a run is after a chunk, and whether nobody in that one was on file before."""

    rows: int
    counts: Counter[str]
    newcomers: bool = False


class NotAlone(Exception):
    """Ends the writing of a chunk before its turn: what is on file decides about some of its rows."""


async def inspect(sessions: Sessions, job: RunningJob) -> Json:
    """Find out how to read the file, guess what its columns mean, and go on at once if that was asked for."""
    import_id = UUID(job.params["import_id"])
    async with sessions() as session:
        found = await imports.get(session, import_id)
        asked, file_id = found.asked, found.file_id
        kept = list(await session.scalars(select(CustomerAttribute.key)))
    encoding = Encoding(asked["encoding"]) if asked["encoding"] else None
    async with spooled(sessions, file_id) as path:
        layout = await asyncio.to_thread(
            sheets.inspect, path, encoding=encoding, delimiter=asked["delimiter"], sheet=asked["sheet"]
        )
        total = await asyncio.to_thread(lambda: sum(1 for _ in sheets.rows(path, layout)))
    columns = headings.guess(layout.header, layout.samples, kept)
    sure = headings.confident(columns, layout.samples)
    async with sessions.begin() as session:
        session.info["actor"] = job.actor
        found = await imports.get(session, import_id, lock=True)
        found.layout = layout.stored() | {"rows": total}
        if sure:
            found.mapping = MappingIn(columns=columns).model_dump(mode="json")
        await job.progress(session, done=total, total=total)
        if sure and job.params["start"] is not None:
            await imports.begin(session, found, dry_run=job.params["start"]["dry_run"], at=job.clock.now())
    guess = [column.model_dump(mode="json", exclude_none=True) for column in columns]
    return {"rows": total, "guess": guess, "sure": sure}


async def run(sessions: Sessions, job: RunningJob, *, suppression_key: bytes) -> Json:
    """Go through the rows, a thousand in a transaction together with the place where to go on.

    While the database writes some, the next ones are read; and as long as everybody in the file is new, a
    chunk is written beside the one before it, with which it has nothing to do then.
    """
    import_id = UUID(job.params["import_id"])
    async with sessions() as session:
        found = await imports.get(session, import_id)
        reader = await imports.reader_of(session, MappingIn.model_validate(found.mapping), found)
    layout = imports.layout_of(found)
    this = Run(
        found.run_id or import_id,
        found.failures_id,
        layout.header,
        reader,
        suppression_key,
        bool(found.dry_run),
    )
    begun = Progress(job.checkpoint.get("rows", 0), Counter(job.checkpoint.get("counts", {})))
    async with spooled(sessions, found.file_id) as path:
        rows = await asyncio.to_thread(_skipped, sheets.rows(path, layout), begun.rows)
        done = await _Writing(sessions, job, this).write(rows, begun)
    if this.dry_run:
        async with sessions.begin() as session:
            await imports.forget_trials(session, this.run_id, at=job.clock.now())
    return {"rows": done.rows, "counts": dict(done.counts), "dry_run": this.dry_run}


@asynccontextmanager
async def spooled(sessions: Sessions, file_id: UUID | None) -> AsyncIterator[Path]:
    """The file on disk, for as long as it is read; raises FileGone."""
    if file_id is None:
        raise FileGone
    with NamedTemporaryFile() as copy:
        async for part in files.read(sessions, file_id):
            await asyncio.to_thread(copy.write, part)
        copy.flush()
        yield Path(copy.name)


def _skipped(rows: Iterator[Row], count: int) -> Iterator[Row]:
    for _ in islice(rows, count):
        pass
    return rows


class _Turn:
    """The writing of one chunk, as the next one sees it."""

    end: asyncio.Future[Progress]

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._admitted: asyncio.Future[None] = loop.create_future()
        self._started_over: asyncio.Future[None] = loop.create_future()

    @classmethod
    def over(cls, done: Progress) -> "_Turn":
        """Before the first chunk."""
        turn = cls()
        turn.end = asyncio.get_running_loop().create_future()
        turn.end.set_result(done)
        return turn

    def admit(self) -> None:
        """No merge can come between it and its end any more."""
        if not self._admitted.done():
            self._admitted.set_result(None)

    def start_over(self) -> None:
        """What it held it holds no more."""
        if not self._started_over.done():
            self._started_over.set_result(None)

    async def can_be_joined(self) -> bool:
        """Whether it waits for no merge that would wait for who joins it."""
        some: list[asyncio.Future[Any]] = [self.end, self._admitted, self._started_over]
        await asyncio.wait(some, return_when=asyncio.FIRST_COMPLETED)
        return not self._started_over.done()

    async def ended(self) -> bool:
        """Wait for its end; False: it has started over, and who joined it must let go."""
        some: list[asyncio.Future[Any]] = [self.end, self._started_over]
        await asyncio.wait(some, return_when=asyncio.FIRST_COMPLETED)
        return self.end.done()


class _Writing:
    """The writing of a run's rows by one worker."""

    def __init__(self, sessions: Sessions, job: RunningJob, this: Run) -> None:
        self._sessions = sessions
        self._job = job
        self._run = this

    async def write(self, rows: Iterator[Row], begun: Progress) -> Progress:
        """Write all rows; of two chunks that are written at a time, the second ends after the first."""
        last = _Turn.over(begun)
        keys: Set[object] = frozenset()
        tasks: set[asyncio.Future[Any]] = set()
        try:
            ahead = self._read(rows, tasks)
            newcomers = False
            while (chunk := await ahead).rows:
                ahead = self._read(rows, tasks)
                strangers = newcomers and keys.isdisjoint(chunk.keys)
                if not (strangers and await last.can_be_joined()):
                    await asyncio.wait([last.end])
                turn = _Turn()
                turn.end = asyncio.create_task(self._write_after(last, turn, chunk))
                tasks.add(turn.end)
                newcomers = (await last.end).newcomers
                tasks.discard(last.end)
                last, keys = turn, chunk.keys
            return await last.end
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _read(self, rows: Iterator[Row], tasks: set[asyncio.Future[Any]]) -> asyncio.Task[Chunk]:
        reading = asyncio.create_task(asyncio.to_thread(prepare, rows, self._run, limit=ROWS_AT_ONCE))
        tasks.add(reading)
        reading.add_done_callback(tasks.discard)
        return reading

    async def _write_after(self, before: _Turn, turn: _Turn, chunk: Chunk) -> Progress:
        """Waits for locks more than once."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._write_chunk(before, turn, chunk)
            except NotAlone:
                turn.start_over()
                await asyncio.wait([before.end])
            except Exception as error:
                if attempt == _ATTEMPTS or not unavailable(error):
                    raise
                turn.start_over()
                await asyncio.sleep(0.1 * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _write_chunk(self, before: _Turn, turn: _Turn, chunk: Chunk) -> Progress:
        """Write rows, their verdicts and how far that is in one transaction.

        Raises NotAlone before the turn of a chunk with others than newcomers: those before it might change
        what becomes of it, and it must hold nobody whom they wait for.
        """
        early = not before.end.done()
        judge = trying.write if self._run.dry_run else judging.write
        async with self._sessions.begin() as session:
            session.info["actor"] = self._job.actor
            await stop_merges(session)
            turn.admit()
            verdicts = await judge(session, self._run, chunk, self._job.clock)
            newcomers = not self._run.dry_run and _are_newcomers(verdicts)
            if early and not newcomers:
                raise NotAlone
            await recording.record(session, self._run, verdicts)
            if not await before.ended():
                raise NotAlone
            done = before.end.result()
            await recording.keep_failures(session, self._run, chunk.rows, verdicts, first=not done.rows)
            rows = done.rows + len(chunk.rows)
            counts = done.counts + Counter(verdict.status.value for verdict in verdicts)
            sums = dict(counts)
            await self._job.progress(
                session, done=rows, counts=sums, checkpoint={"rows": rows, "counts": sums}
            )
        return Progress(rows, counts, newcomers)


def _are_newcomers(verdicts: Sequence[Verdict]) -> bool:
    """Whether nobody who was on file before has to do with any of the rows."""
    new = {verdict.customer_id for verdict in verdicts if verdict.status is RowStatus.CREATED} | {None}
    return all(
        verdict.customer_id in new and verdict.status is not RowStatus.SUPPRESSED for verdict in verdicts
    )
