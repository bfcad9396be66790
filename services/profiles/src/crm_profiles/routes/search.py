"""Search over HTTP."""

from typing import Annotated

from fastapi import Query, Response

from crm_profiles.customers import search
from crm_profiles.customers.search import SearchFilters
from crm_profiles.fields import Region, Source, Tag
from crm_profiles.models.customers import Channel, Gender
from crm_profiles.routes.parameters import AttributeFilters
from crm_profiles.schemas.search import DEFAULT_FOUND, MAX_FOUND, FoundOut
from crm_shared.callers import READERS
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, Session, allow

router = Router(tags=["customers"])


@router.get("/v1/customers/search", response_model=FoundOut, dependencies=[allow(*READERS)])
async def search_customers(
    session: Session,
    caller: CurrentCaller,
    q: Annotated[str, Query(min_length=1, max_length=100, examples=["王小明"])],
    attribute: AttributeFilters,
    tag: Annotated[Tag | None, Query()] = None,
    region: Annotated[Region | None, Query()] = None,
    source: Annotated[Source | None, Query(description="the system that first told of them")] = None,
    channel: Annotated[Channel | None, Query(description="how they first came to be known")] = None,
    gender: Annotated[Gender | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FOUND, description="how many at most")] = DEFAULT_FOUND,
) -> Response:
    """Search customers by what is known of them, the likeliest first; all filters that are given must hold.

    `q` is a name in any script or parts of it, whatever the case, the width and the accents: `Zoe` finds
    Zoë, `小明` finds 王小明, `ada lov` and `lovelace ada` find Ada Lovelace. Parts of one or two letters
    begin words; longer ones may be anywhere. In words of 4 to 24 Latin, Cyrillic or Greek letters one slip is
    forgiven. An external id is found whole. Callers with the scope pii:read also find a phone number by its
    last digits (4 or more), and an e-mail address or account by its beginning (3 characters or more); for
    others contact points are masked and not searched.

    Whoever matches exactly comes first, then by beginning of the name, by contact point, by beginning of a
    later word, by parts, by slip; among equals in the order of what matched, then the newest. Of very many
    who match only by parts or by slip, some are ranked. There is no next page: to find others, ask for more.
    """
    filters = SearchFilters(
        tag=tag, region=region, source=source, channel=channel, gender=gender, attribute=attribute
    )
    sees = caller.sees_personal_data
    found = await search.search(session, q, filters, contact_points=sees, limit=limit)
    return Response(found if sees else search.masked(found), media_type="application/json")
