"""The history of a customer over HTTP."""

from uuid import UUID

from crm_profiles.customers import history
from crm_profiles.customers.documents import mask
from crm_profiles.schemas.history import CustomerVersionOut
from crm_shared.callers import READERS
from crm_shared.customers import CustomerNotFound
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, Paging, Session, allow

router = Router(tags=["customers"])


@router.get(
    "/v1/customers/{customer_id}/history",
    response_model=Page[CustomerVersionOut],
    dependencies=[allow(*READERS)],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_customer_history(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    customer_id: UUID,
) -> Listing[CustomerVersionOut]:
    """List every change of a customer, the newest first: who made it, when, from where, before and after.

    An id that was merged into another customer keeps its own history.
    """
    found = await history.list_(session, customer_id, page=page)
    if not caller.sees_personal_data:
        for change in (change for version in found.items for change in version.changes):
            if change.member == "contact_points":
                mask(change.before)
                mask(change.after)
    return found
