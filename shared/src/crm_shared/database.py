"""The database: engine, sessions, naming, and which errors are trouble of the database itself."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from asyncpg import InterfaceError as ConnectionLost
from asyncpg import InternalClientError
from pydantic import ValidationError
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    DateTime,
    Enum,
    MetaData,
    TableValuedAlias,
    Text,
    Uuid,
    event,
    func,
    literal,
)
from sqlalchemy import column as sql_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util.queue import AsyncAdaptedQueue

from crm_shared.settings import ServiceSettings

Sessions: TypeAlias = async_sessionmaker[AsyncSession]
Json: TypeAlias = dict[str, Any]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
TYPES: Mapping[Any, Any] = {
    datetime: DateTime(timezone=True),
    date: Date(),
    int: BigInteger(),
    str: Text(),
    UUID: Uuid(),
    Json: JSONB(),
}

# SQLSTATEs, or how they begin, that say nothing of the statement: connection, resources, shutdown, system,
# rollback of a transaction that may be tried again, somebody else's lock, and a server that is read-only
# because it is being replaced. A statement that takes too long (57014) is not among them: it would again.
_LOCKED = "55P03"
_CROWDED = (_LOCKED, "40P01", "40001")
"""Also deadlocks, and transactions that cannot be put in a row."""
_TROUBLE = ("08", "53", "57P", "58", "40", _LOCKED, "25006", "XX000")
_TOO_SLOW = "57014"
_READ_ONLY = "25006"


class SharedBase(DeclarativeBase):
    """The tables that every service's database has besides its own."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = TYPES


def new_metadata() -> MetaData:
    """For the `Base` of a service: its own tables, named by the one convention."""
    return MetaData(naming_convention=NAMING)


def enum_column(enum: type[StrEnum]) -> Enum:
    """A text column that holds the values of the enum: adding a value needs no migration."""
    return Enum(
        enum,
        native_enum=False,
        create_constraint=False,
        length=None,
        values_callable=lambda members: [member.value for member in members],
    )


def async_url(url: object) -> str:
    return (
        str(url)
        .replace("postgresql://", "postgresql+asyncpg://", 1)
        .replace("postgres://", "postgresql+asyncpg://", 1)
    )


class _Turns(asyncio.Queue[ConnectionPoolEntry]):
    """Hands what is put to whoever has waited longest; asyncio's own lets newcomers have it before them."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self._waiting: deque[asyncio.Future[ConnectionPoolEntry]] = deque()

    def put_nowait(self, item: ConnectionPoolEntry) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(item)
                return
        super().put_nowait(item)

    async def get(self) -> ConnectionPoolEntry:
        if not self.empty():
            return self.get_nowait()
        waiter: asyncio.Future[ConnectionPoolEntry] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.put_nowait(waiter.result())  # it came just too late for us
            raise


class _FairQueue(AsyncAdaptedQueue[ConnectionPoolEntry]):
    @cached_property
    def _queue(self) -> asyncio.Queue[ConnectionPoolEntry]:
        return _Turns(self.maxsize)


class FairPool(AsyncAdaptedQueuePool):
    """Connections in turn: under load nobody waits in vain while others are served again and again."""

    _queue_class = _FairQueue


class WriteWhileReading(Exception):
    """Something wrote with a session that is for reading: a fault of ours, not of the database."""


def create_engine(settings: ServiceSettings, *, reading: bool = False) -> AsyncEngine:
    """The pool of a process: no statement and no forgotten transaction may hold on for ever.

    A reading one has no transactions, and its connections can change nothing.
    """
    engine = create_async_engine(
        async_url(settings.database_url),
        poolclass=FairPool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout,
        pool_pre_ping=False,
        # What a statement is given may be personal, and errors are logged.
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": 5,
            "command_timeout": settings.statement_timeout + 5,
            "server_settings": {
                "application_name": settings.service,
                "statement_timeout": str(int(settings.statement_timeout * 1000)),
                # Sooner, so that waiting for a lock is known from being slow.
                "lock_timeout": str(int(settings.statement_timeout * 800)),
                "default_transaction_read_only": "on" if reading else "off",
                "idle_in_transaction_session_timeout": "60000",
                "jit": "off",
                "timezone": "UTC",
            },
        },
    )
    if not reading:
        return engine
    event.listen(engine.sync_engine, "handle_error", _blame_the_writer)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _blame_the_writer(context: ExceptionContext) -> None:
    error = context.sqlalchemy_exception
    if isinstance(error, DBAPIError) and sqlstate(error) == _READ_ONLY:
        raise WriteWhileReading("a session for reading was told to write") from error


def create_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)


def rows_of(values: Mapping[InstrumentedAttribute[Any], Sequence[Any]]) -> TableValuedAlias:
    """A set of rows to insert, join or update from: one list per column, one statement for any number.

    The lists go as arrays, so the driver prepares the statement once for every size.
    """
    # Of one dimension, or lists in JSON columns would be taken for more.
    arrays = [literal(list(column), ARRAY(key.type, dimensions=1)) for key, column in values.items()]
    columns = [sql_column(key.key, key.type) for key in values]
    return func.unnest(*arrays).table_valued(*columns).render_derived()


def unavailable(error: BaseException) -> bool:
    """Whether this is trouble of the database, worth waiting for, rather than of the statement."""
    if isinstance(error, PoolTimeout | InterfaceError | ConnectionLost | OSError | TimeoutError):
        return True
    if isinstance(error, InternalClientError):
        return True  # the server has died between two statements, and the driver has heard half of it
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return sqlstate(error).startswith(_TROUBLE)


def too_slow(error: BaseException) -> bool:
    """Whether the database gave the statement up because it took longer than it may."""
    return sqlstate(error) == _TOO_SLOW


def awaits_a_lock(error: BaseException) -> bool:
    """Whether the statement was given up because another transaction held what it wanted to lock."""
    return sqlstate(error) == _LOCKED


def crowded(error: BaseException) -> bool:
    """Whether the statement was given up for other transactions, which change the same things."""
    return sqlstate(error) in _CROWDED


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code of what went wrong, whoever raised it, session or driver; else nothing."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


def in_words(error: BaseException) -> str:
    """What went wrong, without the values that a message quotes: they may be personal."""
    if isinstance(error, DBAPIError) or sqlstate(error):
        return f"{type(error).__name__} {sqlstate(error)}".rstrip()
    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        found = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in faults)
        return f"{type(error).__name__}: {found}"
    if isinstance(error, UnicodeError):
        return type(error).__name__
    return f"{type(error).__name__}: {error}"
