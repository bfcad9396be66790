"""The long work of exports: customers page by page into a file, none of them twice in memory."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TypeAlias
from uuid import UUID

import xlsxwriter
from pydantic import JsonValue
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import files
from crm_profiles.customers import contact_points, customers
from crm_profiles.customers.customers import CustomerFilters
from crm_profiles.errors import TooManyRows
from crm_profiles.exports import exports
from crm_profiles.exports.spreadsheets import guarded, told_apart
from crm_profiles.models.attributes import CustomerAttribute
from crm_profiles.models.customers import ContactKind, Customer
from crm_profiles.models.files import File, Format
from crm_profiles.schemas.exports import ExportColumn, ExportIn
from crm_shared.customers import stop_merges
from crm_shared.database import Json, Sessions
from crm_shared.jobs import RunningJob

ROWS_AT_ONCE = 1000
MAX_SHEET_ROWS = 1_048_575

_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_BYTE_ORDER_MARK = "\ufeff"
_ATTRIBUTE = "attributes."
_ADDRESS = "address."
_CUTTING = frozenset(",;|，；、")

Show: TypeAlias = Callable[[Customer], str]


async def make(sessions: Sessions, job: RunningJob) -> Json:
    """Write the file; whoever takes the job over begins anew, and what was written is deleted.

    An erasure has it begun anew, too: it knows of the file before anything is in it, and nothing more is
    written once the lease is lost.
    """
    until, now = datetime.fromisoformat(job.params["until"]), job.clock.now()
    async with sessions.begin() as session:
        await stop_merges(session)
        found = await exports.get(session, UUID(job.params["export_id"]))
        asked = ExportIn.model_validate(found.asked)
        if found.file_id is not None:
            await files.expire(session, [found.file_id], at=now)
        name = f"customers-{found.created_at:%Y%m%d-%H%M%S}.{asked.format}"
        file_id = await files.create(session, name, _TYPES[asked.format], at=now, until=until)
        found.file_id = file_id
        declared = sorted(await session.scalars(select(CustomerAttribute.key)))
        await job.progress(session, done=0)
    columns = asked.columns or [*ExportColumn, *(f"{_ATTRIBUTE}{key}" for key in declared)]
    shows = {column: shown(column, source=asked.source, masked=found.masked) for column in columns}
    write = _write_csv if asked.format is Format.CSV else _write_xlsx
    rows, digest = await write(
        sessions, job, file_id, _headings(columns, found.masked), _pages(sessions, asked, shows)
    )
    async with sessions.begin() as session:
        await session.execute(update(File).where(File.id == file_id).values(sha256=digest))
        await job.progress(session, done=rows, total=rows)
    return {"rows": rows}


Page: TypeAlias = list[list[str]]


async def _pages(sessions: Sessions, asked: ExportIn, shows: Mapping[str, Show]) -> AsyncIterator[Page]:
    """The customers in the order of their ids, each page as it is when it is read."""
    statement = customers.matching(CustomerFilters(**asked.filters.model_dump()))
    last: UUID | None = None
    while True:
        page = statement.order_by(Customer.id).limit(ROWS_AT_ONCE)
        async with sessions() as session:
            found = list(await session.scalars(page.where(Customer.id > last) if last else page))
        if found:
            yield [[show(customer) for show in shows.values()] for customer in found]
        if len(found) < ROWS_AT_ONCE:
            return
        last = found[-1].id


async def _write_csv(
    sessions: Sessions, job: RunningJob, file_id: UUID, headings: Sequence[str], pages: AsyncIterator[Page]
) -> tuple[int, str]:
    """UTF-8, with the mark by which Excel knows it. Says how many rows, and the file's digest."""
    digest = sha256()
    done = 0

    async def keep(session: AsyncSession, rows: Sequence[Sequence[str]], mark: str = "") -> None:
        text = io.StringIO()
        text.write(mark)
        csv.writer(text).writerows([guarded(cell) for cell in row] for row in rows)
        data = text.getvalue().encode()
        digest.update(data)
        await files.append(session, file_id, data)

    async with sessions.begin() as session:
        await keep(session, [headings], mark=_BYTE_ORDER_MARK)
    async for page in pages:
        done += len(page)
        async with sessions.begin() as session:
            await keep(session, page)
            await job.progress(session, done=done)
    return done, digest.hexdigest()


async def _write_xlsx(
    sessions: Sessions, job: RunningJob, file_id: UUID, headings: Sequence[str], pages: AsyncIterator[Page]
) -> tuple[int, str]:
    """All cells are text by their type: none is a formula, no number loses its zeros. Raises TooManyRows."""
    done = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "export.xlsx"
        workbook = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": folder})
        sheet = workbook.add_worksheet("customers")
        sheet.freeze_panes(1, 0)
        _write_rows(sheet, 0, [headings])
        try:
            async for page in pages:
                if done + len(page) > MAX_SHEET_ROWS:
                    raise TooManyRows(f"A sheet has room for {MAX_SHEET_ROWS} customers: ask for csv.")
                await asyncio.to_thread(_write_rows, sheet, done + 1, page)
                done += len(page)
                async with sessions.begin() as session:
                    await job.progress(session, done=done)
        finally:  # its temporary files are open until then
            await asyncio.to_thread(workbook.close)
        with path.open("rb") as file:
            return done, await _keep(sessions, job, file_id, file, done)


def _write_rows(sheet: xlsxwriter.worksheet.Worksheet, first: int, rows: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(rows, start=first):
        for column, cell in enumerate(row):
            if cell:
                sheet.write_string(number, column, told_apart(cell))


async def _keep(sessions: Sessions, job: RunningJob, file_id: UUID, file: IO[bytes], done: int) -> str:
    digest = sha256()
    while data := await asyncio.to_thread(file.read, files.CHUNK):
        digest.update(data)
        async with sessions.begin() as session:
            await files.append(session, file_id, data)
            await job.progress(session, done=done)
    return digest.hexdigest()


def _headings(columns: Sequence[str], masked: bool) -> list[str]:
    """In words that an import understands; of what is masked it must not."""
    names: Mapping[str, str] = {ExportColumn.ID: "customer id"}
    words = [
        column if column.startswith(_ATTRIBUTE) else names.get(column, re.sub(r"[_.]", " ", column))
        for column in columns
    ]
    return [f"{word} (masked)" if masked and word in ("phone", "email", "social") else word for word in words]


def shown(name: str, *, source: str | None = None, masked: bool = False) -> Show:
    """How the column's cell is made of a customer."""
    if name.startswith(_ATTRIBUTE):
        key = name.removeprefix(_ATTRIBUTE)
        return lambda customer: _written(customer.attributes.get(key))
    if name.startswith(_ADDRESS):
        part = name.removeprefix(_ADDRESS)
        return lambda customer: _lines((customer.address or {}).get(part))
    column = ExportColumn(name)
    match column:
        case ExportColumn.PHONE | ExportColumn.EMAIL | ExportColumn.SOCIAL:
            return _contact_points(ContactKind(column), masked)
        case ExportColumn.TAGS:
            return lambda customer: _listed(customer.tags)
        case ExportColumn.EXTERNAL_ID:
            return lambda customer: next(
                (each.external_id for each in customer.external_ids if source in (None, each.source)), ""
            )
        case ExportColumn.CREATED_AT | ExportColumn.UPDATED_AT:
            return lambda customer: getattr(customer, column).isoformat()
        case _:
            return lambda customer: str(getattr(customer, column) or "")


def _contact_points(kind: ContactKind, masked: bool) -> Show:
    def show(customer: Customer) -> str:
        values = [point.value for point in customer.contact_points if point.kind is kind]
        return "\n".join(contact_points.mask(kind, value) if masked else value for value in values)

    return show


def _lines(part: str | list[str] | None) -> str:
    return "\n".join(part) if isinstance(part, list) else part or ""


def _written(value: JsonValue) -> str:
    """An attribute's value as an import reads it; numbers without exponents."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return format(Decimal(repr(value)), "f")
        case list():
            return _listed([str(item) for item in value])
        case _:
            return str(value)


def _listed(tags: Sequence[str]) -> str:
    """Commas between, unless one of them stands in a tag: then a line for each."""
    if any(not _CUTTING.isdisjoint(tag) for tag in tags):
        return "".join(f"{tag}\n" for tag in tags)
    return ", ".join(tags)
