"""Pages: lists that are walked by key, with a signed cursor that remembers what was asked."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as InvalidBase64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, and_, literal, or_, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from crm_shared.problems import BadRequest

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class InvalidCursor(BadRequest):
    """The cursor is not one of ours, or belongs to a list with other filters."""


class Page(BaseModel, Generic[T]):
    """A part of a list as it is answered; `next_cursor` leads to the following part, null at the end."""

    items: list[T]
    next_cursor: str | None = Field(default=None, max_length=2000)
    has_more: bool = False


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A part of a list as rows: what a route with `response_model=Page[XOut]` returns."""

    items: list[T]
    next_cursor: str | None
    has_more: bool

    def map(self, show: Callable[[T], U]) -> "Listing[U]":
        """The same part of the list, each row as it is shown."""
        return Listing([show(item) for item in self.items], self.next_cursor, self.has_more)


@dataclass(frozen=True)
class Key:
    """One column of the order; the last key of a list must be unique."""

    column: InstrumentedAttribute[Any]
    descending: bool = False


class Cursors:
    """Signs cursors, so that nobody can walk where they may not."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def encode(self, values: Sequence[Any], filters: str) -> str:
        payload = orjson.dumps([filters, [_plain(value) for value in values]])
        return urlsafe_b64encode(self._sign(payload) + payload).rstrip(b"=").decode()

    def decode(self, cursor: str, filters: str) -> list[Any]:
        """The values after which the page begins; raises InvalidCursor."""
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        except (InvalidBase64, ValueError) as error:
            raise InvalidCursor("The cursor is not one of ours.") from error
        signature, payload = raw[:16], raw[16:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise InvalidCursor("The cursor is not one of ours.")
        asked, values = orjson.loads(payload)
        if asked != filters:
            raise InvalidCursor("The cursor belongs to a list with other filters: start from the first page.")
        return list(values)

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, "sha256")[:16]


@dataclass(frozen=True)
class PageRequest:
    """Which page of a list is wanted: so many items, the first ones or those behind the cursor."""

    cursors: Cursors
    cursor: str | None
    limit: int


async def paginate(
    session: AsyncSession,
    statement: Select[T],
    keys: Sequence[Key],
    *,
    page: PageRequest,
    filters: object = None,
) -> Listing[T]:
    """One page of a list of ORM rows in the order of the keys, by one index scan however far in it is.

    `filters` is whatever else decides which rows are listed: a cursor is refused with other ones.
    """
    digest = sha256(orjson.dumps([[str(key.column) for key in keys], filters], default=str)).hexdigest()[:16]
    if page.cursor is not None:
        statement = statement.where(_after(keys, page.cursors.decode(page.cursor, digest)))
    order = [key.column.desc() if key.descending else key.column.asc() for key in keys]
    rows = list(await session.scalars(statement.order_by(*order).limit(page.limit + 1)))
    items, more = rows[: page.limit], len(rows) > page.limit
    last = [getattr(items[-1], key.column.key) for key in keys] if more else None
    following = None if last is None else page.cursors.encode(last, digest)
    return Listing(items, following, more)


def _after(keys: Sequence[Key], values: Sequence[Any]) -> ColumnElement[bool]:
    """Rows behind the given one: (a, b) > (x, y), by which an index scan starts right there.

    With keys of both directions it is spelled out: the first comparison bounds the scan, the rest decides
    among its equals.
    """
    typed = [_typed(key, value) for key, value in zip(keys, values, strict=True)]
    if len({key.descending for key in keys}) == 1:
        row = tuple_(*(key.column for key in keys))
        given = tuple_(*(literal(value, key.column.type) for key, value in zip(keys, typed, strict=True)))
        return row < given if keys[0].descending else row > given
    clauses = []
    for index, (key, value) in enumerate(zip(keys, typed, strict=True)):
        equal = [keys[i].column == typed[i] for i in range(index)]
        clauses.append(and_(*equal, key.column < value if key.descending else key.column > value))
    first, bound = keys[0], typed[0]
    return and_(first.column <= bound if first.descending else first.column >= bound, or_(*clauses))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value  # the driver's own class of UUID included


def _typed(key: Key, value: Any) -> Any:
    kind = key.column.type.python_type
    if kind is UUID:
        return UUID(value)
    return kind.fromisoformat(value) if hasattr(kind, "fromisoformat") else value
