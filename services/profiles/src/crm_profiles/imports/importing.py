"""The long work of imports: inspecting a file, going through its rows, and taking an import back."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import UUID

import orjson
from pydantic import ValidationError
from sqlalchemy import ARRAY, Text, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import files
from crm_profiles.bulk import arrays, unnested
from crm_profiles.customers import customers
from crm_profiles.customers.customers import Revision
from crm_profiles.customers.drafts import Status
from crm_profiles.customers.writing import Written
from crm_profiles.errors import ContactPointTaken, FileGone, PersonSuppressed, RepeatedItem
from crm_profiles.exports.spreadsheets import guarded
from crm_profiles.imports import headings, imports, sheets
from crm_profiles.imports.mapping import Mapped, Reader
from crm_profiles.imports.sheets import Row
from crm_profiles.models.attributes import CustomerAttribute
from crm_profiles.models.files import Encoding
from crm_profiles.models.imports import ImportRow, RowStatus
from crm_profiles.privacy import suppression
from crm_profiles.schemas.customers import CustomerItem, CustomerPatch
from crm_profiles.schemas.imports import MappingIn
from crm_shared.clock import Clock
from crm_shared.database import Json, Sessions, unavailable
from crm_shared.jobs import RunningJob
from crm_shared.problems import Fault, Problem

ROWS_AT_ONCE = 1000
BYTE_ORDER_MARK = "\ufeff"
"""By which Excel knows UTF-8."""

_ATTEMPTS = 5


@dataclass
class Prepared:
    """A row made ready to be written, or the faults for which it cannot be."""

    row: Row
    mapped: Mapped | None = None
    item: CustomerItem | Revision | None = None
    faults: Sequence[Json] = ()
    keys: Set[object] = frozenset()
    """What names and reaches the customer."""


@dataclass
class Verdict:
    """What became of a row."""

    line: int
    status: RowStatus
    customer_id: UUID | None = None
    version: int | None = None
    faults: Sequence[Json] = ()


class RolledBack(Exception):
    """Ends a dry run's writing."""


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
    """Go through the rows, a thousand in a transaction together with the place where to go on."""
    import_id = UUID(job.params["import_id"])
    async with sessions() as session:
        found = await imports.get(session, import_id)
        reader = await imports.reader_of(session, MappingIn.model_validate(found.mapping), found)
    layout = imports.layout_of(found)
    done: int = job.checkpoint.get("rows", 0)
    counts = Counter[str](job.checkpoint.get("counts", {}))
    common = _Run(
        found.run_id or import_id,
        found.failures_id,
        layout.header,
        reader,
        suppression_key,
        bool(found.dry_run),
    )
    async with spooled(sessions, found.file_id) as path:
        rows = await asyncio.to_thread(_skipped, sheets.rows(path, layout), done)
        ahead = asyncio.create_task(asyncio.to_thread(_prepare, rows, common))
        try:
            while (chunk := await ahead).rows:
                # While the database writes these, the next ones are read.
                ahead = asyncio.create_task(asyncio.to_thread(_prepare, rows, common))
                counts += await _written(sessions, job, common, chunk, done=done, counts=counts)
                done += len(chunk.rows)
        finally:
            ahead.cancel()
    return {"rows": done, "counts": dict(counts), "dry_run": bool(found.dry_run)}


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


def _prepare(rows: Iterator[Row], common: "_Run") -> "_Chunk":
    """All that needs no database."""
    prepared = [_prepared(row, common.reader) for row in islice(rows, ROWS_AT_ONCE)]
    named = {index: one.item for index, one in enumerate(prepared) if isinstance(one.item, CustomerItem)}
    question = suppression.Question.of(named, key=common.suppression_key)
    for index, one in enumerate(prepared):
        if isinstance(one.item, CustomerItem):
            one.keys = {question.names[index], *question.points[index].values()}
        elif one.item is not None:
            one.keys = {one.item.customer_id, *suppression.points_of(one.item.body).values()}
    return _Chunk(prepared, question)


def _prepared(row: Row, reader: Reader) -> Prepared:
    fault = row.fault or reader.unfit(row.cells)
    if fault:
        return Prepared(row, faults=[{"column": None, "code": "unreadable_row", "message": fault}])
    mapped = reader.read(row.cells)
    try:
        if mapped.customer_id is None:
            return Prepared(row, mapped, CustomerItem.model_validate(mapped.body))
        mapped.body.pop("external_id", None)  # ours goes before theirs
        item = Revision(UUID(mapped.customer_id), CustomerPatch.model_validate(mapped.body))
        return Prepared(row, mapped, item)
    except ValidationError as error:
        faults = [_fault_of(dict(each)) for each in error.errors(include_url=False, include_input=False)]
    except ValueError:
        faults = [{"pointer": "/id", "code": "uuid_parsing", "message": "This is no id of ours."}]
    return Prepared(row, mapped, faults=[reader.blame(mapped, fault) for fault in faults])


def _fault_of(error: Json) -> Fault:
    pointer = "".join(f"/{step}" for step in error["loc"])
    return {"pointer": pointer, "code": error["type"], "message": error["msg"]}


@dataclass(frozen=True)
class _Run:
    """What all chunks of a run have in common."""

    run_id: UUID
    failures_id: UUID | None
    header: Sequence[str]
    reader: Reader
    suppression_key: bytes
    dry_run: bool


@dataclass(frozen=True)
class _Chunk:
    """Rows that are written in one transaction."""

    rows: Sequence[Prepared]
    question: suppression.Question


async def _written(
    sessions: Sessions,
    job: RunningJob,
    common: _Run,
    chunk: _Chunk,
    *,
    done: int,
    counts: Counter[str],
) -> Counter[str]:
    """Write rows, their verdicts and how far that is in one transaction; waits for locks more than once."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with sessions.begin() as session:
                session.info["actor"] = job.actor
                verdicts = await _verdicts(session, common, chunk, job.clock)
                await _record(session, common, verdicts)
                await _keep_failures(session, common, chunk.rows, verdicts, first=not done)
                new = Counter[str](verdict.status.value for verdict in verdicts)
                rows, sums = done + len(chunk.rows), dict(counts + new)
                await job.progress(session, done=rows, counts=sums, checkpoint={"rows": rows, "counts": sums})
            return new
        except Exception as error:
            if attempt == _ATTEMPTS or not unavailable(error):
                raise
            await asyncio.sleep(0.1 * attempt)
    raise AssertionError("the last attempt returns or raises")


async def _verdicts(session: AsyncSession, common: _Run, chunk: _Chunk, clock: Clock) -> list[Verdict]:
    if not common.dry_run:
        return await _write(session, common, chunk, clock)
    try:
        async with session.begin_nested():
            verdicts = await _write(session, common, chunk, clock)
            raise RolledBack
    except RolledBack:
        return verdicts


async def _write(session: AsyncSession, common: _Run, chunk: _Chunk, clock: Clock) -> list[Verdict]:
    """The verdict on each row; rows about one customer are written one after the other."""
    verdicts = {
        index: Verdict(one.row.line, RowStatus.FAILED, faults=one.faults)
        for index, one in enumerate(chunk.rows)
        if one.item is None
    }
    left = {index: one.item for index, one in enumerate(chunk.rows) if one.item is not None}
    refused = await suppression.refuse(session, chunk.question)
    ids = {index: item.customer_id for index, item in left.items() if isinstance(item, Revision)}
    refused |= await suppression.refuse_ids(session, ids)
    for index, problem in refused.items():
        verdicts[index] = _verdict(common, chunk.rows[index], problem)
        del left[index]
    while left:
        apart = _strangers(chunk, left)
        outcomes = await customers.upsert(session, list(apart.values()), clock=clock, kinds_apart=True)
        written: set[str] = set()
        for index, outcome in zip(apart, outcomes, strict=True):
            if _waits(outcome, written):
                continue
            verdicts[index] = _verdict(common, chunk.rows[index], outcome)
            del left[index]
            if isinstance(outcome, Written):
                written.add(str(outcome.customer_id))
    return [verdicts[index] for index in range(len(chunk.rows))]


def _strangers(
    chunk: _Chunk, items: Mapping[int, CustomerItem | Revision]
) -> dict[int, CustomerItem | Revision]:
    """Those that name and reach nobody whom an earlier one names or reaches: they can be written together."""
    seen: set[object] = set()
    apart: dict[int, CustomerItem | Revision] = {}
    for index, item in items.items():
        keys = chunk.rows[index].keys
        if seen.isdisjoint(keys):
            apart[index] = item
        seen |= keys
    return apart


def _waits(outcome: Written | Problem, written: Set[str]) -> bool:
    """Whether the row only has to be written after others: it is about a customer of an earlier row, wants
    what an earlier row that was refused wanted, or what a customer of an earlier row may have let go of."""
    if isinstance(outcome, ContactPointTaken):
        holder = outcome.extensions["customer_id"]
        return holder is None or holder in written
    return isinstance(outcome, RepeatedItem)


def _verdict(common: _Run, one: Prepared, outcome: Written | Problem) -> Verdict:
    if isinstance(outcome, Written):
        version = outcome.before + (outcome.status is not Status.UNCHANGED)
        return Verdict(one.row.line, RowStatus(outcome.status), outcome.customer_id, version)
    mapped = one.mapped or Mapped()
    faults = outcome.errors or [{"pointer": "", "code": outcome.code(), "message": outcome.detail}]
    holder = None
    if isinstance(outcome, ContactPointTaken):
        faults[0]["pointer"] = mapped.pointer_of(str(outcome.extensions["kind"]))
        holder = UUID(str(outcome.extensions["customer_id"]))
    blamed = [common.reader.blame(mapped, fault) for fault in faults]
    status = RowStatus.SUPPRESSED if isinstance(outcome, PersonSuppressed) else RowStatus.FAILED
    return Verdict(one.row.line, status, holder, faults=blamed)


_VERDICTS = ImportRow.metadata.tables[ImportRow.__tablename__]
_RECORD = insert(_VERDICTS).from_select(
    ["run_id", "line", "status", "customer_id", "version", "faults"],
    select(
        bindparam("run_id", type_=_VERDICTS.c.run_id.type),
        *unnested(ImportRow.line, ImportRow.status, ImportRow.customer_id, ImportRow.version),
        func.unnest(bindparam("faults", type_=ARRAY(Text))).cast(JSONB),
    ),
    include_defaults=False,
)


async def _record(session: AsyncSession, common: _Run, verdicts: Sequence[Verdict]) -> None:
    rows = [
        {
            "line": verdict.line,
            "status": verdict.status,
            "customer_id": verdict.customer_id,
            "version": verdict.version,
            "faults": orjson.dumps(verdict.faults).decode() if verdict.faults else None,
        }
        for verdict in verdicts
    ]
    await session.execute(_RECORD, arrays(rows, *rows[0]) | {"run_id": common.run_id})


async def _keep_failures(
    session: AsyncSession,
    common: _Run,
    prepared: Sequence[Prepared],
    verdicts: Sequence[Verdict],
    *,
    first: bool,
) -> None:
    """The rows that failed as they were, after their reasons: to be put right and imported again."""
    text = io.StringIO()
    writer = csv.writer(text)
    if first:
        text.write(BYTE_ORDER_MARK)
        writer.writerow(["line", "problems", *map(guarded, common.header)])
    for one, verdict in zip(prepared, verdicts, strict=True):
        if verdict.status is RowStatus.FAILED:
            reasons = "; ".join(_in_words(fault) for fault in verdict.faults)
            writer.writerow([verdict.line, guarded(reasons), *map(guarded, one.row.cells)])
    if common.failures_id is not None:
        await files.append(session, common.failures_id, text.getvalue().encode())


def _in_words(fault: Json) -> str:
    where = f"{fault['column']}: " if fault["column"] else ""
    return f"{where}{fault['message']} ({fault['code']})"
