"""Sets of rows in one statement, whatever their number."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, CompoundSelect, Enum, Select, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute
from sqlalchemy.types import TypeEngine

Row = Mapping[str, Any]


def unnested(*columns: InstrumentedAttribute[Any]) -> list[ColumnElement[Any]]:
    """One array parameter per column, named like it, taken apart side by side into rows."""
    return [func.unnest(bindparam(c.name, type_=_array(c.type))).label(c.name) for c in columns]


def _array(type_: TypeEngine[Any]) -> ARRAY[Any]:
    """An enum's members are texts already: the long way through its names is taken for none of them."""
    return ARRAY(Text() if isinstance(type_, Enum) else type_)


def arrays(rows: Sequence[Row], *names: str) -> dict[str, list[Any]]:
    """The rows as the parameters of `unnested`."""
    return {name: [row[name] for row in rows] for name in names}


def one_of(column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """The column's value is in the array parameter that is named like it."""
    return column == func.any(bindparam(column.name, type_=ARRAY(column.type)))


def insert_new(model: type[DeclarativeBase], *names: str) -> Insert:
    """Insert the rows of the named columns that are not there yet, in the order given.

    Who inserts in the same order as all others waits for them, but never in a circle.
    """
    table = model.metadata.tables[model.__tablename__]
    rows: Select[Any] = select(*(func.unnest(bindparam(n, type_=_array(table.c[n].type))) for n in names))
    return insert(table).from_select(list(names), rows).on_conflict_do_nothing()


def claim_new(model: type[DeclarativeBase], *names: str) -> CompoundSelect[Any]:
    """`insert_new`, which answers with the primary keys of those that were there: mostly with none."""
    table = model.metadata.tables[model.__tablename__]
    keys = [column.name for column in table.primary_key]
    claimed = insert_new(model, *names).returning(*(table.c[name] for name in keys)).cte("claimed")
    wanted = select(*(func.unnest(bindparam(n, type_=_array(table.c[n].type))).label(n) for n in keys))
    return wanted.except_all(select(*(claimed.c[name] for name in keys)))
