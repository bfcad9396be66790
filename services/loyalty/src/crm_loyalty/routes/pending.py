"""Points that are still to come, over HTTP."""

from uuid import UUID

from crm_loyalty.earning import pending
from crm_loyalty.errors import AccountNotFound
from crm_loyalty.models.purchases import PendingAward
from crm_loyalty.schemas.accounts import PendingOut
from crm_shared.callers import READERS, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import Paging, Session, allow

router = Router(tags=["accounts"])


@router.get(
    "/v1/accounts/{customer_id}/pending",
    response_model=Page[PendingOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_pending_points(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[PendingAward]:
    """List points that wait for the end of a return window, by purchase, the newest first.

    They are not in the balance. A purchase that is given back takes its pending points with it.
    """
    return await pending.list_(session, customer_id, page=page)
