"""The customer's card over HTTP: JSON for programs, a page for people."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Response
from fastapi.responses import HTMLResponse

from crm_profiles.activity import card, pages
from crm_profiles.schemas.card import CardOut
from crm_shared.callers import STAFF
from crm_shared.customers import CustomerNotFound
from crm_shared.web.languages import negotiate
from crm_shared.web.media import JSON, gives
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, CurrentClock, Session, allow

HTML = "text/html"

# OpenAPI has no parameter of this name: what can be accepted is what is answered.
Accept = Annotated[str | None, Header(max_length=1000, include_in_schema=False)]
AcceptLanguage = Annotated[str | None, Header(max_length=1000, description="en, es or zh, for the page")]

router = Router(tags=["file"])


@router.get(
    "/v1/customers/{customer_id}/card",
    response_model=CardOut,
    dependencies=[allow(*STAFF), gives(JSON, HTML)],
    responses=documented(CustomerNotFound),
)
async def get_customer_card(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    customer_id: UUID,
    accept: Accept = None,
    accept_language: AcceptLanguage = None,
) -> Response:
    """Read or print a customer on one page: who they are, what they bought, what matters to them.

    With `Accept: text/html` it is a page in the reader's language, with instants on the customer's clock.
    """
    masked = not caller.sees_personal_data
    shown = await card.get(session, customer_id, masked=masked, at=clock.now())
    headers = {
        "Vary": "Accept, Accept-Language",
        "Content-Location": f"/v1/customers/{shown.customer.id}/card",
    }
    if HTML not in (accept or ""):
        return Response(shown.model_dump_json(), headers=headers, media_type=JSON)
    language = negotiate(accept_language, pages.LANGUAGES, pages.LANGUAGES[0])
    page = pages.render("card", language, time_zone=shown.customer.time_zone, card=shown)
    policy = {"Content-Security-Policy": pages.content_security_policy(), "Content-Language": language}
    return HTMLResponse(page, headers=headers | policy | {"Cache-Control": "no-store"})
