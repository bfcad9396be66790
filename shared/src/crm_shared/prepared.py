"""Statements of hot paths: compiled once, sent by the driver itself for a fifth of what the session takes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import ClauseElement, make_url
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = make_url("postgresql+asyncpg://").get_dialect()()


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
        connection = await session.connection()
        pooled = await connection.get_raw_connection()
        driver, adapter = pooled.driver_connection, pooled.dbapi_connection
        assert driver is not None
        assert adapter is not None
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
