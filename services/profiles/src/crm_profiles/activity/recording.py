"""Recording what other systems tell of, each thing once by what they call it, whoever tells of it again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningInsert

from crm_profiles.bulk import arrays, insert_new, unnested
from crm_profiles.customers.contact_points import Owner
from crm_profiles.models.interactions import Interaction
from crm_profiles.models.purchases import Purchase
from crm_shared.database import Json

NaturalKey: TypeAlias = tuple[str, str, UUID | None]
"""A source and what it calls the thing; of one that has no name, our own id."""


class Told(Protocol):
    """What another system tells of."""

    @property
    def source(self) -> str | None: ...

    @property
    def external_id(self) -> str | None: ...

    @property
    def occurred_at(self) -> datetime: ...

    def model_dump(self, *, mode: str, exclude: set[str], exclude_none: bool) -> dict[str, Any]: ...


Item = TypeVar("Item", bound=Told)


class Status(StrEnum):
    """What became of something that was told of."""

    CREATED = "created"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Recorded:
    """Something on file, and whether it has only now come there."""

    id: UUID
    status: Status


@dataclass(frozen=True)
class Stored:
    """What is on file under an external id."""

    id: UUID
    customer_id: UUID
    digest: bytes


@dataclass(frozen=True)
class Candidate(Generic[Item]):
    """Something whose customer is known."""

    id: UUID
    owner: Owner
    item: Item

    @property
    def key(self) -> NaturalKey:
        if self.item.source is None or self.item.external_id is None:
            return "", "", self.id
        return self.item.source, self.item.external_id, None

    @cached_property
    def digest(self) -> bytes:
        """Of all that was told; a member that is absent does not count, so new ones can come."""
        told = self.item.model_dump(
            mode="json", exclude={"source", "external_id", "customer_id", "customer"}, exclude_none=True
        )
        told["occurred_at"] = self.item.occurred_at.astimezone(UTC).isoformat()
        return sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).digest()


@dataclass(frozen=True)
class Register:
    """The statements by which rows come into a table once."""

    columns: tuple[str, ...]
    insert: ReturningInsert[tuple[UUID]]
    on_file: Select[*tuple[Any, ...]]

    @classmethod
    def of(cls, table: type[Purchase] | type[Interaction]) -> "Register":
        columns = tuple(column.name for column in table.__table__.c)
        named = select(*unnested(table.source, table.external_id)).subquery()
        on_file = select(table.source, table.external_id, table.id, table.customer_id, table.digest).join(
            named, (named.c.source == table.source) & (named.c.external_id == table.external_id)
        )
        return cls(columns, insert_new(table, *columns).returning(table.id), on_file)


def once(candidates: Iterable[Candidate[Item]]) -> list[Candidate[Item]]:
    """The first of each name, in the order told."""
    first: dict[NaturalKey, Candidate[Item]] = {}
    for candidate in candidates:
        first.setdefault(candidate.key, candidate)
    return list(first.values())


async def store(
    session: AsyncSession,
    register: Register,
    candidates: Sequence[Candidate[Item]],
    row: Callable[[Candidate[Item]], Json],
) -> dict[NaturalKey, Stored]:
    """Store those that are new, and say what is now on file under each key.

    Everybody inserts in one order, so that nobody waits in a circle.
    """
    if not candidates:
        return {}
    rows = [row(each) for each in sorted(candidates, key=lambda each: (*each.key[:2], each.id))]
    new = set(await session.scalars(register.insert, arrays(rows, *register.columns)))
    stored = {c.key: Stored(c.id, c.owner.id, c.digest) for c in candidates if c.id in new}
    if len(stored) < len(candidates):
        known = [each for each in rows if each["id"] not in new]
        for found in await session.execute(register.on_file, arrays(known, "source", "external_id")):
            key = found.source, found.external_id, None
            stored[key] = Stored(found.id, found.customer_id, found.digest)
    return stored


def same(candidate: Candidate[Item], found: Stored) -> bool:
    """Whether what is on file under its name is what was told of."""
    told = candidate.owner.id, candidate.digest
    return found.id == candidate.id or (found.customer_id, found.digest) == told


def recorded(candidate: Candidate[Item], found: Stored) -> Recorded:
    return Recorded(found.id, Status.CREATED if found.id == candidate.id else Status.UNCHANGED)
