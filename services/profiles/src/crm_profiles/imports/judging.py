"""Verdicts: what becomes of each row when a chunk of them is written."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers import customers
from crm_profiles.customers.customers import Revision
from crm_profiles.customers.drafts import Status
from crm_profiles.customers.writing import Written
from crm_profiles.errors import ContactPointTaken, PersonSuppressed, RepeatedItem
from crm_profiles.imports.mapping import Mapped
from crm_profiles.imports.preparing import Chunk, Prepared, Run
from crm_profiles.models.imports import RowStatus
from crm_profiles.privacy import suppression
from crm_profiles.schemas.customers import CustomerItem
from crm_shared.clock import Clock
from crm_shared.database import Json
from crm_shared.problems import Problem


@dataclass
class Verdict:
    """What became of a row."""

    line: int
    status: RowStatus
    customer_id: UUID | None = None
    version: int | None = None
    faults: Sequence[Json] = ()


async def write(session: AsyncSession, run: Run, chunk: Chunk, clock: Clock) -> list[Verdict]:
    """The verdict on each row; rows about one customer are written one after the other."""
    verdicts = {
        index: Verdict(one.row.line, RowStatus.FAILED, faults=one.faults)
        for index, one in enumerate(chunk.rows)
        if one.item is None
    }
    left = {index: one.item for index, one in enumerate(chunk.rows) if one.item is not None}
    refused = await suppression.refuse(session, chunk.question)
    ids = {index: item.customer_id for index, item in left.items() if isinstance(item, Revision)}
    refused |= await suppression.refuse_ids(session, ids)
    for index, problem in refused.items():
        verdicts[index] = _verdict(run, chunk.rows[index], problem)
        del left[index]
    while left:
        apart = _strangers(chunk, left)
        outcomes = await customers.upsert(session, list(apart.values()), clock=clock, kinds_apart=True)
        written: set[str] = set()
        for index, outcome in zip(apart, outcomes, strict=True):
            if _waits(outcome, written):
                continue
            verdicts[index] = _verdict(run, chunk.rows[index], outcome)
            del left[index]
            if isinstance(outcome, Written):
                written.add(str(outcome.customer_id))
    return [verdicts[index] for index in range(len(chunk.rows))]


def _strangers(
    chunk: Chunk, items: Mapping[int, CustomerItem | Revision]
) -> dict[int, CustomerItem | Revision]:
    """Those that name and reach nobody whom an earlier one names or reaches: they can be written together."""
    seen: set[object] = set()
    apart: dict[int, CustomerItem | Revision] = {}
    for index, item in items.items():
        keys = chunk.rows[index].keys
        if seen.isdisjoint(keys):
            apart[index] = item
        seen |= keys
    return apart


def _waits(outcome: Written | Problem, written: Set[str]) -> bool:
    """Whether the row only has to be written after others: it is about a customer of an earlier row, wants
    what an earlier row that was refused wanted, or what a customer of an earlier row may have let go of."""
    if isinstance(outcome, ContactPointTaken):
        holder = outcome.extensions["customer_id"]
        return holder is None or holder in written
    return isinstance(outcome, RepeatedItem)


def _verdict(run: Run, one: Prepared, outcome: Written | Problem) -> Verdict:
    if isinstance(outcome, Written):
        version = outcome.before + (outcome.status is not Status.UNCHANGED)
        return Verdict(one.row.line, RowStatus(outcome.status), outcome.customer_id, version)
    mapped = one.mapped or Mapped()
    faults = outcome.errors or [{"pointer": "", "code": outcome.code(), "message": outcome.detail}]
    holder = None
    if isinstance(outcome, ContactPointTaken):
        faults[0]["pointer"] = mapped.pointer_of(str(outcome.extensions["kind"]))
        holder = UUID(str(outcome.extensions["customer_id"]))
    blamed = [run.reader.blame(mapped, fault) for fault in faults]
    status = RowStatus.SUPPRESSED if isinstance(outcome, PersonSuppressed) else RowStatus.FAILED
    return Verdict(one.row.line, status, holder, faults=blamed)
