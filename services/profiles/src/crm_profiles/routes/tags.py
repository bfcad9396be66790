"""The tags of all customers over HTTP."""

from typing import Annotated

from fastapi import Query

from crm_profiles.customers import tags
from crm_profiles.schemas.tags import TagOut
from crm_shared.callers import READERS
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import Paging, Session, allow

router = Router(tags=["customers"])


@router.get(
    "/v1/customer-tags",
    response_model=Page[TagOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_customer_tags(
    session: Session,
    page: Paging,
    prefix: Annotated[str, Query(max_length=64, description="how the tags begin")] = "",
) -> Listing[TagOut]:
    """List the tags that customers have, by name, and how many customers have each now."""
    return await tags.list_(session, prefix, page=page)
