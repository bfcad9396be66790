"""Unsubscribing over HTTP: the link for who sends, its page and its one click for who gets a message."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Path, Query, Response
from fastapi.responses import HTMLResponse

from crm_profiles.activity import pages
from crm_profiles.consents import unsubscribing
from crm_profiles.errors import PurposeNotFound, UnsubscribeLinkInvalid
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.unsubscribing import UnsubscribeLinkOut, UnsubscriptionOut
from crm_shared.callers import STAFF, Role
from crm_shared.contracts.permissions import Purpose
from crm_shared.customers import CustomerNotFound
from crm_shared.permissions import ContactChannel
from crm_shared.unsubscribing import ONE_CLICK, Subscription
from crm_shared.web.languages import negotiate
from crm_shared.web.media import JSON, gives
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Session, allow, public

HTML = "text/html"

Token = Annotated[str, Path(max_length=300, description="of the link, as the message has it")]
# OpenAPI has no parameter of this name: what can be accepted is what is answered.
Accept = Annotated[str | None, Header(max_length=1000, include_in_schema=False)]
AcceptLanguage = Annotated[str | None, Header(max_length=1000, description="en, es or zh, for the page")]

router = Router(tags=["consents"])


@router.get(
    "/v1/customers/{customer_id}/unsubscribe-link",
    response_model=UnsubscribeLinkOut,
    dependencies=[allow(*STAFF, Role.PARTNER)],
    responses=documented(CustomerNotFound, PurposeNotFound),
)
async def get_unsubscribe_link(
    session: Session,
    settings: CurrentSettings,
    customer_id: UUID,
    purpose: Annotated[Purpose, Query(description="one of the contact policy", examples=["marketing"])],
    channel: ContactChannel,
) -> UnsubscribeLinkOut:
    """Get the link that a message to a customer carries, by which they withdraw with one click (RFC 8058)."""
    subscription = Subscription(customer_id, purpose, channel)
    path = await unsubscribing.link(session, subscription, settings.unsubscribe_key)
    return UnsubscribeLinkOut(path=path, list_unsubscribe_post=ONE_CLICK)


@router.get(
    "/v1/unsubscribe/{token}",
    response_model=UnsubscriptionOut,
    dependencies=[public(), gives(JSON, HTML)],
    responses=documented(UnsubscribeLinkInvalid),
)
async def show_unsubscription(
    settings: CurrentSettings,
    token: Token,
    accept: Accept = None,
    accept_language: AcceptLanguage = None,
) -> Response:
    """Show from what a link withdraws, as a page with a button if HTML is asked for; nothing is changed."""
    subscription = unsubscribing.read(token, settings.unsubscribe_key)
    return _shown(subscription, accept, accept_language, withdrawn=False)


@router.post(
    "/v1/unsubscribe/{token}",
    response_model=UnsubscriptionOut,
    dependencies=[public(), gives(JSON, HTML)],
    responses=documented(UnsubscribeLinkInvalid),
)
async def unsubscribe(
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    token: Token,
    accept: Accept = None,
    accept_language: AcceptLanguage = None,
) -> Response:
    """Withdraw the consent that a link names: one click is enough, and a second one changes nothing.

    Mail programs send `List-Unsubscribe=One-Click`, which need not be there: the link says everything.
    """
    subscription = unsubscribing.read(token, settings.unsubscribe_key)
    await unsubscribing.withdraw(session, subscription, clock=clock)
    return _shown(subscription, accept, accept_language, withdrawn=True)


def _shown(
    subscription: Subscription, accept: str | None, accept_language: str | None, *, withdrawn: bool
) -> Response:
    shown = UnsubscriptionOut(purpose=subscription.purpose, channel=subscription.channel, withdrawn=withdrawn)
    headers = {"Vary": "Accept, Accept-Language"}
    if HTML not in (accept or ""):
        return Response(shown.model_dump_json(), headers=headers, media_type=JSON)
    language = negotiate(accept_language, pages.LANGUAGES, pages.LANGUAGES[0])
    page = pages.render("unsubscribe", language, time_zone=None, shown=shown)
    policy = f"{pages.content_security_policy()}; form-action 'self'"
    return HTMLResponse(
        page, headers=headers | {"Content-Security-Policy": policy, "Content-Language": language}
    )
