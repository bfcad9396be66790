"""The queue over HTTP."""

from crm_shared.callers import READERS
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, Paging, Session, allow
from crm_tickets import queue
from crm_tickets.routes.tickets import shown
from crm_tickets.schemas import TicketOut

router = Router(tags=["queue"])


@router.get(
    "/v1/queue",
    response_model=Page[TicketOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_queue(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
) -> Listing[TicketOut]:
    """List the tickets that wait for somebody: by level (VIP first), then severity, then what is due first.

    A change of a customer's level moves their tickets at once.
    """
    return shown(await queue.list_(session, page=page), caller)
