"""What is written as a whole: a change is a new version, the newest one is in force, the old ones stay."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, exists
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, aliased

from crm_shared import etags
from crm_shared.etags import IfMatchMissing, StaleVersion

Row = TypeVar("Row", bound=DeclarativeBase)


def newest(key: InstrumentedAttribute[str], version: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """That a row is the newest version of its key."""
    newer = aliased(key.class_)
    later = (getattr(newer, key.key) == key, getattr(newer, version.key) > version)
    return ~exists().where(*later).correlate(key.class_)


async def write(
    session: AsyncSession,
    table: type[Row],
    values: Mapping[str, object],
    *,
    over: int | None,
    if_match: str | None,
    if_none_match: str | None = None,
    at: datetime,
    by: str,
) -> Row:
    """Write the next version over the one that the caller has seen, or the first with `If-None-Match: *`.

    `over` is the newest there is, by a read before this. Raises IfMatchMissing, StaleVersion.
    """
    number = _following(over, if_match=if_match, if_none_match=if_none_match)
    # Of two who replace the same version at once, the second finds the next one taken.
    written: Row | None = await session.scalar(
        insert(table)
        .values(version=number, created_at=at, created_by=by, **values)
        .on_conflict_do_nothing()
        .returning(table)
    )
    if written is None:
        raise StaleVersion(f"The current version is {number}.", current_version=number)
    return written


def _following(current: int | None, *, if_match: str | None, if_none_match: str | None) -> int:
    if current is None:
        if if_match is not None:
            raise StaleVersion("There is nothing here yet.")
        if if_none_match != "*":
            raise IfMatchMissing("There is nothing here yet: send If-None-Match: * to make it.")
        return 1
    if if_none_match is not None:
        raise StaleVersion(f"The current version is {current}.", current_version=current)
    etags.require(if_match, current)
    return current + 1
