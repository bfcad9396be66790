"""What is posted over HTTP at the same time goes to the ledger as one set, each answered for itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.ledger import holds, ledger
from crm_loyalty.models.ledger import Hold
from crm_loyalty.postings import Posting, Resolution, Verdict
from crm_loyalty.schemas.accounts import MovementOut
from crm_loyalty.schemas.holds import HoldOut
from crm_shared.clock import Clock
from crm_shared.problems import Problem
from crm_shared.web.desk import Desks, Handed


async def answer(desks: Desks, request: Request, posting: Posting) -> Response:
    """The ledger's answer to one posting, for every route that does nothing else; raises its refusal."""
    return await desks.answer(_post, request, posting, hands=2, about=posting.customer_id)


async def _post(
    session: AsyncSession, handed: Sequence[Handed[Posting]], clock: Clock
) -> Sequence[Response | Problem]:
    postings = [replace(each.item, author=each.author) for each in handed]
    verdicts = await ledger.post(session, postings, at=clock.now())
    repeated = {verdict.movement.hold_id for verdict in verdicts if verdict.repeated and verdict.movement}
    found = await holds.find(session, {id for id in repeated if id is not None})
    return [_answer(verdict, found) for verdict in verdicts]


def _answer(verdict: Verdict, found: Mapping[UUID, Hold]) -> Response | Problem:
    if verdict.refusal is not None:
        return verdict.refusal
    posting, movement = verdict.posting, verdict.accepted()
    body: HoldOut | MovementOut
    if movement.hold_id is not None:
        body = HoldOut.model_validate(verdict.hold or found[movement.hold_id])
    else:
        body = MovementOut.of(posting.customer_id, movement)
    status = 200 if isinstance(posting, Resolution) else 201
    return Response(body.model_dump_json(), status, media_type="application/json")
