"""Rows made ready to be written: read, mapped and checked, as far as no database is needed for it."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from pydantic import ValidationError

from crm_profiles.customers.customers import Revision
from crm_profiles.imports.mapping import Mapped, Reader
from crm_profiles.imports.sheets import Row
from crm_profiles.privacy import suppression
from crm_profiles.schemas.customers import CustomerItem, CustomerPatch
from crm_shared.database import Json
from crm_shared.problems import Fault


@dataclass(frozen=True)
class Run:
    """What all chunks of a run have in common."""

    run_id: UUID
    failures_id: UUID | None
    header: Sequence[str]
    reader: Reader
    suppression_key: bytes
    dry_run: bool


@dataclass
class Prepared:
    """A row made ready to be written, or the faults for which it cannot be."""

    row: Row
    mapped: Mapped | None = None
    item: CustomerItem | Revision | None = None
    faults: Sequence[Json] = ()
    keys: Set[object] = frozenset()
    """What names and reaches the customer."""


@dataclass(frozen=True)
class Chunk:
    """Rows that are written in one transaction."""

    rows: Sequence[Prepared]
    question: suppression.Question
    keys: Set[object]
    """What names and reaches any of their customers."""


def prepare(rows: Iterator[Row], run: Run, *, limit: int) -> Chunk:
    """The next rows, so many at most; none of them: there are no more."""
    prepared = [_prepared(row, run.reader) for row in islice(rows, limit)]
    bodies = {
        index: one.item.body if isinstance(one.item, Revision) else one.item
        for index, one in enumerate(prepared)
        if one.item is not None
    }
    question = suppression.Question.of(bodies, key=run.suppression_key)
    for index in bodies:
        one = prepared[index]
        who = one.item.customer_id if isinstance(one.item, Revision) else question.names[index]
        one.keys = {who, *question.points[index].values()}
    return Chunk(prepared, question, {key for one in prepared for key in one.keys})


def _prepared(row: Row, reader: Reader) -> Prepared:
    fault = row.fault or reader.unfit(row.cells)
    if fault:
        return Prepared(row, faults=[{"column": None, "code": "unreadable_row", "message": fault}])
    mapped = reader.read(row.cells)
    try:
        if mapped.customer_id is None:
            return Prepared(row, mapped, CustomerItem.model_validate(mapped.body))
        mapped.body.pop("external_id", None)  # ours goes before theirs
        item = Revision(UUID(mapped.customer_id), CustomerPatch.model_validate(mapped.body))
        return Prepared(row, mapped, item)
    except ValidationError as error:
        faults = [_fault_of(dict(each)) for each in error.errors(include_url=False, include_input=False)]
    except ValueError:
        faults = [{"pointer": "/id", "code": "uuid_parsing", "message": "This is no id of ours."}]
    return Prepared(row, mapped, faults=[reader.blame(mapped, fault) for fault in faults])


def _fault_of(error: Json) -> Fault:
    pointer = "".join(f"/{step}" for step in error["loc"])
    return {"pointer": pointer, "code": error["type"], "message": error["msg"]}
