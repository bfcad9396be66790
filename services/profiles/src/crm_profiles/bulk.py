"""Sets of rows in one statement, whatever their number."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Select, bindparam, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute

Row = Mapping[str, Any]


def unnested(*columns: InstrumentedAttribute[Any]) -> list[ColumnElement[Any]]:
    """One array parameter per column, named like it, taken apart side by side into rows."""
    return [func.unnest(bindparam(c.name, type_=ARRAY(c.type))).label(c.name) for c in columns]


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
    columns = [table.c[name] for name in names]
    rows: Select[Any] = select(*(func.unnest(bindparam(c.name, type_=ARRAY(c.type))) for c in columns))
    return insert(table).from_select(list(names), rows).on_conflict_do_nothing()
