"""The programme over HTTP."""

from crm_loyalty import programme
from crm_loyalty.schemas.programme import ProgrammeOut
from crm_shared.callers import READERS
from crm_shared.web.router import Router
from crm_shared.web.session import Session, allow

router = Router(tags=["programme"])


@router.get("/v1/programme", response_model=ProgrammeOut, dependencies=[allow(*READERS)])
async def get_programme(session: Session) -> ProgrammeOut:
    """Read the programme in figures, each with its definition."""
    return await programme.get(session)
