"""Statements of hot paths: compiled once, sent by the driver itself for a fifth of what the session takes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson
from sqlalchemy import ClauseElement, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import SessionTransaction
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = make_url("postgresql+asyncpg://").get_dialect()()
_ASKED = "crm.prepared"


def rows_from(name: str, columns: str) -> str:
    """For a statement's FROM: the rows, called `given`, of a set that it is told as one parameter.

    `columns` says which it takes from each row and their types, as in "id uuid, points bigint". The value is
    what `as_rows` makes. The driver would look at each element of an array again and again: for a set of
    rows that costs more than the rest of what is sent.
    """
    return f"json_to_recordset(CAST(:{name} AS json)) AS given ({columns})"


def as_rows(rows: Sequence[object]) -> str:
    """Mappings or dataclasses as the rows of `rows_from`, in their order; what is not a column is left out.

    No bytes, and no text with U+0000, not even in what is left out.
    """
    return orjson.dumps(rows, default=str).decode()  # ids that the driver has read are of its own class


class Row(Protocol):
    """What a statement gives, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Iterable[str]: ...


class Prepared:
    """A statement that runs in the session's transaction, but past the session's layers.

    Nothing is flushed before it. Values go and come as the driver has them: enums as their texts, JSON as a
    text to the database and as what it says from there. Errors are the driver's, as `database` knows them.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self.text = str(compiled)
        self._literals: Mapping[str, Any] = compiled.params
        self._names = compiled.positiontup or []

    async def fetch(self, session: AsyncSession, values: Mapping[str, Any]) -> Sequence[Row]:
        """All rows that it gives for these values of its parameters."""
        told = {**self._literals, **values}
        arguments = tuple(told[name] for name in self._names)
        connection, adapter, driver = await _way_of(session)
        if not driver.is_in_transaction() and not adapter.autocommit:
            # It is the session's way that begins the transaction; what comes after need not take it.
            result = await connection.exec_driver_sql(self.text, arguments)
            return result.mappings().all() if result.returns_rows else ()
        try:
            rows: Sequence[Row] = await driver.fetch(self.text, *arguments)
        finally:
            if driver.is_closed():
                await connection.invalidate()  # or the pool would hand it out again
        return rows


class _Way(NamedTuple):
    """What a transaction's statements are sent by."""

    connection: AsyncConnection
    adapter: DBAPIConnection
    driver: Any


async def _way_of(session: AsyncSession) -> _Way:
    """Asked of the session once in each transaction: that takes twice as long as to send a statement."""
    asked: tuple[SessionTransaction | None, _Way] | None = session.info.get(_ASKED)
    if asked is None or asked[0] is not _transaction_of(session):
        connection = await session.connection()
        pooled = await connection.get_raw_connection()
        assert pooled.dbapi_connection is not None
        way = _Way(connection, pooled.dbapi_connection, pooled.driver_connection)
        asked = session.info[_ASKED] = _transaction_of(session), way
    return asked[1]


def _transaction_of(session: AsyncSession) -> SessionTransaction | None:
    """The innermost: it is when a session is first asked for its connection that it makes a savepoint."""
    of = session.sync_session
    return of.get_nested_transaction() or of.get_transaction()
