"""Everything that is held about a customer, read from every table that names them and told in pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, MetaData, Select, Table, Text, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.contracts.exports import ExportPrepared
from crm_shared.contracts.profiles import ExportRequested
from crm_shared.customers import CustomerAlias, absorbed_into
from crm_shared.database import SharedBase
from crm_shared.dead_letters import WAITING, DeadLetter
from crm_shared.erasure import policies
from crm_shared.idempotency import IdempotencyKey
from crm_shared.outbox import News, Outbox, publish_many

EXPORT = "export"
"""Key of a table's `info`: Shown(...) or Withheld(why); a table without it is shown as it is."""

PAGE = 15_000
"""Characters of a page: of four bytes each, or each behind a backslash, they still fit into an event."""

COPIES = "transient_copies"
"""The table of an export that counts what repeats the others' rows for a while."""


@dataclass(frozen=True)
class Shown:
    """How a table appears: without `hidden` columns, found by the foreign key of column `via`."""

    hidden: tuple[str, ...] = ()
    via: str | None = None


@dataclass(frozen=True)
class Withheld:
    """The table's rows are left out, and those of the tables that refer to it; `why` is for the reader."""

    why: str


async def prepare(
    session: AsyncSession,
    tables: MetaData,
    request: ExportRequested,
    prepared: type[ExportPrepared],
    *,
    at: datetime,
) -> None:
    """Answer with all that this service holds about the customer: what every other service does."""
    lines = await collect(session, tables, [request.customer_id, *request.absorbed_ids])
    texts = pages(lines)
    news = [
        News(
            prepared(
                customer_id=request.customer_id,
                version=number,
                export_id=request.export_id,
                service_name=prepared.service(),
                page=number,
                pages=len(texts),
                text=text,
            ),
            cause=request,
        )
        for number, text in enumerate(texts, start=1)
    ]
    await publish_many(session, news, at=at)


async def collect(session: AsyncSession, tables: MetaData, customers: Sequence[UUID]) -> list[str]:
    """A line of JSON for each row, `{"table": …, "row": …}`, by table and then by key.

    Whoever was merged into one of the customers is the same person. Raises NoErasurePolicy, for a table that
    does not say whose its rows are cannot be shown either.
    """
    ids = await absorbed_into(session, *customers)
    lines: list[str] = []
    for table, mine in _conditions(tables, ids).items():
        lines += await session.scalars(_lines(table, mine))
    return lines + await _shared(session, ids)


def pages(lines: Sequence[str]) -> list[str]:
    """The lines as texts that put together give them again; there is always one."""
    text = "\n".join(lines)
    return [text[start : start + PAGE] for start in range(0, max(len(text), 1), PAGE)]


def _conditions(tables: MetaData, ids: Collection[UUID]) -> dict[Table, ColumnElement[bool]]:
    """Which rows of which tables are the customer's: they name them, or belong to a row that does."""
    named = policies(tables)
    found: dict[Table, ColumnElement[bool]] = {}
    for table in tables.sorted_tables:  # those that are referred to come first
        shown = table.info.get(EXPORT)
        if isinstance(shown, Withheld):
            continue
        if table in named:
            found[table] = or_(*(table.c[name].in_(ids) for name in named[table].of))
        elif (belongs := _belongs(table, found)) is not None:
            found[table] = belongs
    return found


def _belongs(table: Table, found: dict[Table, ColumnElement[bool]]) -> ColumnElement[bool] | None:
    """The rows that refer to those of the customer, by the column that is named or the first that does."""
    shown = table.info.get(EXPORT)
    via = shown.via if isinstance(shown, Shown) else None
    for column in table.c:
        for key in column.foreign_keys:
            owner = key.column.table
            if isinstance(owner, Table) and owner in found and via in (None, column.name):
                return column.in_(select(key.column).where(found[owner]))
    return None


def _lines(table: Table, mine: ColumnElement[bool]) -> Select[str]:
    row: ColumnElement[Any] = func.to_jsonb(table.table_valued(), type_=JSONB)
    shown = table.info.get(EXPORT)
    if isinstance(shown, Shown) and shown.hidden:
        row = row.op("-", return_type=JSONB())(literal(list(shown.hidden), ARRAY(Text)))
    line = func.jsonb_build_object("table", str(table.name), "row", row, type_=JSONB).cast(Text)
    return select(line).where(mine).order_by(*table.primary_key)


async def _shared(session: AsyncSession, ids: Collection[UUID]) -> list[str]:
    """What the tables that all services have hold: ids that mean the customer, letters, and mere copies."""
    names = [str(id) for id in ids]
    aliases = SharedBase.metadata.tables[CustomerAlias.__tablename__]
    lines = list(
        await session.scalars(_lines(aliases, or_(aliases.c.absorbed.in_(ids), aliases.c.survivor.in_(ids))))
    )
    letters = select(DeadLetter).where(
        or_(DeadLetter.key.in_(names), DeadLetter.record_key.in_(names)), DeadLetter.state.in_(WAITING)
    )
    for letter in await session.scalars(letters.order_by(DeadLetter.seq)):
        value = (letter.value or b"").decode(errors="replace")
        lines.append(_line("dead_letters", {"type": letter.type, "reason": letter.reason, "value": value}))
    copies = {
        "outbox": (Outbox.key.in_(names), "events as they were sent; deleted after some weeks"),
        "idempotency_keys": (
            IdempotencyKey.customer_ids.overlap(ids),
            "answers as they were given, for retries; deleted after some weeks",
        ),
    }
    for name, (mine, what) in copies.items():
        count = await session.scalar(select(func.count()).where(mine))
        lines.append(_line(COPIES, {"of": name, "rows": count, "what": what}))
    return lines


def _line(table: str, row: dict[str, object]) -> str:
    return orjson.dumps({"table": table, "row": row}).decode()
