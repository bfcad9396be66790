"""What is kept of the rows of an import: the verdict on each, and those that failed as they were."""

import csv
import io
from collections.abc import Collection, Sequence
from typing import TypeVar
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, Text, bindparam, delete, func, insert, inspect, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import files
from crm_profiles.bulk import arrays, unnested
from crm_profiles.exports.spreadsheets import guarded
from crm_profiles.imports.judging import Verdict
from crm_profiles.imports.preparing import Prepared, Run
from crm_profiles.models.imports import ImportRow, ImportTrial, ImportTrialName, RowStatus
from crm_shared.database import Json

ROWS_AT_ONCE = 50_000
"""Deleted by one statement."""
OfRun = TypeVar("OfRun", ImportRow, ImportTrial, ImportTrialName)

BYTE_ORDER_MARK = "\ufeff"
"""By which Excel knows UTF-8."""

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


async def record(session: AsyncSession, run: Run, verdicts: Sequence[Verdict]) -> None:
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
    await session.execute(_RECORD, arrays(rows, *rows[0]) | {"run_id": run.run_id})


async def is_kept(session: AsyncSession, run_id: UUID) -> bool:
    """Whether there are still verdicts of the run."""
    return await session.scalar(select(ImportRow.line).where(ImportRow.run_id == run_id).limit(1)) is not None


async def forget(session: AsyncSession, table: type[OfRun], runs: Collection[UUID]) -> set[UUID]:
    """Delete what the table keeps of these runs, as much as one statement should; of whom there is more."""
    key = [getattr(table, column.name) for column in inspect(table).primary_key]
    some = select(*key).where(table.run_id.in_(runs)).limit(ROWS_AT_ONCE)
    await session.execute(
        delete(table).where(tuple_(*key).in_(some)).execution_options(synchronize_session=False)
    )
    return set(await session.scalars(select(table.run_id).where(table.run_id.in_(runs)).distinct()))


async def keep_failures(
    session: AsyncSession,
    run: Run,
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
        writer.writerow(["line", "problems", *map(guarded, run.header)])
    for one, verdict in zip(prepared, verdicts, strict=True):
        if verdict.status is RowStatus.FAILED:
            reasons = "; ".join(_in_words(fault) for fault in verdict.faults)
            writer.writerow([verdict.line, guarded(reasons), *map(guarded, one.row.cells)])
    if run.failures_id is not None:
        await files.append(session, run.failures_id, text.getvalue().encode())


def _in_words(fault: Json) -> str:
    where = f"{fault['column']}: " if fault["column"] else ""
    return f"{where}{fault['message']} ({fault['code']})"
